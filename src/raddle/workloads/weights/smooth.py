"""What each day looks like with hindsight: a smoother over the readings that the rules accepted.

The filter says what was known on a day; the smoother also uses what came later, so that its line does not lag behind.
Model and noise are those of the v2 rules (`rules/v2.py`), whichever rules accepted the readings; a start of the filter
(gap, change of level) is a start here too, so that no change of level is smeared over the days before it. A Kalman
filter runs forward over a piece, then H. E. Rauch, F. Tung and C. T. Striebel's recursion (Maximum likelihood estimates
of linear dynamic systems, AIAA Journal 3, 1965) runs back over it. A user's own noise, as a factor, is estimated from
the residuals of a first run. A row that was rejected gets the line, and has no part in it.

A kernel module (see `rules.compiled`), but for `smoothed`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bytes, Chunk, Filtered, Floats, Ints

__all__ = ["Line", "Motion", "Readings", "smoothed"]

_DAY = 86_400_000_000.0
_LAST_ACCEPTED = 1
#: a residual counts for 3 standard deviations at most
_MOST_SQUARED = 9.0


class Motion(NamedTuple):
    """How the true weight moves (shares of the weight, see `rules.v2_profile.Motion`), and bounds of own noise."""

    wander: float
    trend: float
    trend_days: float
    prior_readings: float
    least_scale: float
    most_scale: float


class Readings(NamedTuple):
    """Rows of a chunk: ticks, kg, kg^2 of noise, share of the weight that may be grown in a day, stage, reset."""

    time: Ints
    weight: Floats
    variance: Floats
    growth: Floats
    stage: Bytes
    reset: Bytes


class Line(NamedTuple):
    """By row: the smoothed weight and its standard deviation, kg; NaN before a user's first accepted reading."""

    kg: Floats
    sigma: Floats


def smoothed(chunk: Chunk, filtered: Filtered, profile: str = "balanced", *, fast: bool = True) -> Line:
    """Smooth the accepted readings of each user.

    Args:
        chunk: rows in order
        filtered: which of them are accepted, and where the filter started anew
        profile: of the v2 rules
        fast: compiled; else plain Python. Same bits

    Raises:
        ConfigError: no such profile
    """
    import sys

    from raddle.workloads.weights.rules.compiled import compiled
    from raddle.workloads.weights.rules.v2_kernel import growth
    from raddle.workloads.weights.rules.v2_profile import read_v2, sources

    found = read_v2(profile)
    noise = found.noise
    factor = np.array([source.noise for source in sources(found, chunk.source_names)])[chunk.source]
    sd = np.maximum(noise.share * filtered.weight, noise.least_kg) * factor
    grows = np.zeros(len(chunk.time))
    light = np.flatnonzero(filtered.weight < 60.0)  # noqa: PLR2004 - nobody heavier is granted growth
    grows[light] = [growth(float(weight)) for weight in filtered.weight[light]]
    motion = Motion(
        found.motion.wander,
        found.motion.trend,
        found.motion.trend_days,
        float(noise.prior_readings),
        noise.learn_from**2,
        noise.learn_to**2,
    )
    readings = Readings(chunk.time, filtered.weight, sd * sd, grows, filtered.stage, filtered.reset)
    line = Line(np.full(len(chunk.time), np.nan), np.full(len(chunk.time), np.nan))
    kernel: Any = compiled(sys.modules[__name__]) if fast else sys.modules[__name__]
    kernel.whole(np.ascontiguousarray(chunk.starts), readings, motion, line.kg, line.sigma)
    return line


def whole(starts: Ints, readings: Readings, motion: Motion, kg: Floats, sigma: Floats) -> None:
    """Smooth every user."""
    longest = 0
    for user in range(len(starts) - 1):
        longest = max(longest, starts[user + 1] - starts[user])
    # by row of a user: w, v, p00, p01, p11 after it; the same as expected before it; and what links the two
    steps = np.empty((longest, 12))
    for user in range(len(starts) - 1):
        first, end = starts[user], starts[user + 1]
        while first < end and readings.stage[first] > _LAST_ACCEPTED:
            first += 1
        if first < end:
            scale = forward((first, end), readings, motion, 1.0, steps)
            forward((first, end), readings, motion, scale, steps)
            back((first, end), readings, steps, kg, sigma)


def starts_at(readings: Readings, row: int, first: int) -> bool:
    """Tell whether a piece begins at a row."""
    return bool(row == first or (readings.stage[row] <= _LAST_ACCEPTED and readings.reset[row] != 0))


