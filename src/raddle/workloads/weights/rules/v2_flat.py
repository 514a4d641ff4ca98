"""What the v2 kernel takes: flat numbers, columns and tables; numba compiles attribute access to these.

numba's cache on disk names these classes by module: one that was moved would make an older cache unreadable.
"""

from __future__ import annotations

from dataclasses import fields
from math import log, sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from raddle.workloads.weights.rules.v2_profile import Profile

__all__ = ["Parameters", "Rows", "Tables", "Tracks", "gate", "parameters"]

#: outliers in 1000 readings of an ordinary device, for which the profile's gate is meant
_ORDINARY: Final = 20.7


class Parameters(NamedTuple):
    """A profile without its sources, flat; see there."""

    noise_share: float
    noise_kg: float
    noise_least: float
    noise_most: float
    noise_prior: float
    noise_memory: float
    wander: float
    trend: float
    trend_days: float
    trend_most: float
    gate_share: float
    gate_most: float
    trust_share: float
    gap_days: float
    confirm_days: float
    confirm_repeat: float
    small_share: float
    small: float
    large_share: float
    large: float
    huge: float
    least_kg: float
    most_kg: float
    low_kg: float
    high_kg: float
    low_bmi: float
    high_bmi: float
    threshold: float
    rate_share: float
    safety: float
    plausibility: float
    consistency: float
    reliability: float


class Tables(NamedTuple):
    """By source of a chunk."""

    #: standard deviations
    gates: Any
    #: confirmations that a reading is worth
    credit: Any


class Rows(NamedTuple):
    """By row of a chunk: ticks, kg, kg^2 before anything is learned of a user, source; and what is said of them."""

    time: Any
    weight: Any
    variance: Any
    source: Any
    stage: Any
    reset: Any
    #: len(values.FIELDS) x rows
    out: Any


class Tracks(NamedTuple):
    """The tracks of one user, which are views of the state: see `v2_kernel`."""

    main: Any
    rival: Any
    former: Any
    #: one place: confirmations of the rival
    credit: Any


def parameters(profile: Profile) -> Parameters:
    """Return the flat form of a profile."""
    gate, limits, quality = profile.gate, profile.limits, profile.quality
    return Parameters._make(
        (
            *_numbers(profile.noise),
            *_numbers(profile.motion),
            gate.share,
            gate.most_share,
            gate.trust_share,
            profile.gap.days,
            *_numbers(profile.confirm),
            *_numbers(limits),
            *_numbers(quality),
        )
    )


def _numbers(table: Any) -> tuple[float, ...]:
    return tuple(float(getattr(table, item.name)) for item in fields(table))


def gate(sigmas: float, outliers: float) -> float:
    """Return the gate of a source, standard deviations.

    A reading is believed while normal noise explains it better than an error: z^2 / 2 below the logarithm of the odds
    against an error, plus what both have in common. So a source whose odds differ has another gate.
    """
    squared = sigmas * sigmas + 2.0 * (_odds(outliers) - _odds(_ORDINARY))
    return sqrt(max(1.0, squared))


def _odds(outliers: float) -> float:
    return log((1000.0 - outliers) / outliers)
