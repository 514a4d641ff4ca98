"""A `Sketch` <-> bytes: about 10 a coefficient, read back with suspicion.

Little endian throughout:

    head        magic, version, flags, width, height, contours found, contours drawn, coefficients, rmse, max_error,
                recall, length of meta (`_HEAD`)
    meta        JSON: name, notes, and the notice that the photo cannot be recovered from this
    points      uint32 for each contour drawn
    counts      uint32 for each contour drawn: how many of the coefficients are its own
    k           int16 for each coefficient, int32 if a contour has more than 65,536 points (flag 1)
    c           two float32 for each coefficient
    digest      BLAKE2b-128 of all before: against damage. Against tampering: seal the file
"""

from __future__ import annotations

import json
import struct
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from raddle.workloads.encrypt.sketch.fourier import power, starts
from raddle.workloads.encrypt.sketch.values import MOST_PIXELS, NOTICE, Sketch, SketchDamaged

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["MAGIC", "MOST_POINTS", "from_bytes", "to_bytes"]

#: like that of PNG: shows what it is, and breaks if line ends are translated
MAGIC: Final = b"\x89FSK\r\n\x1a\n"
#: points of all contours together that are believed: `points_of` needs 16 bytes for each, often more than the file
MOST_POINTS: Final = 20_000_000
_VERSION: Final = 1
_WIDE: Final = 1
_DIGEST: Final = 16
_MOST_META: Final = 65_536
#: points of the longest contour whose k fit into int16
_NARROW: Final = 65_536


class _Head(NamedTuple):
    magic: bytes
    version: int
    flags: int
    width: int
    height: int
    found: int
    contours: int
    coefficients: int
    rmse: float
    max_error: float
    recall: float
    meta: int


_HEAD: Final = struct.Struct("<8sHHIIIIIdddI")


def to_bytes(sketch: Sketch) -> bytes:
    """Same sketch, same bytes.

    Raises:
        SketchDamaged: what would be written could not be read back; the message says what is wrong with it
    """
    meta = {"name": sketch.name, "notes": list(sketch.notes), "notice": NOTICE}
    text = json.dumps(meta, ensure_ascii=True, separators=(",", ":")).encode()
    _check(len(text) <= _MOST_META, f"name and notes take {len(text)} bytes, more than {_MOST_META}: shorten them")
    counts = np.bincount(sketch.contour, minlength=len(sketch.points))
    _judge(sketch, counts)
    wide = len(sketch.points) > 0 and int(sketch.points.max()) > _NARROW
    head = _Head(
        MAGIC,
        _VERSION,
        _WIDE if wide else 0,
        sketch.width,
        sketch.height,
        sketch.found,
        len(sketch.points),
        len(sketch.c),
        sketch.rmse,
        sketch.max_error,
        sketch.recall,
        len(text),
    )
    parts = [
        _HEAD.pack(*head),
        text,
        sketch.points.astype("<u4").tobytes(),
        counts.astype("<u4").tobytes(),
        sketch.k.astype("<i4" if wide else "<i2").tobytes(),
        sketch.c.astype("<c8").tobytes(),
    ]
    body = b"".join(parts)
    return body + blake2b(body, digest_size=_DIGEST).digest()


