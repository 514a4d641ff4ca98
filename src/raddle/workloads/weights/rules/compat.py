"""The rules of the original, section 2 of the research, for those who must compare: decisions and numbers are its own.

This side holds the parameters and the tables per source; the arithmetic, and the list of the oddities that are kept
on purpose or left out, is in `compat_kernel`. Rows are taken in the order in which they come: the file's, not time's.
Not reproduced at all: switches that did nothing, per-reset quality weights that were never used, and everything that
made a result depend on the seed of hashing, on the wall clock or on an earlier run in the same process (D1, D2, D10).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.plugin.settings import number
from raddle.workloads.weights.ingest.units import COMPAT_KG
from raddle.workloads.weights.rules import compat_kernel as kernel
from raddle.workloads.weights.rules.compiled import compiled
from raddle.workloads.weights.rules.profiles import read_profile
from raddle.workloads.weights.values import FIELDS, Filtered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from raddle.workloads.weights.values import Bools, Chunk

__all__ = ["CompatPass", "CompatRules", "Profile", "load_compat"]

#: other formulas, other version; part of the digest
VERSION: Final = "compat-1"
#: metres of a user whose height is not known [1.1]
HEIGHT_M: Final = 1.67
_HEIGHT_LEAST, _HEIGHT_MOST = 0.2, 3.0
#: limits of parameters that divide, or that must leave numbers finite
_LEAST: Final = 1e-6
_MOST: Final = 1e6

#: noise and base reliability times the factor of the outlier rate, by source [2.2, 2.7]
SOURCES: Final = MappingProxyType(
    {
        "care-team-upload": (0.5, 1.0 * 1.0),
        "patient-upload": (0.7, 1.0 * 0.95),
        "internal-questionnaire": (0.8, 0.85 * 0.95),
        "initial-questionnaire": (0.8, 0.85 * 0.95),
        "patient-device": (1.0, 0.85 * 0.9),
        "https://connectivehealth.io": (1.5, 0.7 * 0.9),
        "https://api.iglucose.com": (3.0, 0.5 * 0.8),
    }
)
OTHER_SOURCE: Final = (1.0, 0.6 * 0.9)
#: sources of manual entries [2.3]
MANUAL: Final = frozenset(
    {
        "internal-questionnaire",
        "initial-questionnaire",
        "questionnaire",
        "patient-upload",
        "user-upload",
        "care-team-upload",
        "care-team-entry",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    extreme_threshold: float = number(0, _MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentWeights:
    safety: float = number(_LEAST, _MOST)
    plausibility: float = number(_LEAST, _MOST)
    consistency: float = number(_LEAST, _MOST)
    reliability: float = number(_LEAST, _MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityScoring:
    use_harmonic_mean: bool
    threshold: float = number(0, 1)
    component_weights: ComponentWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """What is different after a reset, and for how long."""

    initial_variance_multiplier: float = number(_LEAST, _MOST)
    weight_noise_multiplier: float = number(_LEAST, _MOST)
    trend_noise_multiplier: float = number(_LEAST, _MOST)
    observation_noise_multiplier: float = number(_LEAST, _MOST)
    adaptation_measurements: int = number(0, _MOST)
    adaptation_days: float = number(0, _MOST)
    adaptation_decay_rate: float = number(_LEAST, _MOST)
    quality_acceptance_threshold: float = number(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardReset(Reset):
    gap_threshold_days: float = number(0, _MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftReset(Reset):
    enabled: bool
    min_weight_change_kg: float = number(0, _MOST)
    cooldown_days: float = number(0, _MOST)
    more_trigger_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resets:
    initial: Reset
    hard: HardReset
    soft: SoftReset


@dataclass(frozen=True, slots=True, kw_only=True)
class Kalman:
    initial_variance: float = number(_LEAST, _MOST)
    transition_covariance_weight: float = number(0, _MOST)
    transition_covariance_trend: float = number(0, _MOST)
    observation_covariance: float = number(_LEAST, _MOST)
    reset: Resets


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Every parameter of the rules; tables and keys as in the original's configuration."""

    processing: Processing
    quality_scoring: QualityScoring
    kalman: Kalman


