"""What a track is for: its dispositions say it, else whole words of its title."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from raddle.workloads.media.policy.conditions import Role
    from raddle.workloads.media.policy.values import Words
    from raddle.workloads.media.values import Stream

__all__ = ["for_hearing_impaired", "role", "title_tells"]

_BY_DISPOSITION: Final[tuple[tuple[str, Role], ...]] = (
    ("comment", "commentary"),
    ("visual_impaired", "description"),
    ("descriptions", "description"),
    ("karaoke", "music"),
    ("clean_effects", "sfx"),
    ("non_diegetic", "sfx"),
)
_HEARING: Final = ("sdh", "hearing impaired", "hard of hearing")


@lru_cache(maxsize=256)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words: "ost" is in "Game OST" and not in "Lost Dialog"; blanks, dashes and underscores are alike."""
    words = ("[ _-]+".join(re.escape(word) for word in re.split("[ _-]+", phrase)) for phrase in phrases if phrase)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(words) or '(?!)'})(?![^\W_])", re.IGNORECASE)


def _by_title(title: str, words: Words) -> Role:
    if title and _pattern(words.commentary).search(title):
        return "commentary"
    if title and _pattern(words.description).search(title):
        return "description"
    if title and _pattern(words.music).search(title):
        return "music"
    if title and _pattern(words.sfx).search(title):
        return "sfx"
    return "main"


def _by_dispositions(stream: Stream) -> Role | None:
    return next((what for name, what in _BY_DISPOSITION if name in stream.dispositions), None)


def role(stream: Stream, words: Words) -> Role:
    """Return what a sound or subtitle track is for; everything else is "main"."""
    if stream.kind not in {"audio", "subtitle"}:
        return "main"
    said = _by_dispositions(stream)
    if stream.kind == "subtitle":
        return "commentary" if "commentary" in {said, _by_title(stream.title, words)} else "main"
    return said or _by_title(stream.title, words)


def title_tells(stream: Stream, words: Words) -> bool:
    """Whether nothing but the title tells what the track is for."""
    untitled = _by_dispositions(stream) is None and role(stream, words) != "main"
    hearing = for_hearing_impaired(stream) and "hearing_impaired" not in stream.dispositions
    return untitled or hearing


def for_hearing_impaired(stream: Stream) -> bool:
    """Whether a subtitle also tells what is to be heard."""
    if stream.kind != "subtitle":
        return False
    return "hearing_impaired" in stream.dispositions or bool(_pattern(_HEARING).search(stream.title))