def from_bytes(data: bytes) -> Sketch:
    """Read a sketch; nothing is believed before it is checked, and nothing is allocated that the bytes do not hold.

    Raises:
        SketchDamaged: it is not a sketch, or not a whole one, or one whose parts do not fit together
    """
    _check(data[: len(MAGIC)] == MAGIC, "not a raddle sketch; was it sealed? then open it first")
    _check(len(data) >= _HEAD.size + _DIGEST, f"{len(data)} bytes are too few: it was cut off")
    head = _Head._make(_HEAD.unpack_from(data))
    _check(head.version == _VERSION, f"version={head.version}: this raddle reads version {_VERSION}, update it")
    _check(head.flags in {0, _WIDE}, f"flags={head.flags} are not known")
    _check(head.meta <= _MOST_META, f"{head.meta} bytes of meta data are more than {_MOST_META}")
    size = 4 if head.flags else 2
    length = _HEAD.size + head.meta + 8 * head.contours + (size + 8) * head.coefficients + _DIGEST
    _check(len(data) == length, f"{len(data)} bytes where its head says {length}: it was cut off, or added to")
    digest = blake2b(memoryview(data)[:-_DIGEST], digest_size=_DIGEST).digest()
    _check(digest == data[-_DIGEST:], "its digest does not fit: bytes of it have changed")

    at = _HEAD.size
    name, notes = _meta(data[at : at + head.meta])
    at += head.meta
    columns: list[NDArray[Any]] = []
    for kind, count in (
        ("<u4", head.contours),
        ("<u4", head.contours),
        (f"<i{size}", head.coefficients),
        ("<c8", head.coefficients),
    ):
        columns.append(np.frombuffer(data, kind, count, at))
        at += columns[-1].nbytes
    points, counts, k = (column.astype(np.int64) for column in columns[:3])
    _check(int(counts.sum()) == head.coefficients, "its contours do not add up to its coefficients")
    sketch = Sketch(
        width=head.width,
        height=head.height,
        points=points,
        contour=np.repeat(np.arange(len(points)), counts),
        k=k,
        c=columns[3].astype(np.complex64),
        rmse=head.rmse,
        max_error=head.max_error,
        recall=head.recall,
        name=name,
        found=head.found,
        notes=notes,
    )
    _judge(sketch, counts)
    return sketch


def _meta(text: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SketchDamaged("its meta data are not JSON") from error
    _check(isinstance(meta, dict), "its meta data are not an object")
    name, notes = meta.get("name"), meta.get("notes")
    _check(isinstance(name, str), "its name is not a text")
    _check(isinstance(notes, list) and all(isinstance(note, str) for note in notes), "its notes are not texts")
    return name, tuple(notes)


def _judge(sketch: Sketch, counts: NDArray[np.int64]) -> None:
    """All that `Sketch` promises."""
    width, height, points = sketch.width, sketch.height, sketch.points
    _check(width > 0 and height > 0, f"a picture of {width} x {height} px")
    _check(width * height <= MOST_PIXELS, f"{width} x {height} px are more than {MOST_PIXELS}")
    figures = (sketch.rmse, sketch.max_error, sketch.recall)
    _check(all(0 <= figure < np.inf for figure in figures) and sketch.recall <= 1, f"figures of error {figures}")
    _check(sketch.found >= len(points), f"{len(points)} contours drawn of {sketch.found} found")
    _check(len(sketch.contour) == len(sketch.k) == len(sketch.c), "columns of different lengths")
    if not len(points):
        _check(not len(sketch.c), "coefficients without a contour")
        return
    _check(len(counts) == len(points), "a coefficient of a contour that is not there")
    _check(int(points.sum()) <= MOST_POINTS, f"{points.sum()} points are more than {MOST_POINTS}")
    _check(bool((counts >= 1).all() and (counts <= points).all()), "a contour of no or too many coefficients")
    _check(bool((np.diff(sketch.contour) >= 0).all()), "contours out of order")
    _judge_waves(sketch, counts)


def _judge_waves(sketch: Sketch, counts: NDArray[np.int64]) -> None:
    k, contour, first = sketch.k, sketch.contour, starts(counts)
    each = sketch.points[contour]
    _check(bool(((2 * k >= -each) & (2 * k < each)).all()), "a frequency beyond N / 2")
    _check(bool((k[first] == 0).all()), "a contour without its centre")
    pairs = np.sort((contour << 32) + k)
    _check(bool((np.diff(pairs) != 0).all()), "a frequency twice in one contour")
    _check(bool(np.isfinite(sketch.c).all()), "a coefficient that is no number")
    powers = power(sketch.c)
    # Parseval: no circle of an outline within the picture is wider than its diagonal
    _check(bool((powers <= sketch.width**2 + sketch.height**2).all()), "a circle wider than the picture")
    rising = np.diff(powers) > 0
    starting = np.zeros(len(k), np.bool_)
    starting[first] = True
    rising &= ~starting[:-1] & ~starting[1:]
    _check(not rising.any(), "coefficients out of order")


def _check(holds: bool, what: str) -> None:  # noqa: FBT001 - a condition, not a switch
    if not holds:
        raise SketchDamaged(f"sketch: {what}")
