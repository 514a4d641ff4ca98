"""Which readings of a window are outliers, seen from both sides in time.

A kernel module (see `rules.compiled`): plain functions over arrays, times in ticks, weights in kg. The methods are

- Tukey's fences around the quartiles (J. W. Tukey, Exploratory Data Analysis, 1977);
- the modified z-score (B. Iglewicz and D. C. Hoaglin, How to Detect and Handle Outliers, 1993);
- a change from reading to reading that the next one undoes;
- a distance from what the filter expected at the window's start, which confirms what the three above name.

An outlier is what one of the first three names and the fourth confirms, if it is far from the window's median, no
neighbour supports it, a later reading exists to judge it by, and it is not protected.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bools, Bytes, Floats, Ints

__all__ = [
    "METHODS",
    "OUTLIER",
    "Limits",
    "Rows",
    "deviates",
    "iqr_outliers",
    "judge",
    "names",
    "survey",
    "temporal_outliers",
    "z_outliers",
]

#: bits of a row's finding, by their order
METHODS: Final = ("iqr", "modified_z", "temporal", "kalman")
_IQR, _Z, _TEMPORAL, _KALMAN = 1, 2, 4, 8
#: the bit of what is an outlier after all
OUTLIER: Final = 16

_HOUR: Final = 3_600_000_000
_DAY: Final = 86_400_000_000
# places in STAGES, RESETS and FIELDS; a kernel sees numbers only
_LAST_ACCEPTED, _PHYSIOLOGICAL, _PREPROCESSING = 1, 3, 4
_GAP, _LEVEL_CHANGE = 2, 3
_WEIGHT, _TREND, _SIGMA, _TREND_SIGMA, _QUALITY = 0, 1, 2, 3, 6


class Rows(NamedTuple):
    """Rows of a chunk with what the rules said of them: `Chunk.time` and the arrays of `Filtered`."""

    time: Ints
    weight: Floats
    stage: Bytes
    reset: Bytes
    out: Floats


class Limits(NamedTuple):
    """The numbers of `RetroOptions` that a kernel needs."""

    min_readings: int
    iqr_multiplier: float
    z_threshold: float
    temporal_max_change: float
    kalman_threshold: float
    kalman_sigmas: float
    reading_sigma_kg: float
    support_change: float
    excursion_readings: int
    excursion_change: float
    #: infinite: nothing is protected
    protect_quality: float
    protect_level_change: bool


def names(finding: int) -> tuple[str, ...]:
    """Return the methods that a finding holds."""
    return tuple(name for bit, name in enumerate(METHODS) if finding >> bit & 1)


def quantile(ordered: Floats, share: float) -> float:
    """Return the quantile of ascending values, linear between neighbours (type 7 of Hyndman and Fan, 1996)."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    value = ordered[below]
    if place > below:
        value += (place - below) * (ordered[below + 1] - value)
    return float(value)


def iqr_outliers(weights: Floats, multiplier: float) -> Bools:
    """Tell which values lie beyond the quartiles by more than multiplier x interquartile range; under 4 values none."""
    found = np.zeros(len(weights), dtype=np.bool_)
    if len(weights) < 4:  # noqa: PLR2004 - quartiles of fewer say nothing
        return found
    ordered = np.sort(weights)
    low, high = quantile(ordered, 0.25), quantile(ordered, 0.75)
    reach = multiplier * (high - low)
    for i in range(len(weights)):
        found[i] = weights[i] < low - reach or weights[i] > high + reach
    return found


def z_outliers(weights: Floats, threshold: float) -> Bools:
    """Tell whose modified z-score, .6745 |x - median| / MAD, is over the threshold; none under 3 values or at MAD 0."""
    found = np.zeros(len(weights), dtype=np.bool_)
    if len(weights) < 3:  # noqa: PLR2004 - as Iglewicz and Hoaglin
        return found
    middle = quantile(np.sort(weights), 0.5)
    mad = spread(weights)
    if mad > 0.0:
        for i in range(len(weights)):
            found[i] = abs(0.6745 * (weights[i] - middle) / mad) > threshold
    return found


def spread(weights: Floats) -> float:
    """Return the median absolute deviation from the median."""
    middle = quantile(np.sort(weights), 0.5)
    return quantile(np.sort(np.abs(weights - middle)), 0.5)


