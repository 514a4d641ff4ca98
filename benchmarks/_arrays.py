"""Items of NumPy. A module of its own, for it is slow to import."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMALL, LARGE = 8192, 1_000_000


def small_ffts(seed: int) -> float:
    """About 5 ms in transforms of 64 KB, which give up the interpreter lock."""
    signal = np.arange(SMALL, dtype=np.float64) + seed
    total = 0.0
    for _ in range(60):
        total += float(abs(np.fft.rfft(signal)[1]))
    return total


def large_fft(signal: npt.NDArray[np.float64]) -> float:
    """One transform of 8 MB; the array comes as the item."""
    return float(abs(np.fft.rfft(signal)[1]))


def large_array() -> npt.NDArray[np.float64]:
    return np.arange(LARGE, dtype=np.float64)
