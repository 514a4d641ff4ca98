"""Weight histories of which the truth is known, to measure rules by.

What is chosen, and why. Scatter of a reading: 0.62 kg, what the golden vectors show row to row (0.63 to 0.68 kg about
the median of ten neighbours, which itself is off by 0.2) with hardly a difference between their sources; here people
differ by a factor (log-normal, 0.25; the mean square is kept), sources by 10 % at most. True weight: a trend of up to
0.02 kg a day, a slow wave, and a random walk of 0.05 kg per square root of a day. Readings every 1.3 days on average
(gamma), one in a hundred after a gap of 20 to 90 days. Errors: any row, the first included, of any source, typed ones
too; 8 to 35 kg, either sign. A genuine step is first told by a source typed by hand. Nobody starts under 64 kg: the
original takes kilograms under 50 for a BMI, an error of 80 kg beside which nothing else of it could be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.values import DAY, Chunk

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bools, Filtered, Floats

__all__ = ["Score", "Truth", "score", "truth"]

#: source: share of the readings, factor on the noise
SOURCES: Final = {
    "patient-device": (0.44, 1.0),
    "https://api.iglucose.com": (0.24, 1.05),
    "https://connectivehealth.io": (0.19, 1.05),
    "internal-questionnaire": (0.055, 1.0),
    "patient-upload": (0.05, 0.95),
    "care-team-upload": (0.025, 0.9),
    "initial-questionnaire": (0.0, 1.0),
}
#: the sources typed by hand, by index
_MANUAL: Final = (3, 4, 5)
_INITIAL: Final = 6
_NOISE_KG: Final = 0.62
_PEOPLE: Final = 0.25
#: ticks of 1 January 2023, UTC
_BEGIN: Final = 19_358 * DAY
_LEAST_KG: Final = 25.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """A chunk, with the true weight (kg) behind each row, and which rows are errors."""

    chunk: Chunk
    weight_kg: Floats
    outlier: Bools


@dataclass(frozen=True, slots=True)
class Score:
    """How well rules did."""

    #: share of the errors that were refused
    recall: float
    #: share of the genuine readings that were refused
    false_rejects: float
    #: kg, of the filtered weight against the truth, on all accepted rows
    rmse: float


def truth(
    users: int,
    rows: int,
    seed: int,
    *,
    outliers: float = 0.03,
    outlier_kg: tuple[float, float] = (8.0, 35.0),
    steps: float = 0.2,
    step_kg: float = 8.0,
    noise_kg: float = _NOISE_KG,
    gaps: float = 0.01,
) -> Truth:
    """Make histories: `rows` readings of each user, in order of time; the same for the same arguments.

    Args:
        users: how many people
        rows: readings of each
        seed: of chance
        outliers: share of rows that are errors
        outlier_kg: least and greatest error, either sign
        steps: share of users whose true weight changes at once, somewhere in the middle
        step_kg: by how much, either sign
        noise_kg: standard deviation of a reading about the truth
        gaps: share of rows that come after a gap of 20 to 90 days
    """
    chance = np.random.default_rng(seed)
    shape = (users, rows)
    days = _days(chance, shape, gaps)
    weight = _weights(chance, days)
    source = chance.choice(len(SOURCES), shape, p=_shares())
    source[:, 0] = _INITIAL
    at = chance.integers(rows // 10, max(rows // 10 + 1, rows - rows // 10), users)
    stepping = chance.random(users) < steps
    after = stepping[:, None] & (np.arange(rows) >= at[:, None])
    weight += after * (step_kg * chance.choice((-1.0, 1.0), users))[:, None]
    typed = chance.choice(_MANUAL, users)
    source[stepping, at[stepping]] = typed[stepping]
    own = np.exp(chance.normal(0.0, _PEOPLE, (users, 1))) / np.exp(_PEOPLE * _PEOPLE)
    factor = np.array([factor for _share, factor in SOURCES.values()])[source]
    value = weight + chance.normal(0.0, 1.0, shape) * noise_kg * own * factor
    outlier = chance.random(shape) < outliers
    error = chance.uniform(*outlier_kg, shape) * chance.choice((-1.0, 1.0), shape)
    error = np.where(value + error < _LEAST_KG, abs(error), error)
    value = np.round(np.where(outlier, value + error, value), 1)
    count = users * rows
    digits = len(str(max(users - 1, 0)))
    chunk = Chunk(
        users=tuple(f"user-{number:0{digits}}" for number in range(users)),
        starts=np.arange(users + 1, dtype=np.int64) * rows,
        line=np.arange(2, count + 2, dtype=np.int64),
        file=np.zeros(count, np.int64),
        time=_BEGIN + (days.ravel() * DAY).astype(np.int64),
        value=value.ravel(),
        unit=np.zeros(count, np.uint8),
        source=source.ravel().astype(np.int64),
        source_names=tuple(SOURCES),
        height_m=np.round(chance.normal(1.70, 0.09, users), 2),
        unused=np.zeros(users, np.int64),
    )
    return Truth(chunk, weight.ravel(), outlier.ravel())


def score(true: Truth, filtered: Filtered) -> Score:
    """Measure what rules said against the truth."""
    accepted = filtered.stage <= 1
    genuine = ~true.outlier
    wrong = filtered.out[0][accepted] - true.weight_kg[accepted]
    return Score(
        recall=float((~accepted[true.outlier]).mean()),
        false_rejects=float((~accepted[genuine]).mean()),
        rmse=float(np.sqrt((wrong * wrong).mean())),
    )


def _shares() -> Any:
    shares = np.array([share for share, _factor in SOURCES.values()])
    return shares / shares.sum()


def _days(chance: Any, shape: tuple[int, int], gaps: float) -> Any:
    steps = chance.gamma(2.0, 0.65, shape) + 1e-4
    steps += (chance.random(shape) < gaps) * chance.uniform(20.0, 90.0, shape)
    steps[:, 0] = chance.uniform(0.0, 30.0, shape[0])
    return steps.cumsum(axis=1)


def _weights(chance: Any, days: Any) -> Any:
    users = len(days)
    first = np.clip(chance.normal(88.0, 15.0, (users, 1)), 64.0, 160.0)
    since = days - days[:, :1]
    trend = chance.uniform(-0.02, 0.02, (users, 1))
    period, phase = chance.uniform(60.0, 240.0, (users, 1)), chance.uniform(0.0, 2.0 * np.pi, (users, 1))
    wave = chance.uniform(0.0, 1.0, (users, 1)) * np.sin(2.0 * np.pi * since / period + phase)
    spread = 0.05 * np.sqrt(np.diff(days, axis=1, prepend=days[:, :1]))
    return first + trend * since + wave + (chance.normal(0.0, 1.0, days.shape) * spread).cumsum(axis=1)
