"""The v2 rules: a Kalman filter per user, with confirmation of what it finds hard to believe.

Model. State: weight w (kg) and trend v (kg/day), covariance P. The weight is a random walk plus the integral of the
trend; the trend is an Ornstein-Uhlenbeck process, forgotten within `trend_days` (tau), so that no trend runs on over a
gap and uncertainty grows at a sober pace. Over dt days, with f = exp(-dt/tau), m = tau (1 - f), a = (wander w)^2 and
b = ((trend + growth) w)^2:

    F = [[1, m], [0, f]],  Q = [[a dt + b tau^2 (2 dt/tau - 3 + 4f - f^2), b tau (1-f)^2], [., b (1-f^2)]]

(exact discretisation: D. T. Gillespie, Phys. Rev. E 54, 1996, 2084; the scheme is that of Bar-Shalom, Li and
Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, chapters 5 and 8.) H = [1, 0], so the update
needs scalars only: S = P00 + R, K = (P00, P01) / S. All noise is a share of the weight: one set of numbers serves a
newborn and an adult, and those light enough to be growing are granted growth, upwards only.

R is the source's noise times what is learned of this user: the mean of (residual^2 + P00) / R after each update, over
the last `memory_readings`, within bounds (residual-based adaptation: S. Akhlaghi, N. Zhou, Z. Huang, IEEE PES General
Meeting 2017).

Decision. A reading is believed if its innovation, taken before the update, is within the gate: a number of standard
deviations that depends on how often its source errs, but always within `gate.share`, never beyond `gate.most_share`
plus growth; and if its overall quality reaches `quality.threshold`. One that is not believed does not touch the filter;
it starts a second one, the rival. Readings that only the rival explains confirm it (the M-of-N logic of radar tracking,
Bar-Shalom and Li, Multitarget-Multisensor Tracking, 1995, section 3.3); once confirmed it takes over, and its readings
count as accepted: a genuine change of level is followed, an outlier is not, whoever typed it. A reading that the filter
explains ends the rival. Readings that repeat the last one to the digit confirm little: it may be a form carried over.
How many confirmations are needed grows with the change, for pounds taken for kilograms come in series.

What stands on one reading (the first, one after a gap, one further off than `gate.trust_share`), or on a level change
just confirmed, can be taken back until another reading bears it out: by one that the filter as it was before explains,
or by two that agree on something else. Rows before may so change their stage, within one user; `states` tells how far
back: none before the user's row at offset min(STAND, FIRST of the rival).

Nothing restarts for the passing of a month: uncertainty grows. After `gap.days` the filter does start anew. Noise after
a start is that of any other time. Nothing is rewritten: no reading becomes a BMI or another unit.

Quality, 0 to 1. safety: 1 for usual weights and BMIs (if the height is known), 1 / (1 + 4x)^2 beyond, x = 1 at half
the lower or twice the upper limit. plausibility: exp(-(innovation / allowed)^2). consistency: 1 / (1 + (rate /
rate_share)^2), of the change since the last accepted reading less 3 sqrt(2R), per day and at least one day.
reliability: of the source. Before anything is known plausibility and consistency are 0.8. Overall: weighted harmonic
mean, where safety counts for 0.3 at least, so that a reading just as expected is never refused for whom it is of. It
does take part: it refuses readings at the edge of the gate that come too fast or from a poor source. What it refuses
can be confirmed like any other.

`innovation` and `allowed` are those before the update; NaN of a first reading, and of the reading that took its place.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.ingest.units import V2_KG
from raddle.workloads.weights.rules import v2_kernel as kernel
from raddle.workloads.weights.rules.compiled import compiled
from raddle.workloads.weights.rules.v2_flat import Rows, Tables, gate, parameters
from raddle.workloads.weights.rules.v2_profile import Profile, read_v2, sources
from raddle.workloads.weights.values import FIELDS, Filtered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from raddle.workloads.weights.rules.v2_profile import Limits, Noise
    from raddle.workloads.weights.values import Bools, Chunk

__all__ = ["V2Pass", "V2Rules", "load_v2"]

#: other formulas, other version; part of the digest
VERSION: Final = "v2-1"


@dataclass(frozen=True, slots=True)
class V2Rules:
    """The rules with a profile; see `rules.Rules`."""

    profile: str
    parameters: Profile
    digest: str
    facts: Mapping[str, float]
    name: str = "v2"
    state_size: int = kernel.STATE_SIZE

    def begin(self, chunk: Chunk, *, fast: bool) -> V2Pass:
        """Start a pass with fresh states."""
        return V2Pass(self.parameters, chunk, fast=fast)


def load_v2(profile: str) -> V2Rules:
    """Return the v2 rules with a profile: a shipped name or the path of a .toml.

    Raises:
        ConfigError: no such profile, or what is in it cannot be
    """
    found = read_v2(profile)
    text = json.dumps([VERSION, asdict(found)], sort_keys=True)
    facts = {
        "quality_threshold": found.quality.threshold,
        "gap_days": found.gap.days,
        "gate_sigmas": found.gate.sigmas,
        "gate_share": found.gate.share,
        "confirmations": found.confirm.small,
        "least_kg": found.limits.least_kg,
        "most_kg": found.limits.most_kg,
    }
    return V2Rules(profile, found, hashlib.sha256(text.encode()).hexdigest(), facts)


class V2Pass:
    """A pass over a chunk; see `rules.Pass`."""

    def __init__(self, profile: Profile, chunk: Chunk, *, fast: bool) -> None:
        rows = len(chunk.time)
        weight = chunk.value * np.array(V2_KG)[chunk.unit]
        self.filtered = said = Filtered(
            weight=weight,
            stage=np.zeros(rows, np.uint8),
            reset=np.zeros(rows, np.uint8),
            out=np.full((len(FIELDS), rows), np.nan),
            states=_fresh_states(len(chunk.users)),
        )
        found = sources(profile, chunk.source_names)
        said.out[kernel.SAFETY] = _safety(profile.limits, weight, np.repeat(chunk.height_m, np.diff(chunk.starts)))
        said.out[kernel.RELIABILITY] = _floats(source.reliability for source in found)[chunk.source]
        self._starts, self._fast = chunk.starts, fast
        self._kernel = compiled(kernel) if fast else kernel
        self._parameters = parameters(profile)
        gates = _floats(gate(profile.gate.sigmas, source.outliers) for source in found)
        self._tables = Tables(self._seen(gates), self._seen(_floats(source.confirms for source in found)))
        variance = _variance(profile.noise, weight, _floats(source.noise for source in found)[chunk.source])
        columns = (chunk.time, weight, variance, chunk.source, said.stage, said.reset, said.out)
        self._rows = Rows(*map(self._seen, columns))
        self._states = said.states if fast else [memoryview(state) for state in said.states]
        self._no_skip = self._seen(np.zeros(0, np.bool_))

    def advance(self, user: int, first: int, end: int, skip: Bools | None = None) -> None:
        """Filter the rows [first, end), all of one user; see `rules.Pass`."""
        left_out = self._no_skip if skip is None else self._seen(skip)
        zero, state = int(self._starts[user]), self._states[user]
        self._kernel.advance(first, end, zero, self._rows, self._tables, left_out, self._parameters, state)

    def whole(self) -> Filtered:
        """Filter everything."""
        starts = self._seen(self._starts)
        self._kernel.whole(starts, self._rows, self._tables, self._no_skip, self._parameters, self._states)
        return self.filtered

    def _seen(self, array: Any) -> Any:
        """Return an array as the kernel takes it; for plain Python as a view, which gives Python's own numbers."""
        whole = np.ascontiguousarray(array)
        return whole if self._fast else memoryview(whole.data)


