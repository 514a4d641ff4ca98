"""What an HTTP reply means for the next try: the retry classes, the waits, and the budget. No clock, no dice."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Budget", "Kind", "backoff", "exhausted_for", "kind_of", "refuses_format", "retry_after"]

#: answered: 2xx; rejected: slow down, this try does not count; transient: worth another try; fatal: none will help;
#: key: this key will never do; format: the endpoint does not know the structured output that was asked for
Kind = Literal["answered", "rejected", "transient", "fatal", "key", "format"]

_TRANSIENT: Final = (408, 409, 425)
_KEY: Final = (401, 403)
_FORMAT: Final = ("response_format", "json_schema", "json_object", "structured", "guided", "grammar")
#: seconds after which an endpoint is asked again, whatever it says
_LONGEST: Final = 300.0
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TOO_MANY, _UNAVAILABLE = 429, 503


def kind_of(status: int, headers: Mapping[str, str], body: bytes) -> Kind:
    """Return the class of a reply. Names of headers are in lower case, or the mapping does not mind."""
    if 200 <= status < 300:  # noqa: PLR2004 - the range is the standard's
        return "answered"
    if status in _KEY:
        return "key"
    if status == _TOO_MANY:
        # Out of credit comes as 429 too, and no wait will fill the account.
        return "key" if _code(body) == "insufficient_quota" else "rejected"
    if status == _UNAVAILABLE and "retry-after" in headers:
        return "rejected"
    if status >= 500 or status in _TRANSIENT:  # noqa: PLR2004 - as above
        return "transient"
    return "format" if refuses_format(status, body) else "fatal"


def refuses_format(status: int, body: bytes) -> bool:
    """Return whether the endpoint says that it does not know structured output."""
    if status not in (400, 404, 415, 422, 501):
        return False
    text = body[:4096].decode("utf-8", "replace").lower()
    return any(word in text for word in _FORMAT)


def retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    """Return the seconds a service asks to wait; None if it does not say.

    `Retry-After-Ms`, then `Retry-After` (seconds or a date), then the `X-RateLimit-Reset-*` of what is used up.

    Args:
        headers: of the reply
        wall: the time of day now, seconds since 1970
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    said = headers.get("retry-after")
    if said is not None:
        seconds = _number(said)
        if seconds is None:
            seconds = _until(said, wall)
        if seconds is not None:
            return _bounded(seconds)
    return exhausted_for(headers)


def exhausted_for(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds the requests or tokens of a window are used up; None if they are not."""
    waits = []
    for what in ("requests", "tokens"):
        left = _number(headers.get(f"x-ratelimit-remaining-{what}"))
        if left is not None and left <= 0:
            wait = _duration(headers.get(f"x-ratelimit-reset-{what}"))
            if wait is not None:
                waits.append(wait)
    return _bounded(max(waits)) if waits else None


def backoff(failures: int, chance: float, *, first: float = 0.25, longest: float = 8.0) -> float:
    """Return the seconds before the next try: exponential with full jitter.

    Args:
        failures: so far, from 1
        chance: uniform in [0, 1)
        first: most seconds after the first failure
        longest: most seconds after any
    """
    return chance * min(longest, first * 2.0 ** min(failures - 1, 30))


@dataclass(slots=True)
class Budget:
    """How many calls there may be beyond one per item, over a whole provider: `floor`, and `share` of the items.

    A rejection costs nothing: it is made good by waiting. When all is used up, a failed call is its item's error.

    Args:
        share: extra calls per item
        floor: extra calls that are always allowed at the beginning
        most: extra calls that may be saved up
    """

    share: float = 0.1
    floor: float = 20.0
    most: float = 1000.0
    #: extra calls made so far
    used: int = 0
    _left: float = math.nan

    def __post_init__(self) -> None:
        self._left = self.floor

    def began(self) -> None:
        """Count an item."""
        self._left = min(max(self.most, self.floor), self._left + self.share)

    def take(self) -> bool:
        """Take one extra call; False if there is none left."""
        if self._left < 1:
            return False
        self._left -= 1
        self.used += 1
        return True


def _code(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def _number(said: str | None) -> float | None:
    if said is None:
        return None
    try:
        value = float(said)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _until(said: str, wall: float) -> float | None:
    try:
        return parsedate_to_datetime(said).timestamp() - wall
    except (ValueError, TypeError, OverflowError):
        return None


def _duration(said: str | None) -> float | None:
    """Return the seconds of "6m0s", "20ms" or "1.5"."""
    if said is None:
        return None
    number = _number(said)
    if number is not None:
        return number
    parts = _DURATION.findall(said)
    if not parts or "".join(f"{value}{unit}" for value, unit in parts) != said.strip():
        return None
    return sum(float(value) * _SECONDS[unit] for value, unit in parts)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST)
