"""What programs say while they run: how far they are, what went wrong, and the last of it."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Lines", "Progress", "Tail"]

_LINE: Final = 500
_KEPT: Final = 40
#: ffmpeg's figures that grow with its work; speed and bit rate change while it stands still
_GROWING: Final = frozenset({"frame", "out_time_us", "total_size"})


class Lines:
    """Bytes in, whole lines out; of a line without an end no more than a part is kept."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, part: bytes) -> list[str]:
        """Return the lines that are complete now."""
        *lines, rest = (self._rest + part).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[: 4 * _LINE]
        return [line.decode("utf-8", "replace")[:_LINE] for line in lines if line.strip()]

    def end(self) -> list[str]:
        """Return the line that was begun, if any."""
        return self.feed(b"\n")


class Tail:
    """The last lines, and how many there were."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: deque[str] = deque(maxlen=_KEPT)

    def add(self, line: str) -> None:
        """Take another line."""
        self.count += 1
        self._kept.append(line)

    @property
    def lines(self) -> tuple[str, ...]:
        """Return what was kept of them."""
        return tuple(self._kept)


class Progress:
    """How far a program is, by what it writes to standard output.

    ffmpeg's -progress gives lines NAME=VALUE, mkvtoolnix's --gui-mode gives #GUI#progress N%, and there its warnings
    and errors as well.
    """

    def __init__(self, duration: float | None) -> None:
        self._duration = duration
        self._seen: dict[str, str] = {}
        #: from 0 to 1
        self.fraction = 0.0
        self.warnings = Tail()
        self.errors = Tail()

    def take(self, line: str) -> bool:
        """Take a line; say whether it shows that work was done since the one before."""
        if line.startswith("#GUI#"):
            return self._gui(line.removeprefix("#GUI#"))
        name, _, value = line.partition("=")
        if name == "progress" and value == "end":
            self.fraction = 1.0
        if name not in _GROWING or self._seen.get(name) == value:
            return False
        self._seen[name] = value
        if name == "out_time_us" and self._duration and value.lstrip("-").isdecimal():
            # sound may begin before zero, and the header may promise too little
            self.fraction = max(self.fraction, min(int(value) / 1e6 / self._duration, 1.0))
        return True

    def _gui(self, text: str) -> bool:
        word, _, rest = text.partition(" ")
        if word == "warning":
            self.warnings.add(rest)
        elif word == "error":
            self.errors.add(rest)
        elif word == "progress" and rest.rstrip("%").isdecimal():
            before, self.fraction = self.fraction, int(rest.rstrip("%")) / 100
            return self.fraction != before
        return False