def temporal_outliers(times: Ints, weights: Floats, max_change: float, before: float, after: float) -> Bools:
    """Tell which values jump away from the one before and find no support in the one after.

    The original blames the later of two values that differ too much, so that an outlier makes two: itself and the good
    reading after it. Here a jump that stays is none, and a jump that the next reading undoes or that nothing follows
    is. Values less than an hour apart are not compared.

    Args:
        times: ticks
        weights: kg
        max_change: share of the earlier value
        before: a trusted weight before the first; NaN: there is none
        after: the weight after the last; NaN: there is none
    """
    count = len(weights)
    found = np.zeros(count, dtype=np.bool_)
    for i in range(count):
        earlier = before
        for j in range(i - 1, -1, -1):
            if not found[j] and abs(times[i] - times[j]) >= _HOUR:
                earlier = weights[j]
                break
        second = next_apart(times, i)
        later = weights[second] if second < count else after
        if math.isnan(earlier):
            # nobody to jump away from: to blame only if those after it agree among themselves
            third = next_apart(times, second) if second < count else count
            last = weights[third] if third < count else after
            agree = not jump(later, last, max_change) and abs(last - later) < abs(last - weights[i])
            found[i] = agree and jump(weights[i], later, max_change)
        else:
            nearer = abs(later - weights[i]) < abs(later - earlier)
            stays = nearer and not jump(weights[i], later, max_change)
            found[i] = jump(earlier, weights[i], max_change) and not stays
    return found


def next_apart(times: Ints, at: int) -> int:
    """Return the first place after `at` that is an hour or more away, or the count."""
    place = at + 1
    while place < len(times) and abs(times[place] - times[at]) < _HOUR:
        place += 1
    return place


def jump(earlier: float, later: float, max_change: float) -> bool:
    """Tell whether two weights differ by more than a share of the earlier one."""
    return abs(later - earlier) > max_change * earlier


def deviates(weight: float, expected: float, sigma: float, share: float, sigmas: float) -> bool:
    """Tell whether a weight is more than a share, or so many standard deviations, away from what was expected."""
    return abs(weight - expected) > min(share * abs(expected), sigmas * sigma)


def usable(rows: Rows, row: int) -> bool:
    """Tell whether a reading says something of the body: a number, and not thrown out as no possible weight."""
    stage = rows.stage[row]
    return math.isfinite(rows.weight[row]) and stage not in (_PHYSIOLOGICAL, _PREPROCESSING)


def neighbour(rows: Rows, row: int, step: int, stop: int) -> int:
    """Return the nearest usable row an hour or more away, going by `step` as far as `stop` (exclusive), or -1."""
    at = row + step
    while at != stop:
        if abs(rows.time[at] - rows.time[row]) >= _HOUR and usable(rows, at):
            return at
        at += step
    return -1


def supported(rows: Rows, row: int, other: int, change: float) -> bool:
    """Tell whether another row, if there is one, is within a share of this one."""
    return other >= 0 and not jump(rows.weight[row], rows.weight[other], change)


def judge(rows: Rows, bounds: tuple[int, int, int, int], limits: Limits, found: Bytes) -> int:
    """Write the findings of one window to `found`, one byte a row, and return how many accepted rows are outliers.

    Args:
        rows: of the whole chunk
        bounds: first row of the user, first of the window, end of the window, end of the user
        limits: see there
        found: bits as in METHODS, and OUTLIER
    """
    user_first, first, end, user_end = bounds
    found[first:end] = 0
    places = np.empty(end - first, dtype=np.int64)
    count = 0
    for row in range(first, end):
        if usable(rows, row):
            places[count] = row
            count += 1
    if count < limits.min_readings:
        return 0
    places = places[:count]
    last = first - 1
    while last >= user_first and rows.stage[last] > _LAST_ACCEPTED:
        last -= 1
    mark(rows, places, limits, found, (rows.weight[last] if last >= user_first else math.nan, user_end))
    # 1.4826 makes the MAD a standard deviation, if all is normal
    weights = rows.weight[places]
    scatter, middle = max(1.4826 * spread(weights), limits.reading_sigma_kg), quantile(np.sort(weights), 0.5)
    outliers = 0
    anew = False
    for row in range(first, end):
        anew = anew or rows.reset[row] == _GAP
        if found[row] == 0 or rows.stage[row] > _LAST_ACCEPTED:
            continue
        confirmed = True
        if last >= user_first and not anew:
            confirmed = surprises(rows, row, last, scatter, limits)
            found[row] |= _KALMAN if confirmed else 0
        # also in quiet company nothing is an outlier that is so near to the middle
        far = abs(rows.weight[row] - middle) >= limits.support_change * middle
        if confirmed and far and alone(rows, row, user_first, user_end, limits):
            found[row] |= OUTLIER
            outliers += 1
    return outliers


