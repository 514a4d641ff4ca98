"""Sketches made of formulas, for tests of drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from raddle.workloads.encrypt.sketch.values import Sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def sketch_of(
    lines: Sequence[NDArray[np.complex128]],
    *,
    keep: int | None = None,
    size: tuple[int, int] = (320, 240),
    name: str = "",
) -> Sketch:
    """The `keep` largest coefficients of each line."""
    points, contour, k, c = [], [], [], []
    for i, line in enumerate(lines):
        n = len(line)
        spectrum = np.fft.fft(line) / n
        signed = (np.arange(n) + n // 2) % n - n // 2
        order = np.argsort(-np.abs(spectrum), kind="stable")
        order = np.concatenate(([0], order[order != 0]))[:keep]
        points.append(n)
        contour += [i] * len(order)
        k += signed[order].tolist()
        c += spectrum[order].tolist()
    ints = [np.array(part, np.int64) for part in (points, contour, k)]
    return Sketch(*size, *ints, np.array(c, np.complex64), 0.1, 0.4, 0.99, name, len(points))


def star(n: int = 360, *, centre: complex = 160 + 120j, radius: float = 80) -> NDArray[np.complex128]:
    t = 2 * np.pi * np.arange(n) / n
    return centre + radius * np.exp(1j * t) * (1 + 0.35 * np.cos(5 * t) + 0.08 * np.cos(23 * t))


def circles(count: int, *, n: int = 24, radius: float = 9) -> list[NDArray[np.complex128]]:
    t = 2 * np.pi * np.arange(n) / n
    places = [complex(30 + 37 * (i % 8), 30 + 37 * (i // 8)) for i in range(count)]
    return [place + (radius - i % 5) * np.exp(1j * t) + 2 * np.exp(-3j * t) for i, place in enumerate(places)]
