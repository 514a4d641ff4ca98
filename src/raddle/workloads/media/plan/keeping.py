"""What an encode would take from pictures and cannot give back: their dynamic range, their fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raddle.workloads.media.plan.drafts import Refused
from raddle.workloads.media.plan.words import stream_name
from raddle.workloads.media.values import Hdr

if TYPE_CHECKING:
    from raddle.workloads.media.plan.drafts import Draft
    from raddle.workloads.media.policy.values import Video
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["left_alone"]

_TRANSFERS: Final = frozenset({"smpte2084", "arib-std-b67"})
#: whose encoders write what a source says of its mastering; `tools.encoding` knows which
_SAY_MASTERING: Final = frozenset({"hevc", "av1"})
#: of Dolby Vision: without it the picture's colours mean nothing to a player
_NOTHING_ELSE: Final = ".0"


def left_alone(file: MediaFile, draft: Draft, wish: Video) -> str:
    """Return why pictures stay as they are although `video` would encode them, "" if they are encoded.

    Raises:
        Refused: the policy does not say what shall become of them
    """
    lost, remedy = _range_lost(draft.now, wish)
    key, said = "hdr", wish.hdr
    if not lost and draft.now.interlaced and wish.interlaced != "deinterlace" and not _keeps_fields(wish):
        lost, remedy = "its fields", "interlaced: deinterlace makes it progressive, h264 in software keeps the fields"
        key, said = "interlaced", wish.interlaced
    if not lost:
        return ""
    name = stream_name(file, draft.source)
    if said == "leave":
        return f"{name} stays as it is ({key}: leave): video.to={wish.to} cannot keep {lost}"
    raise Refused(f"video.to={wish.to} cannot keep {lost}: {name}; {remedy}; {key}: leave leaves such pictures alone")


def _keeps_fields(wish: Video) -> bool:
    """Whether the encoder says of interlaced pictures that they are; with others players would show combs."""
    return wish.to == "h264" and wish.hardware == "none"


def _range_lost(now: Stream, wish: Video) -> tuple[str, str]:
    """Return what of the dynamic range an encode would lose against the policy's word, and what to write."""
    said = now.hdr or Hdr()
    transfer = dict(now.colour).get("color_transfer", "")
    told = [f"Dolby Vision {now.dolby_vision}"] if now.dolby_vision else []
    dolby = told or [one for one in said.dynamic if one.startswith("Dolby")]
    if now.dolby_vision.endswith(_NOTHING_ELSE) or (dolby and not told and not transfer):
        return f"{dolby[0]}, whose colours are wrong without it", "nothing here can encode it"
    if wish.hdr == "lose":
        return "", ""
    lose = "hdr: lose gives it up"
    dynamic = [*dolby, *(one for one in said.dynamic if not one.startswith("Dolby"))]
    if transfer in _TRANSFERS and wish.to == "h264":
        return f"its high dynamic range (color_transfer={transfer})", f"use hevc or av1, {lose}"
    if dynamic:
        return " and ".join(dynamic), lose
    if said.static and wish.to not in _SAY_MASTERING:
        return "what it says of its mastering and its brightest pictures (HDR10)", f"use hevc or av1, {lose}"
    return "", ""