def mark(rows: Rows, places: Ints, limits: Limits, found: Bytes, around: tuple[float, int]) -> None:
    """Write what the first three methods say of the rows at `places`; `around`: weight before, end of the user."""
    before, user_end = around
    weights, times = rows.weight[places], rows.time[places]
    following = neighbour(rows, places[-1], 1, user_end)
    after = rows.weight[following] if following >= 0 else math.nan
    fences = iqr_outliers(weights, limits.iqr_multiplier)
    scores = z_outliers(weights, limits.z_threshold)
    jumps = temporal_outliers(times, weights, limits.temporal_max_change, before, after)
    for i in range(len(places)):
        found[places[i]] = (_IQR if fences[i] else 0) | (_Z if scores[i] else 0) | (_TEMPORAL if jumps[i] else 0)


def surprises(rows: Rows, row: int, last: int, scatter: float, limits: Limits) -> bool:
    """Tell whether a row deviates from what the filter expected of it after `last`, the row before the window.

    `scatter`: standard deviation of a reading, kg.
    """
    days = max((rows.time[row] - rows.time[last]) / _DAY, 0.0)
    drift = days * rows.out[_TREND_SIGMA, last]
    sigma = math.sqrt(rows.out[_SIGMA, last] ** 2 + drift * drift + scatter * scatter)
    expected = rows.out[_WEIGHT, last] + days * rows.out[_TREND, last]
    return deviates(rows.weight[row], expected, sigma, limits.kalman_threshold, limits.kalman_sigmas)


def protected(rows: Rows, row: int, user_first: int, user_end: int, limits: Limits) -> bool:
    """Tell whether the rules vouch for a row: by its quality, or as a level change that later readings confirmed."""
    level_change = limits.protect_level_change and rows.reset[row] == _LEVEL_CHANGE
    if not level_change and not rows.out[_QUALITY, row] > limits.protect_quality:
        return False
    # a level that the rules soon left again vouches for nothing: count its accepted readings, back to its start ...
    count = 0
    at = row
    while at >= user_first and count <= limits.excursion_readings:
        if rows.stage[at] <= _LAST_ACCEPTED:
            count += 1
            if rows.reset[at] != 0:
                break
        at -= 1
    # ... and on to the next one
    at = row + 1
    while at < user_end and count <= limits.excursion_readings:
        if rows.stage[at] <= _LAST_ACCEPTED:
            if rows.reset[at] != 0:
                return bool(rows.reset[at] == _GAP)
            count += 1
        at += 1
    return True


def alone(rows: Rows, row: int, user_first: int, user_end: int, limits: Limits) -> bool:
    """Tell whether neither the rules nor another reading vouch for a row."""
    vouched = protected(rows, row, user_first, user_end, limits)
    return not vouched and lonely(rows, row, user_first, user_end, limits)


def lonely(rows: Rows, row: int, user_first: int, user_end: int, limits: Limits) -> bool:
    """Tell whether a row can be judged, because something came after it, and no other reading supports it.

    Support is a neighbour that agrees, unless the few that agree are an excursion, such as somebody else on the scale:
    far from the readings on both sides of it, which agree.
    """
    low = high = row
    after = neighbour(rows, row, 1, user_end)
    if after < 0 or limits.support_change == 0.0:
        return after >= 0
    change, count = limits.support_change, 1
    before = neighbour(rows, row, -1, user_first - 1)
    while count <= limits.excursion_readings and supported(rows, low, before, change):
        low, count = before, count + 1
        before = neighbour(rows, low, -1, user_first - 1)
    while count <= limits.excursion_readings and supported(rows, high, after, change):
        high, count = after, count + 1
        after = neighbour(rows, high, 1, user_end)
    if count == 1:
        return True
    if count > limits.excursion_readings or before < 0 or after < 0:
        return False
    return supported(rows, before, after, change) and jump(
        rows.weight[before], rows.weight[row], limits.excursion_change
    )


def survey(rows: Rows, windows: Ints, limits: Limits, found: Bytes, counts: Ints) -> None:
    """Judge every window of a chunk.

    Args:
        rows: of the chunk
        windows: windows x the bounds that `judge` takes
        limits: see there
        found: per row, written
        counts: per window, written: accepted rows that are outliers
    """
    for number in range(len(windows)):
        bounds = (windows[number, 0], windows[number, 1], windows[number, 2], windows[number, 3])
        counts[number] = judge(rows, bounds, limits, found)