def _floats(column: Iterable[float]) -> Any:
    return np.array(list(column), np.float64)


def _variance(noise: Noise, weight: Any, factor: Any) -> Any:
    sd = np.maximum(noise.share * weight, noise.least_kg) * factor
    return sd * sd


def _safety(limits: Limits, weight: Any, height: Any) -> Any:
    far = _beyond(weight, limits.low_kg, limits.high_kg)
    with np.errstate(all="ignore"):
        known = height > 0.0
        if known.any():
            bmi = _beyond(weight / (height * height), limits.low_bmi, limits.high_bmi)
            far = np.where(known, np.maximum(far, bmi), far)
        part = 1.0 + 4.0 * far
        return 1.0 / (part * part)


def _beyond(value: Any, low: float, high: float) -> Any:
    """Return how far values are out of a range: 0 within, 1 at half the lower or twice the upper end."""
    with np.errstate(all="ignore"):
        return np.maximum(np.maximum(low / value, value / high), 1.0) - 1.0


def _fresh_states(users: int) -> Any:
    states = np.full((users, kernel.STATE_SIZE), np.nan)
    for track in (kernel.MAIN, kernel.RIVAL, kernel.FORMER):
        states[:, [track + kernel.COUNT, track + kernel.RESETS]] = 0.0
    states[:, kernel.CREDIT] = 0.0
    return states
