"""The parameters of the v2 rules: what a profile holds, and in which unit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from raddle import errors
from raddle.plugin.settings import number
from raddle.workloads.weights.rules.profiles import read_profile

__all__ = ["SAFETY_FLOOR", "SOURCES", "Profile", "Source", "read_v2", "source_class", "sources"]

#: where each source's parameters are found; the names of the original's files, and of the presets for exports
SOURCES: Final = {
    "care-team-upload": "care_team",
    "care-team-entry": "care_team",
    "patient-upload": "patient_upload",
    "user-upload": "patient_upload",
    "internal-questionnaire": "questionnaire",
    "initial-questionnaire": "questionnaire",
    "questionnaire": "questionnaire",
    "patient-device": "device",
    "withings": "device",
    "fitbit": "device",
    "garmin": "device",
    "apple": "device",
    "apple health": "device",
    "https://connectivehealth.io": "connectivehealth",
    "https://api.iglucose.com": "iglucose",
}
#: safety counts for at least this in the overall quality, as in the kernel
SAFETY_FLOOR: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Scatter of a reading about the true weight, as standard deviation."""

    #: share of the weight, and at least kg
    share: float = number(1e-6, 1.0)
    least_kg: float = number(1e-6, 100.0)
    #: a user's own noise is learned within these factors of that
    learn_from: float = number(0.01, 1.0)
    learn_to: float = number(1.0, 100.0)
    #: how many readings the profile's noise is worth before a user's own, and how many are remembered
    prior_readings: int = number(1, 10_000)
    memory_readings: int = number(2, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """How the true weight moves."""

    #: random walk of the weight: share of it per square root of a day
    wander: float = number(0.0, 1.0)
    #: standard deviation of the trend, share of the weight per day; days in which a trend is forgotten by 63 %
    trend: float = number(1e-9, 1.0)
    trend_days: float = number(0.1, 10_000.0)
    #: nobody's trend is greater, share of the weight per day
    trend_most: float = number(1e-6, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Which readings are believed."""

    #: within so many standard deviations of the innovation, for an ordinary device
    sigmas: float = number(1.0, 100.0)
    #: always within this share of the weight; never, however long nothing was heard, beyond that one (and growth)
    share: float = number(0.0, 10.0)
    most_share: float = number(0.001, 10.0)
    #: a reading further off than this share is believed, but a later one must bear it out
    trust_share: float = number(0.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    #: after so long without an accepted reading the filter starts anew from the next one that is believed
    days: float = number(0.01, 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """What a change of level needs to be followed."""

    #: a reading counts if it comes at least so long after the first of them
    days: float = number(0.0, 1000.0)
    #: worth of a reading that repeats the last one to the digit, as a share
    repeat: float = number(0.0, 1.0)
    #: confirmations for a reading up to a share of the weight beyond what is believed; past the larger share, `huge`
    small_share: float = number(0.0, 10.0)
    small: float = number(0.0, 1000.0)
    large_share: float = number(0.0, 10.0)
    large: float = number(0.0, 1000.0)
    huge: float = number(0.0, 1000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Human weights."""

    #: outside these: stage "physiological"
    least_kg: float = number(0.01, 10.0)
    most_kg: float = number(100.0, 1000.0)
    #: outside these, kg and kg/m2: less safe
    low_kg: float = number(0.01, 100.0)
    high_kg: float = number(100.0, 1000.0)
    low_bmi: float = number(1.0, 25.0)
    high_bmi: float = number(25.0, 1000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    #: a reading of less overall quality is not believed
    threshold: float = number(0.0, 1.0)
    #: change at which consistency is one half, share of the weight per day
    rate_share: float = number(1e-6, 10.0)
    #: weights of the harmonic mean
    safety: float = number(0.0, 1.0)
    plausibility: float = number(0.0, 1.0)
    consistency: float = number(0.0, 1.0)
    reliability: float = number(0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    #: factor on the standard deviation of its noise
    noise: float = number(0.01, 100.0)
    #: of 1000 readings; sets its gate
    outliers: float = number(0.01, 900.0)
    #: quality component
    reliability: float = number(0.05, 1.0)
    #: confirmations that one reading is worth
    confirms: float = number(0.0, 1000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    care_team: Source
    patient_upload: Source
    questionnaire: Source
    device: Source
    connectivehealth: Source
    iglucose: Source
    other: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Every parameter of the rules."""

    noise: Noise
    motion: Motion
    gate: Gate
    gap: Gap
    confirm: Confirm
    limits: Limits
    quality: Quality
    sources: Sources


def read_v2(profile: str) -> Profile:
    """Return a profile.

    Raises:
        ConfigError: no such profile, a wrong key or value, or values that contradict each other
    """
    found = read_profile("v2", profile, Profile)
    for problem in _contradictions(found):
        raise errors.ConfigError(f"profile={profile!r}: {problem}")
    return found


def source_class(name: str) -> str:
    """Return which of `Sources` a source's readings go by."""
    return SOURCES.get(name.strip().lower(), "other")


def sources(profile: Profile, names: tuple[str, ...]) -> list[Source]:
    """Return the parameters of each source of a chunk."""
    return [getattr(profile.sources, source_class(name)) for name in names]


def _contradictions(profile: Profile) -> list[str]:
    """Say what cannot be together."""
    problems = []
    motion, noise, limits, quality = profile.motion, profile.noise, profile.limits, profile.quality
    most = 0.9
    if motion.trend_most * motion.trend_days > most:
        problems.append(
            f"motion.trend_most={motion.trend_most:g} times motion.trend_days={motion.trend_days:g} is over {most}: "
            "an expected weight could be negative; lower one of them"
        )
    if noise.prior_readings > noise.memory_readings:
        problems.append(
            f"noise.prior_readings={noise.prior_readings} is more than noise.memory_readings={noise.memory_readings}: "
            "raise the memory"
        )
    if limits.low_kg < limits.least_kg or limits.high_kg > limits.most_kg:
        problems.append("limits.low_kg and limits.high_kg must lie within limits.least_kg and limits.most_kg")
    shares = (quality.safety, quality.plausibility, quality.consistency, quality.reliability)
    if sum(shares) <= 0.0:
        problems.append("quality: the weights of all components are 0: one at least must be more")
        return problems
    worst = min(getattr(profile.sources, item.name).reliability for item in fields(profile.sources))
    # a reading just as expected must never be refused for its source or for whom it is of: it would be for ever
    best = sum(shares) / (shares[0] / SAFETY_FLOOR + shares[1] + shares[2] + shares[3] / worst)
    if quality.threshold > best:
        problems.append(
            f"quality.threshold={quality.threshold:g} would refuse all readings of a source of reliability={worst:g}, "
            f"whatever they say: at most {best:.2f}, or raise that reliability"
        )
    return problems