@dataclass(frozen=True, slots=True)
class CompatRules:
    """The rules with a profile."""

    profile: str
    parameters: Profile
    digest: str
    facts: Mapping[str, float]
    name: str = "compat"
    state_size: int = kernel.STATE

    def begin(self, chunk: Chunk, *, fast: bool) -> CompatPass:
        """Start a pass with fresh states."""
        return CompatPass(self.parameters, chunk, fast=fast)


def load_compat(profile: str) -> CompatRules:
    """Return the compat rules with a profile: a shipped name or the path of a .toml.

    Raises:
        ConfigError: no such profile, or what is in it cannot be
    """
    parameters = read_profile("compat", profile, Profile)
    text = json.dumps([VERSION, asdict(parameters)], sort_keys=True)
    return CompatRules(profile, parameters, hashlib.sha256(text.encode()).hexdigest(), _facts(parameters))


class CompatPass:
    """A pass over a chunk; see `rules.Pass`."""

    def __init__(self, parameters: Profile, chunk: Chunk, *, fast: bool) -> None:
        count, users = len(chunk.time), len(chunk.users)
        self.filtered = Filtered(
            weight=np.full(count, np.nan),
            stage=np.zeros(count, np.uint8),
            reset=np.zeros(count, np.uint8),
            out=np.full((len(FIELDS), count), np.nan),
            states=_fresh_states(users),
        )
        said = self.filtered
        self._kernel: Any = compiled(kernel) if fast else kernel
        self._seen: Callable[[Any], Any] = np.asarray if fast else memoryview
        self._tables = self._all_seen(*_tables(parameters, chunk.source_names))
        rows = (chunk.time, np.int64), (chunk.value, np.float64), (chunk.unit, np.uint8), (chunk.source, np.int64)
        self._rows = self._all_seen(*(_own(array, kind) for array, kind in rows))
        self._said = self._all_seen(said.weight, said.stage, said.reset, said.out)
        self._states: Any = said.states if fast else self._all_seen(*said.states)
        self._squared_heights = self._seen(_squared(chunk.height_m))
        self._starts = self._seen(_own(chunk.starts, np.int64))
        self._work, self._nothing = self._all_seen(np.zeros(kernel.STATE), np.zeros(0, np.bool_))

    def advance(self, user: int, first: int, end: int, skip: Bools | None = None) -> None:
        """Filter the rows [first, end), all of one user; see `rules.Pass`."""
        left_out = self._nothing if skip is None else self._seen(_own(skip, np.bool_))
        who = (self._states[user], self._work, float(self._squared_heights[user]))
        self._kernel.advance(self._tables, (*self._rows, left_out), self._said, who, (first, end))

    def whole(self) -> Filtered:
        """Filter everything."""
        who = (self._states, self._work, self._squared_heights)
        self._kernel.whole(self._tables, (*self._rows, self._nothing), self._said, who, self._starts)
        return self.filtered

    def _all_seen(self, *arrays: Any) -> tuple[Any, ...]:
        """Return arrays as the kernel takes them: as they are, or as views, which give Python's own numbers."""
        return tuple(map(self._seen, arrays))


def _own(array: Any, kind: Any) -> Any:
    """Return an array of the one type the kernel is compiled for; what is read-only would be another type."""
    return np.require(array, kind, ["C", "W"])


def _fresh_states(users: int) -> Any:
    states = np.full((users, kernel.STATE), np.nan)
    states[:, [kernel.ACCEPTED, kernel.RESETS]] = 0.0
    return states


def _squared(heights: Any) -> Any:
    """Return heights squared (m^2); what is no height is not known."""
    return np.where((heights > _HEIGHT_LEAST) & (heights < _HEIGHT_MOST), heights, HEIGHT_M) ** 2


