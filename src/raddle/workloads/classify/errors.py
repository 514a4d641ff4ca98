"""How one item may fail to get a label. Messages hold no keys, no addresses that were resolved, no prompts."""

from __future__ import annotations

from raddle.errors import RaddleError

__all__ = [
    "FatalAnswer",
    "InvalidAnswer",
    "LateError",
    "NoPicture",
    "NothingSaid",
    "PictureError",
    "TransientError",
    "UpstreamError",
]


class UpstreamError(RaddleError):
    """An endpoint gave no label."""


class TransientError(UpstreamError):
    """The connection broke, it took too long, HTTP 408, 409 or 5xx: worth another try."""


class LateError(TransientError, TimeoutError):
    """The item's time was over; the message says what it waited for."""


class InvalidAnswer(UpstreamError):
    """What it answered is not the JSON that was asked for, not even when asked again."""


class FatalAnswer(UpstreamError):
    """HTTP 400, 401, 403, 404 and the like: no try will help."""


class PictureError(RaddleError):
    """A picture was refused or broken; the message says why."""


class NoPicture(PictureError):
    """The item names no picture."""


class NothingSaid(RaddleError):
    """The item has no text."""
