"""Contours -> coefficients, the choice among them, and back. Formulas: see `values`.

Contours lie end to end in flat arrays, longest first; those of equal length are transformed together.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from raddle import errors

try:
    import numpy as np
except ImportError as missing:
    raise errors.MissingExtra("numpy", "encrypt") from missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Floats, Ints, Sketch

    Waves = NDArray[np.complex128]

__all__ = ["backward", "chosen", "errors_of", "forward", "points_of", "power", "signed", "starts", "tips"]

#: values of one block of `tips`
_BLOCK = 1 << 21


def forward(z: Waves, points: Ints) -> Waves:
    """c_k of each contour, k = 0 .. N-1 (unsigned) in the place of its points."""
    out = np.empty_like(z)
    for span, shape in _alike(points):
        np.fft.fft(z[span].reshape(shape), norm="forward", out=out[span].reshape(shape))
    return out


def backward(c: Waves, points: Ints) -> Waves:
    """z_n of each contour; the inverse of `forward`."""
    out = np.empty_like(c)
    for span, shape in _alike(points):
        np.fft.ifft(c[span].reshape(shape), norm="forward", out=out[span].reshape(shape))
    return out


def _alike(points: Ints) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Runs of contours of equal length: where they lie in the flat arrays, and (how many, N)."""
    if not len(points):
        return
    bounds = [0, *(np.flatnonzero(np.diff(points)) + 1).tolist(), len(points)]
    start = 0
    for first, after in pairwise(bounds):
        length = int(points[first])
        stop = start + length * (after - first)
        yield slice(start, stop), (after - first, length)
        start = stop


def starts(points: Ints) -> Ints:
    """Where each contour begins in the flat arrays."""
    return np.cumsum(points) - points


def chosen(c: NDArray[np.complex64], points: Ints, budget: int | None) -> tuple[Ints, Ints]:
    """Which coefficients to keep, one budget over all contours: the places, and the contour of each.

    They are ranked by N |c|^2, which is what leaving one out adds to the sum of squared distances; so no other choice
    of as many has a smaller rmse. k = 0 is kept, and paid for, with the first other coefficient of its contour.
    The answer is in the order of a `Sketch`: by contour, k = 0 first, then falling |c|, equal ones in order of place.
    """
    if not len(c):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    owners = np.repeat(np.arange(len(points)), points)
    gain = power(c) * points[owners]
    gain[starts(points)] = np.inf  # centres come first within their contour; whether they come at all, see below
    ranked = _greatest(gain, len(c) if budget is None else min(len(c), budget + len(points)))
    owner = owners[ranked]
    if budget is not None:
        others = np.isfinite(gain[ranked])
        first = np.zeros(len(points), np.int64)
        first[owner[others][::-1]] = np.flatnonzero(others)[::-1]  # the last write stands: the first of each contour
        price = others.astype(np.int64)
        price[first[owner[others]]] = 2
        bought = others & (np.cumsum(price) <= budget)
        drawn = np.zeros(len(points), np.bool_)
        drawn[owner[bought]] = True
        bought |= ~others & drawn[owner]
        ranked, owner = ranked[bought], owner[bought]
    small = len(points) <= np.iinfo(np.uint16).max  # such are sorted by radix
    by_contour = np.argsort(owner.astype(np.uint16) if small else owner, kind="stable")
    return ranked[by_contour], owner[by_contour]


def _greatest(gain: Floats, count: int) -> Ints:
    """Places of the `count` greatest, falling, equal ones in order of place, whatever the machine sorts with."""
    if count < len(gain):
        floor = np.partition(gain, len(gain) - count)[len(gain) - count]
        above = np.flatnonzero(gain > floor)
        level = np.flatnonzero(gain == floor)[: count - len(above)]
        places = np.sort(np.concatenate([above, level]))
    else:
        places = np.arange(len(gain))
    return places[np.argsort(-gain[places], kind="stable")]


def power(c: NDArray[Any]) -> Floats:
    """|c|^2 in double precision, not through hypot, whose last bit differs from machine to machine."""
    real, imag = c.real.astype(np.float64, copy=False), c.imag.astype(np.float64, copy=False)
    return real * real + imag * imag


def signed(place: Ints, points: Ints, contour: Ints) -> Ints:
    """Frequencies of places in the flat arrays, in [-N/2, N/2)."""
    k, each = place - starts(points)[contour], points[contour]
    return np.where(2 * k < each, k, k - each)


def errors_of(z: Waves, drawn: Waves) -> tuple[float, float]:
    """How far points are from where they should be: the root mean square, and the greatest. px."""
    if not len(z):
        return 0.0, 0.0
    squares = power(drawn - z)
    return float(np.sqrt(squares.mean())), float(np.sqrt(squares.max()))


def points_of(sketch: Sketch) -> list[Waves]:
    """The drawing: per contour its N points z(2 pi n / N), complex128, px."""
    flat = np.zeros(int(sketch.points.sum()), np.complex128)
    first = starts(sketch.points)[sketch.contour]
    flat[first + sketch.k % sketch.points[sketch.contour]] = sketch.c
    return np.split(backward(flat, sketch.points), starts(sketch.points)[1:]) if len(sketch.points) else []


def tips(sketch: Sketch, times: Floats) -> Waves:
    """Where the pens are: one row per contour, one column per time t (0 to 2 pi), by summing c_k exp(i k t).

    At t = 2 pi n / N that is `points_of(sketch)[i][n]`.
    """
    out = np.empty((len(sketch.points), len(times)), np.complex128)
    if not out.size:
        return out
    first = np.searchsorted(sketch.contour, np.arange(len(sketch.points)))
    step = max(1, _BLOCK // len(sketch.c))
    for start in range(0, len(times), step):
        turned = np.exp(1j * np.outer(sketch.k, times[start : start + step])) * sketch.c[:, None]
        out[:, start : start + step] = np.add.reduceat(turned, first, axis=0)
    return out
