"""Grey picture -> edges -> all contours of them."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raddle import errors

try:
    import cv2
    import numpy as np
except ImportError as missing:
    raise errors.MissingExtra("opencv-python-headless", "encrypt") from missing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Grey, Ints, PreprocessConfig

__all__ = ["Outlines", "edges_of", "outlines_of", "prepared"]

# pictures run side by side, one to a worker: threads within threads made four workers slower than one
cv2.setNumThreads(1)

#: shares of the median grey that the original took for its thresholds
_LOW, _HIGH = 0.66, 1.33
#: below this median the thresholds would lie within the noise of a sensor: 0 and 0 for a night sky
_LEAST_MEDIAN: Final = 32
#: pixels that are enough to know the median by
_COUNTED: Final = 1_000_000
#: lengths whose only prime factors are these transform fast; others take up to 5 times as long
_FACTORS, _LONGEST = (2, 3, 5, 7), 1 << 28
#: non-local means at denoise_strength 1, and its windows in px
_DENOISE, _PATCH, _WINDOW = 20.0, 7, 21


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """All contours of one picture, end to end in one array, longest first."""

    z: NDArray[np.complex128]  # x + i y in px
    points: Ints  # per contour: how many of z are its own


def prepared(grey: Grey, config: PreprocessConfig) -> tuple[Grey, str]:
    """Bring to size and smooth; also tell of a change of size that was not asked for."""
    height, width = grey.shape
    size, note = _size(width, height, config)
    if size != (width, height):
        smaller = size[0] * size[1] < width * height
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
    if config.denoise:
        strength = _DENOISE * config.denoise_strength
        smooth = cv2.fastNlMeansDenoising(grey, None, h=strength, templateWindowSize=_PATCH, searchWindowSize=_WINDOW)
        grey = smooth.astype(np.uint8, copy=False)
    if config.smoothing:
        reach = 2 * math.ceil(2 * config.smoothing) + 1  # px: 2 sigma on either side
        grey = cv2.GaussianBlur(grey, (reach, reach), config.smoothing).astype(np.uint8, copy=False)
    return grey, note


def _size(width: int, height: int, config: PreprocessConfig) -> tuple[tuple[int, int], str]:
    if config.target_size is not None:
        if not config.maintain_aspect_ratio:
            return config.target_size, ""
        factor = min(config.target_size[0] / width, config.target_size[1] / height)
        return _scaled(width, height, factor), ""
    if width * height <= config.max_trace_pixels:
        return (width, height), ""
    smaller = _scaled(width, height, (config.max_trace_pixels / (width * height)) ** 0.5)
    note = f"{width} x {height} px, reduced to {smaller[0]} x {smaller[1]} for tracing (max_trace_pixels)"
    return smaller, note


def _scaled(width: int, height: int, factor: float) -> tuple[int, int]:
    return max(1, round(width * factor)), max(1, round(height * factor))


def edges_of(grey: Grey, thresholds: tuple[float, float] | None) -> Grey:
    """Find edges (Canny): 255 where one is, else 0. Nothing is padded, so no border is found that is not there."""
    if thresholds is None:
        median = max(_LEAST_MEDIAN, _median(grey))
        thresholds = (int(_LOW * median), int(_HIGH * median))
    return cv2.Canny(grey, *thresholds).astype(np.uint8, copy=False)


def _median(grey: Grey) -> int:
    """Median grey; of large pictures by every second, third ... row."""
    some = grey[:: 1 + grey.size // _COUNTED]
    counts = cv2.calcHist([some], [0], None, [256], [0, 256])
    return int(np.searchsorted(np.cumsum(counts, dtype=np.float64), some.size / 2))


def outlines_of(edges: Grey, *, least: int) -> Outlines:
    """Trace all borders, those of holes too, point by point; those of fewer than `least` points are left out.

    The middles of a few steps are added to a contour, evenly spread, to bring its length to one that transforms fast.
    So each of its pixels is still there, in order, and all points lie on the line through them.
    """
    found, _ = cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] >= least]
    if not len(order):
        return Outlines(np.empty(0, np.complex128), np.empty(0, np.int64))
    xy = np.concatenate([found[i] for i in order.tolist()])[:, 0, :]
    z = np.empty(len(xy), np.complex128)
    z.real, z.imag = xy[:, 0], xy[:, 1]
    return _lengthened(z, lengths[order])


def _lengthened(z: NDArray[np.complex128], points: Ints) -> Outlines:
    fast = _fast_lengths()
    goal = fast[np.searchsorted(fast, points)]
    added = goal - points
    if not added.any():
        return Outlines(z, points)
    # contour i gets its j-th point after place (2 j + 1) N / (2 added); no place twice, as added < N
    which = np.repeat(np.arange(len(points)), added)
    turn = np.arange(len(which)) - np.repeat(np.cumsum(added) - added, added)
    first = (np.cumsum(points) - points)[which]
    place = (2 * turn + 1) * points[which] // (2 * added[which])
    after = np.where(place + 1 < points[which], place + 1, 0)
    times = np.ones(len(z), np.int64)
    times[first + place] = 2
    longer = np.repeat(z, times)
    longer[first + place + np.arange(len(which)) + 1] = (z[first + place] + z[first + after]) / 2
    return Outlines(longer, goal)


@functools.cache
def _fast_lengths() -> Ints:
    lengths = [1]
    for factor in _FACTORS:
        powers = [factor**i for i in range(int(math.log(_LONGEST, factor)) + 1)]
        lengths = [length * power for length in lengths for power in powers if length * power <= _LONGEST]
    return np.array(sorted(lengths), np.int64)
