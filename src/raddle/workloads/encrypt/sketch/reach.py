"""How much of the edges a drawing shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from raddle.workloads.encrypt.sketch.fourier import power
from raddle.workloads.encrypt.sketch.values import REACH

if TYPE_CHECKING:
    from raddle.workloads.encrypt.sketch.fourier import Waves
    from raddle.workloads.encrypt.sketch.values import Grey

__all__ = ["reached"]

#: px around the picture in which a drawing is still followed: REACH, rounded up, and one for the grid
_MARGIN: Final = 3
#: pixels around a point, counted from the one to its upper left, that can be within REACH of it
_NEAR: Final = (-1, 0, 1, 2)


def reached(edges: Grey, z: Waves, drawn: Waves) -> float:
    """Share of edge pixels within REACH of a point of the drawing; `z` are the traced points that belong to `drawn`.

    Exact distances to the points themselves, not to pixels of a drawing rounded to a grid; the line between two points
    can only be nearer.
    """
    total = cv2.countNonZero(edges)
    if not total:
        return 0.0
    rest = np.pad(edges, _MARGIN)
    width = rest.shape[1]
    flat = rest.reshape(-1)
    x, y = z.real.astype(np.intp), z.imag.astype(np.intp)
    near = (power(drawn - z) <= REACH**2) & (x == z.real) & (y == z.imag)  # not the middles of steps
    flat[((y + _MARGIN) * width + x + _MARGIN)[near]] = 0
    if flat.any():
        _cross_off(rest, drawn)
    return 1.0 - cv2.countNonZero(rest) / total


def _cross_off(rest: Grey, drawn: Waves) -> None:
    height, width = rest.shape
    x, y = drawn.real + _MARGIN, drawn.imag + _MARGIN
    inside = (x >= 1) & (x < width - 2) & (y >= 1) & (y < height - 2)
    if not inside.all():
        x, y = x[inside], y[inside]
    left, top = x.astype(np.intp), y.astype(np.intp)
    # most points have none of the rest around them: look before distances are taken
    around = cv2.dilate(rest, np.ones((len(_NEAR), len(_NEAR)), np.uint8), anchor=(1, 1)).reshape(-1)
    place = top * width + left
    some = np.flatnonzero(around[place])
    place, dx, dy = place[some], x[some] - left[some], y[some] - top[some]
    flat = rest.reshape(-1)
    for right in _NEAR:
        for down in _NEAR:
            pixel = place + (down * width + right)
            left_over = np.flatnonzero(flat[pixel])
            hit = (dx[left_over] - right) ** 2 + (dy[left_over] - down) ** 2 <= REACH**2
            flat[pixel[left_over[hit]]] = 0