def forward(rows: tuple[int, int], readings: Readings, motion: Motion, scale: float, steps: Floats) -> float:
    """Filter rows with the noise given as a factor on the variance; return what it should have been."""
    first, end = rows
    count, total = motion.prior_readings, motion.prior_readings
    for row in range(first, end):
        at = row - first
        r = readings.variance[row] * scale
        if starts_at(readings, row, first):
            weight = readings.weight[row]
            sd = (motion.trend + readings.growth[row]) * weight
            steps[at, 0], steps[at, 1] = weight, 0.0
            steps[at, 2], steps[at, 3], steps[at, 4] = r, 0.0, sd * sd
            continue
        expect(at, max(0.0, (readings.time[row] - readings.time[row - 1]) / _DAY), readings.growth[row], motion, steps)
        w, v, p00, p01, p11 = steps[at, 5], steps[at, 6], steps[at, 7], steps[at, 8], steps[at, 9]
        if readings.stage[row] <= _LAST_ACCEPTED:
            k0, k1 = p00 / (p00 + r), p01 / (p00 + r)
            innovation = readings.weight[row] - w
            w, v = w + k0 * innovation, v + k1 * innovation
            p11 -= k1 * p01
            p00, p01 = p00 * (1.0 - k0), p01 * (1.0 - k0)
            left = readings.weight[row] - w
            total += min(_MOST_SQUARED, (left * left + p00) / readings.variance[row])
            count += 1.0
        steps[at, 0], steps[at, 1], steps[at, 2], steps[at, 3], steps[at, 4] = w, v, p00, p01, p11
    return min(motion.most_scale, max(motion.least_scale, total / count)) if count > 0.0 else 1.0


def expect(at: int, dt: float, growth: float, motion: Motion, steps: Floats) -> None:
    """Write what is expected at a row, dt days after the one before. Formulas: `rules/v2.py`, Model."""
    w, v, p00, p01, p11 = steps[at - 1, 0], steps[at - 1, 1], steps[at - 1, 2], steps[at - 1, 3], steps[at - 1, 4]
    tau = motion.trend_days
    x = dt / tau
    f = math.exp(-x)
    m = tau * (1.0 - f)
    wander = motion.wander * w
    sd = (motion.trend + growth) * w
    q = sd * sd
    grown = growth * dt * w / 3.0
    steps[at, 5] = w + m * v
    steps[at, 6] = f * v
    walk = wander * wander * dt + q * tau * tau * max(0.0, 2.0 * x - 3.0 + 4.0 * f - f * f)
    steps[at, 7] = p00 + 2.0 * m * p01 + m * m * p11 + walk + grown * grown
    steps[at, 8] = f * (p01 + m * p11) + q * tau * (1.0 - f) * (1.0 - f)
    steps[at, 9] = f * f * p11 + q * (1.0 - f * f)
    steps[at, 10], steps[at, 11] = m, f


def back(rows: tuple[int, int], readings: Readings, steps: Floats, kg: Floats, sigma: Floats) -> None:
    """Go back over rows, piece by piece, and write the line."""
    first, end = rows
    w = v = s00 = s01 = s11 = 0.0
    for row in range(end - 1, first - 1, -1):
        at = row - first
        x0, x1, p00, p01, p11 = steps[at, 0], steps[at, 1], steps[at, 2], steps[at, 3], steps[at, 4]
        if row == end - 1 or starts_at(readings, row + 1, first):
            w, v, s00, s01, s11 = x0, x1, p00, p01, p11
        else:
            e00, e01, e11 = steps[at + 1, 7], steps[at + 1, 8], steps[at + 1, 9]
            m = steps[at + 1, 10]
            f = steps[at + 1, 11]
            # C = P F' E^-1, F = [[1, m], [0, f]]
            a00, a01, a10, a11 = p00 + m * p01, f * p01, p01 + m * p11, f * p11
            size = e00 * e11 - e01 * e01
            c00, c01 = (a00 * e11 - a01 * e01) / size, (a01 * e00 - a00 * e01) / size
            c10, c11 = (a10 * e11 - a11 * e01) / size, (a11 * e00 - a10 * e01) / size
            d0, d1 = w - steps[at + 1, 5], v - steps[at + 1, 6]
            w, v = x0 + c00 * d0 + c01 * d1, x1 + c10 * d0 + c11 * d1
            d00, d01, d11 = s00 - e00, s01 - e01, s11 - e11
            s00 = p00 + c00 * c00 * d00 + 2.0 * c00 * c01 * d01 + c01 * c01 * d11
            s01 = p01 + c00 * c10 * d00 + (c00 * c11 + c01 * c10) * d01 + c01 * c11 * d11
            s11 = p11 + c10 * c10 * d00 + 2.0 * c10 * c11 * d01 + c11 * c11 * d11
        kg[row] = w
        sigma[row] = math.sqrt(max(s00, 0.0))
