"""The contours of a sketch as curves: z(t) = sum c_k exp(i k t), t from 0 to 2 pi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.workloads.encrypt.sketch.values import NOTICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from raddle.workloads.encrypt.sketch.values import Sketch

__all__ = ["STATEMENT", "Contour", "contours", "curve", "summary", "title"]

#: what every drawing says of itself
STATEMENT: Final = NOTICE


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """One closed line of a sketch.

    `k` and `c` stand in the order of the sketch: k = 0 first, then |c| descending.
    """

    samples: int  # N
    k: NDArray[np.int64]
    c: NDArray[np.complex128]


def contours(sketch: Sketch) -> list[Contour]:
    """The contours of a sketch that have coefficients, in its order."""
    bounds = np.searchsorted(sketch.contour, np.arange(len(sketch.points) + 1))
    return [
        Contour(int(n), np.asarray(sketch.k[a:b], np.int64), np.asarray(sketch.c[a:b], np.complex128))
        for n, a, b in zip(sketch.points, bounds[:-1], bounds[1:], strict=True)
        if b > a
    ]


def curve(contour: Contour, *, finer: int = 1) -> NDArray[np.complex128]:
    """The points z(2 pi n / P), n = 0 .. P - 1, of which there are P = N * finer: an inverse transform.

    Frequencies keep their sign, so that points between the N traced ones lie between them too.
    """
    size = contour.samples * finer
    spectrum: NDArray[np.complex128] = np.zeros(size, np.complex128)
    np.add.at(spectrum, contour.k % size, contour.c)
    points: NDArray[np.complex128] = np.fft.ifft(spectrum, norm="forward")
    return points


def title(sketch: Sketch) -> str:
    """Title of a drawing; a name may hold anything, a title only what can be printed."""
    name = "".join(c if c.isprintable() else "\ufffd" for c in sketch.name)
    return f"Sketch of {name}" if name else "Sketch"


def summary(sketch: Sketch) -> str:
    """What a drawing consists of, and how near it comes, in a line."""
    lines = len(contours(sketch))
    found = sketch.found
    of = f" of {found:,}" if found > lines else ""
    return (
        f"{lines:,}{of} contour{'s' if max(lines, found) != 1 else ''}, {len(sketch.k):,} coefficients, "
        f"RMSE {sketch.rmse:.2f} px, {sketch.recall:.1%} of edge pixels within 1.5 px"
    )
