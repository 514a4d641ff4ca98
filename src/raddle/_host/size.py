"""Sizes of memory as people write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from raddle._host.grants import memory
from raddle._host.tree import ROOT
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["parse_bytes", "size_text"]

_POWERS = "KMGTP"
_LEAST = 1 << 20
_WORDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%|(?:([kmgtp])(i?b)?|b)?)", re.ASCII | re.IGNORECASE)
_REMEDY = 'give bytes, a size such as "4GiB" or "512MB", or a part of what is granted such as "80%"'


def parse_bytes(text: str | int, *, root: Path = ROOT) -> int:
    """Return the bytes that `text` means.

    "KiB", "MiB" ... and a bare "K", "M" ... are powers of 1024, as with docker and systemd; "KB", "MB" ... are powers
    of 1000. A percentage is of what this process is granted (`memory`).

    Raises:
        ConfigError: it is no size, less than 1 MiB, or a percentage of something unknown
    """
    match = _WORDS.fullmatch(str(text).strip()) if not isinstance(text, bool) else None
    if match is None:
        raise ConfigError(f"memory={text!r}: {_REMEDY}")
    number, unit, letter, rest = float(match[1]), match[2], match[3], match[4]
    if unit == "%":
        granted = memory(root=root).value
        if not granted:
            raise ConfigError(f"memory={text!r}: it is not known how much memory there is; {_REMEDY}")
        if not 0 < number <= 100:  # noqa: PLR2004 - per cent
            raise ConfigError(f"memory={text!r}: a percentage is above 0 and at most 100")
        return int(granted * number / 100)
    base = 1000 if (rest or "").upper() == "B" else 1024
    value = int(number * base ** (_POWERS.index(letter.upper()) + 1 if letter else 0))
    if value < _LEAST:
        raise ConfigError(f"memory={text!r}: {value} bytes are too few for any run; {_REMEDY}")
    return value


def size_text(value: float) -> str:
    """Return bytes for people, such as "1.5 GiB"."""
    return f"{value / (1 << 30):.1f} GiB" if value >= 1 << 30 else f"{value / (1 << 20):.0f} MiB"
