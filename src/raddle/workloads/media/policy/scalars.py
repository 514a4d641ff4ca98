"""Readers of single values with units: sizes, lengths, bit rates, languages, codecs, patterns."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

from raddle.workloads.media import languages
from raddle.workloads.media.policy.codecs import ALIASES, CODECS, GROUPS, is_codec
from raddle.workloads.media.policy.reading import text, wrong
from raddle.workloads.media.policy.values import Free

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["bitrate", "codec", "duration", "free", "height", "language", "percent", "regex", "size", "threads"]

_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_LABELS: Final = {"480p": 480, "576p": 576, "720p": 720, "1080p": 1080, "1440p": 1440, "2160p": 2160, "4320p": 4320}
_HEIGHTS: Final = {**_LABELS, "4k": 2160, "8k": 4320}
_LENGTH: Final = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?")
_NUMBER: Final = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)"


def size(node: Node, name: str) -> int:
    """Read bytes: 500MB (10^6), 4GiB (2^30)."""
    found = re.fullmatch(rf"{_NUMBER}\s*([A-Za-z]+)", text(node, name).strip())
    if not found or found[2].upper() not in _BYTES:
        raise wrong(node, name, "must be a size with its unit, like 500MB or 4GiB")
    return round(float(found[1]) * _BYTES[found[2].upper()])


def percent(node: Node, name: str) -> float:
    """Read a share: 105%."""
    found = re.fullmatch(rf"{_NUMBER}\s*%", text(node, name).strip())
    if not found:
        raise wrong(node, name, "must be a share, like 105%")
    return float(found[1])


def free(node: Node, name: str) -> Free:
    """Read a share of the disk or a size."""
    word = text(node, name).strip()
    if not word.endswith("%"):
        return Free(size=size(node, name))
    share = percent(node, name)
    if share >= 100:  # noqa: PLR2004 - percent
        raise wrong(node, name, "must be below 100%")
    return Free(percent=share)


def bitrate(node: Node, name: str) -> int:
    """Read bit/s: 192k, 2.5M."""
    found = re.fullmatch(rf"{_NUMBER}\s*([kM])(?:bit/s|bps)?", text(node, name).strip())
    value = round(float(found[1]) * {"k": 1_000, "M": 1_000_000}[found[2]]) if found else 0
    if not 8_000 <= value <= 1_000_000_000:  # noqa: PLR2004 - what sound needs at least, and more than any disk gives
        raise wrong(node, name, "must be a bit rate from 8k to 1000M with its unit, like 192k or 2.5M")
    return value


def duration(node: Node, name: str) -> float:
    """Read seconds: 30m, 1h30m, 90s."""
    word = text(node, name).strip()
    found = _LENGTH.fullmatch(word)
    if not word or not found:
        raise wrong(node, name, "must be a length of time, like 30m, 1h30m or 90s")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def height(node: Node, name: str) -> int:
    """Read lines of a picture: 1080, 1080p, 4k."""
    word = text(node, name).strip().lower()
    value = _HEIGHTS.get(word) or (int(word) if re.fullmatch("[0-9]{2,5}", word) else 0)
    if value < 16:  # noqa: PLR2004 - the least that encoders take
        raise wrong(node, name, f"must be a number of lines from 16 to 99999, or one of {', '.join(_HEIGHTS)}")
    return value


def threads(node: Node, name: str) -> int | None:
    """Read a number of threads, or auto."""
    word = text(node, name)
    if word == "auto":
        return None
    if not re.fullmatch("[1-9][0-9]{0,2}", word):
        raise wrong(node, name, "must be auto or a number from 1 to 999")
    return int(word)


def language(node: Node, name: str) -> str:
    """Read a language code of any spelling; return the one of 639-2/B."""
    word = text(node, name)
    code = languages.canonical(word)
    if code is None:
        meant = languages.nearest(word)
        hint = f"did you mean {meant}?" if meant else "und stands for: not said"
        raise wrong(node, name, f"is no language code of ISO 639; {hint}")
    return code


def codec(node: Node, name: str) -> str:
    """Read the name of a codec or of a group of them; return ffmpeg's name."""
    word = text(node, name).lower()
    if not is_codec(word):
        known = [*ALIASES, *GROUPS, *(one for names in CODECS.values() for one in sorted(names))]
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "names as ffmpeg has them: h264, hevc, aac, subrip ..."
        raise wrong(node, name, f"unknown codec; {hint}")
    return ALIASES.get(word, word)


def regex(node: Node, name: str) -> str:
    """Read a regular expression, as Python has them."""
    word = text(node, name)
    try:
        re.compile(word)
    except re.error as error:
        raise wrong(node, name, f"is no regular expression: {error}") from error
    return word