def _tables(parameters: Profile, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return the parameter vector, kilograms by unit, and four columns by source."""
    manual = MANUAL | set(parameters.kalman.reset.soft.more_trigger_sources)
    return (
        _vector(parameters),
        np.array(COMPAT_KG),
        np.array([SOURCES.get(name, OTHER_SOURCE)[0] for name in names], np.float64),
        np.array([SOURCES.get(name, OTHER_SOURCE)[1] for name in names], np.float64),
        np.array([name in manual for name in names], np.bool_),
        np.array(["connectivehealth" in name for name in names], np.bool_),
    )


def _vector(parameters: Profile) -> Any:
    quality, kalman = parameters.quality_scoring, parameters.kalman
    resets, shares = kalman.reset, quality.component_weights
    vector = np.zeros(kernel.PARAMS)
    places = {
        kernel.EXTREME_SHARE: parameters.processing.extreme_threshold,
        kernel.THRESHOLD: quality.threshold,
        kernel.HARMONIC: quality.use_harmonic_mean,
        kernel.SAFETY_SHARE: shares.safety,
        kernel.PLAUSIBILITY_SHARE: shares.plausibility,
        kernel.CONSISTENCY_SHARE: shares.consistency,
        kernel.RELIABILITY_SHARE: shares.reliability,
        kernel.VARIANCE: kalman.initial_variance,
        kernel.WEIGHT_NOISE: kalman.transition_covariance_weight,
        kernel.TREND_NOISE: kalman.transition_covariance_trend,
        kernel.READING_NOISE: kalman.observation_covariance,
        kernel.GAP_DAYS: resets.hard.gap_threshold_days,
        kernel.MANUAL: resets.soft.enabled,
        kernel.MANUAL_KG: resets.soft.min_weight_change_kg,
        kernel.COOLDOWN_DAYS: resets.soft.cooldown_days,
    }
    for place, value in places.items():
        vector[place] = value
    for kind, reset in enumerate((resets.initial, resets.hard, resets.soft)):
        at = kernel.RESET_PARAMS + kind * kernel.RESET_SIZE
        vector[at + kernel.VARIANCE_TIMES] = reset.initial_variance_multiplier
        vector[at + kernel.WEIGHT_NOISE_TIMES] = reset.weight_noise_multiplier
        vector[at + kernel.TREND_NOISE_TIMES] = reset.trend_noise_multiplier
        vector[at + kernel.READING_NOISE_TIMES] = reset.observation_noise_multiplier
        vector[at + kernel.ADAPTING_READINGS] = reset.adaptation_measurements
        vector[at + kernel.ADAPTING_DAYS] = reset.adaptation_days
        vector[at + kernel.DECAY] = reset.adaptation_decay_rate
        vector[at + kernel.ADAPTING_THRESHOLD] = reset.quality_acceptance_threshold
    return vector


def _facts(parameters: Profile) -> Mapping[str, float]:
    """Return the numbers that a sentence about a decision may need."""
    resets = parameters.kalman.reset
    facts = {
        # for those who tell no reset from another: the first
        "adaptation_readings": float(resets.initial.adaptation_measurements),
        "adaptation_days": resets.initial.adaptation_days,
        "quality_threshold": parameters.quality_scoring.threshold,
        "extreme_threshold": parameters.processing.extreme_threshold,
        "adaptation_extreme_threshold": kernel.ADAPTING_EXTREME,
        "gap_days": resets.hard.gap_threshold_days,
        "bmi_least": kernel.BMI_LEAST,
        "bmi_most": kernel.BMI_MOST,
    }
    if resets.soft.enabled:
        facts["soft_change_kg"] = resets.soft.min_weight_change_kg
        facts["soft_cooldown_days"] = resets.soft.cooldown_days
    for name, reset in (("first", resets.initial), ("gap", resets.hard), ("manual", resets.soft)):
        facts[f"{name}_adaptation_readings"] = float(reset.adaptation_measurements)
        facts[f"{name}_adaptation_days"] = reset.adaptation_days
        facts[f"{name}_quality_threshold"] = reset.quality_acceptance_threshold
    return facts
