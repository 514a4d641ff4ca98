"""Films of few colours, frame by frame: animated PNG and GIF, in 255 fixed colours and with only what changed.

Pillow writes both formats too, but holds all frames until the last one has come.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import numpy as np

from raddle.errors import MissingExtra
from raddle.workloads.encrypt.draw.paint import Theme, blend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raddle.workloads.encrypt.draw.paint import Picture

__all__ = ["Film", "apng", "gif"]

_BITS: Final = 5  # of each colour, by which the nearest of the 255 is looked up
_SAME: Final = 255  # index of pixels that stay as they are: transparent


class Film(Protocol):
    """A file that takes frames one after another."""

    def add(self, picture: Picture) -> None:
        """The next frame, height x width x RGB."""

    def close(self) -> None:
        """What stands after the last frame."""


def _palette(theme: Theme) -> NDArray[np.uint8]:
    """255 colours: the ways from paper to each colour, from ink to the pen, and from circle to ink."""
    ways = (
        (theme.paper, theme.ink, 72),
        (theme.paper, theme.circle, 56),
        (theme.paper, theme.arm, 40),
        (theme.paper, theme.pen, 32),
        (theme.ink, theme.pen, 24),
        (theme.circle, theme.ink, 31),
    )
    return np.array([blend(a, b, i / (n - 1)) for a, b, n in ways for i in range(n)], np.uint8)


def _nearest(palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Index of the nearest colour, for each colour cut to 15 bits."""
    steps = np.arange(1 << _BITS, dtype=np.int32) * (1 << 8 - _BITS) + (1 << 7 - _BITS)
    green, blue = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
    r, g, b = palette.astype(np.int32).T
    across = (green[:, None] - g) ** 2 + (blue[:, None] - b) ** 2
    planes = [np.argmin(across + (red - r) ** 2, axis=1) for red in steps]
    return np.concatenate(planes).astype(np.uint8)


class _Colours:
    """Turns pictures into indices, and tells what changed since the last."""

    def __init__(self, theme: Theme) -> None:
        colours = _palette(theme)
        self.palette = np.append(colours, colours[:1], axis=0).tobytes()
        self._lookup = _nearest(colours)
        r, g, b = (part >> 8 - _BITS for part in theme.paper)
        self._lookup[(r << 2 * _BITS) | (g << _BITS) | b] = 0  # most of the picture, so exactly right
        self._last: NDArray[np.uint8] | None = None

    def changed(self, picture: Picture) -> tuple[int, int, NDArray[np.uint8]]:
        """Left, top and indices of the rectangle of what changed; at least one pixel."""
        cut = (picture >> 8 - _BITS).astype(np.uint16)
        index = self._lookup[(cut[..., 0] << 2 * _BITS) | (cut[..., 1] << _BITS) | cut[..., 2]]
        last, self._last = self._last, index
        if last is None:
            return 0, 0, index
        other = index != last
        rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
        if not len(rows):
            return 0, 0, index[:1, :1]
        only = np.where(other, index, np.uint8(_SAME))
        return int(columns[0]), int(rows[0]), only[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


class _Apng:
    """PNG with the chunks acTL, fcTL and fdAT (PNG specification, third edition, 11.3.6)."""

    def __init__(self, file: BinaryIO, theme: Theme, fps: int, frames: int, words: dict[str, str]) -> None:
        self._file, self._fps, self._frames = file, fps, frames
        self._colours, self._words = _Colours(theme), words
        self._number = 0
        self._started = False

    def add(self, picture: Picture) -> None:
        left, top, index = self._colours.changed(picture)
        height, width = index.shape
        if not self._started:
            self._start(width, height)
        rows: NDArray[np.uint8] = np.zeros((height, width + 1), np.uint8)  # each row after its filter, none
        rows[:, 1:] = index
        data = zlib.compress(rows.tobytes(), 6)
        self._chunk(b"fcTL", self._next() + struct.pack(">4I2H2B", width, height, left, top, 1, self._fps, 0, 1))
        if self._started:
            self._chunk(b"fdAT", self._next() + data)
        else:
            self._chunk(b"IDAT", data)
        self._started = True

    def close(self) -> None:
        self._chunk(b"IEND", b"")

    def _start(self, width: int, height: int) -> None:
        self._file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0))
        self._chunk(b"acTL", struct.pack(">2I", self._frames, 0))
        self._chunk(b"PLTE", self._colours.palette)
        self._chunk(b"tRNS", b"\xff" * _SAME + b"\0")
        for key, text in self._words.items():
            self._chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace"))

    def _next(self) -> bytes:
        self._number += 1
        return struct.pack(">I", self._number - 1)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


class _Gif:
    """GIF89a that plays for ever, with one palette; the compression of a frame is Pillow's."""

    def __init__(self, file: BinaryIO, theme: Theme, fps: int, words: dict[str, str]) -> None:
        try:
            from PIL import GifImagePlugin, Image
        except ImportError as error:
            raise MissingExtra("Pillow", "encrypt") from error
        self._image, self._data = Image.fromarray, GifImagePlugin.getdata
        self._file, self._fps = file, fps
        self._colours, self._words = _Colours(theme), words
        self._count = 0

    def add(self, picture: Picture) -> None:
        left, top, index = self._colours.changed(picture)
        if not self._count:
            self._start(picture.shape[1], picture.shape[0])
        self._count += 1
        # hundredths of a second; what rounding takes from one frame it gives to the next
        delay = self._count * 100 // self._fps - (self._count - 1) * 100 // self._fps
        # what is drawn stays, and shows through where _SAME is drawn over it
        self._file.write(b"!\xf9\x04\x05" + struct.pack("<HB", delay, _SAME) + b"\0")
        frame = self._image(np.ascontiguousarray(index))
        self._file.write(b"".join(self._data(frame, (left, top))))

    def close(self) -> None:
        self._file.write(b";")

    def _start(self, width: int, height: int) -> None:
        self._file.write(b"GIF89a" + struct.pack("<2H", width, height) + b"\xf7\0\0")
        self._file.write(self._colours.palette)
        self._file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")
        comment = "\n".join(self._words.values()).encode("ascii", "replace")
        blocks = [comment[i : i + 255] for i in range(0, len(comment), 255)]
        self._file.write(b"!\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0")


def apng(file: BinaryIO, *, theme: Theme, fps: int, frames: int, words: dict[str, str]) -> Film:
    """An animated PNG of exactly `frames` frames, that plays for ever."""
    return _Apng(file, theme, fps, frames, words)


def gif(file: BinaryIO, *, theme: Theme, fps: int, words: dict[str, str]) -> Film:
    """A GIF that plays for ever."""
    return _Gif(file, theme, fps, words)
