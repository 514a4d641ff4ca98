"""A Kalman filter per user, with confirmation of what it finds hard to believe.

State: weight w (kg) and trend v (kg/day), covariance P. Between readings dt days apart the state moves by the
constant-velocity model with white-noise acceleration, to which a random walk of the weight itself is added:

    F = [[1, dt], [0, 1]],  Q = a [[dt, 0], [0, 0]] + b [[dt^3/3, dt^2/2], [dt^2/2, dt]]

(Bar-Shalom, Li and Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, sections 5.2 and 6.2.2.)
H = [1, 0], so the update needs scalars only: S = P00 + R, K = (P00, P01) / S. All noise is a share of the weight, so
that one set of numbers serves a newborn and an adult.

A reading further from the expected weight than the gate allows does not touch the filter; it starts a second one, the
rival. Readings that only the rival explains confirm it (the M-of-N logic of radar tracking, same book, section 3.3);
once confirmed it takes over and its readings count as accepted: a genuine change of level is followed, an outlier
never is. A reading that the filter explains ends the rival.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

from raddle.workloads.weights.values import UserResult

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Readings

__all__ = ["RULES", "filter_user"]

#: name of this set of rules; part of an item's id, so that other rules mean other work
RULES = "thin-1"

GAP_DAYS = 30.0
#: standard deviation of a single reading, as a share of the weight, and at least this many kg
NOISE, NOISE_KG = 0.010, 0.10
#: random walk of the weight, share of it per square root of a day; of the trend, share per day and root of a day
WANDER, TREND_WANDER = 0.0015, 0.00014
#: standard deviation of the trend at a start, share of the weight per day, and at least kg/day
TREND_START, TREND_START_KG = 0.001, 0.03
#: nobody's weight drifts faster: share of it per day, and at least kg/day
TREND_MOST, TREND_MOST_KG = 0.010, 0.05
#: a reading is believed within so many standard deviations of the innovation, and always within this share
GATE, GATE_SHARE = 4.0, 0.04
#: after a gap this share either way is believed, upwards more for those who may be growing
GAP_SHARE, GAP_MOST = 0.25, 2.5
#: human weights, kg
LEAST_KG, MOST_KG = 0.3, 500.0
#: a reading confirms a rival that began at least this long before it: one weighing twice wrong proves nothing
CONFIRM_DAYS = 0.25
#: how many confirmations a change up to a share of the weight needs: twofold is hardly ever a person's own change, but
#: pounds for kilograms, and that error comes in series
CONFIRMATIONS = ((0.20, 1), (0.50, 2), (float("inf"), 5))
#: a first reading after a gap within this share of the last weight needs no confirmation itself
TRUST_SHARE = 0.10

#: noise of a source's readings relative to an ordinary device
SOURCE_NOISE = {
    "care-team-upload": 0.5,
    "patient-upload": 0.7,
    "internal-questionnaire": 0.8,
    "initial-questionnaire": 0.8,
    "patient-device": 1.0,
    "https://connectivehealth.io": 1.5,
    "https://api.iglucose.com": 3.0,
}

#: days; thirty days between two instants may come out a hair less
_ROUNDING = 1e-9

_INITIALIZATION, _ACCEPTED, _DEVIATION, _PHYSIOLOGICAL = range(4)
_Said = tuple[float, float, float, float, float, float]


class _Reading(NamedTuple):
    at: int
    weight: float
    day: float
    #: of its noise, kg^2
    variance: float


@dataclass(slots=True)
class _Track:
    """A filter under way."""

    w: float
    v: float
    p00: float
    p01: float
    p11: float
    #: day of the latest reading it took, and of the first
    day: float
    first_day: float
    #: confirmed by a second reading, or by agreement with what was before
    trusted: bool
    #: offset -> why it was started there; a rival's until it takes over
    starts: dict[int, str]
    confirmations: int = 0
    #: what it says of its readings, by offset
    said: dict[int, _Said] = field(default_factory=dict)
    #: offset where it was last started
    start: int = 0
    #: accepted since then
    count: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """What a track makes of a reading, before it sees it."""

    w: float
    v: float
    p00: float
    p01: float
    p11: float
    innovation: float
    allowed: float
    believed: bool
    gap: bool


def filter_user(readings: Readings) -> UserResult:
    """Filter one user's readings, which are in order of time."""
    job = _Filtering(readings)
    for at in range(len(readings.lines)):
        job.step(at)
    return job.result()


class _Filtering:
    """The filter, its rival, and what has been said so far of each reading."""

    def __init__(self, readings: Readings) -> None:
        count = len(readings.lines)
        self.readings = readings
        self.per_day = readings.ticks_per_day
        self.noise = [SOURCE_NOISE.get(name.lower(), 1.0) for name in readings.source_names]
        self.stages = bytearray([_DEVIATION]) * count
        self.said: list[_Said | None] = [None] * count
        self.restarts: dict[int, str] = {}
        self.main: _Track | None = None
        self.rival: _Track | None = None
        self.last = -1

    def step(self, at: int) -> None:
        readings = self.readings
        weight = readings.weights_kg[at]
        variance = max(NOISE * weight, NOISE_KG) ** 2 * self.noise[readings.sources[at]]
        reading = _Reading(at, weight, readings.times[at] / self.per_day, variance)
        if not LEAST_KG <= weight <= MOST_KG:
            self.stages[at] = _PHYSIOLOGICAL
        elif self.main is None:
            self.main = _start(reading, why="first reading", innovation=0.0, allowed=0.0)
            self._accept(self.main, at)
        else:
            self._judge(reading, self.main)

    def _judge(self, reading: _Reading, main: _Track) -> None:
        view, rival = _view(main, reading), self.rival
        other = None if rival is None else _view(rival, reading)
        nearer = other is not None and other.believed and abs(other.innovation) < abs(view.innovation)
        if view.believed and not nearer:
            self.rival = None
            _advance(main, reading, view)
            self._accept(main, reading.at)
            return
        self.said[reading.at] = _words(view)
        if rival is None or other is None or not other.believed:
            self.rival = _start(reading, why="level change", innovation=view.innovation, allowed=view.allowed)
            return
        _advance(rival, reading, other)
        rival.confirmations += reading.day - rival.first_day >= CONFIRM_DAYS
        change = abs(reading.weight - main.w) / main.w if main.trusted else 0.0
        if rival.confirmations >= next(needed for share, needed in CONFIRMATIONS if change <= share):
            self._take_over(main, rival)

    def _accept(self, track: _Track, at: int) -> None:
        """Write down what a filter made of a reading that it took."""
        why = track.starts.pop(at, None)
        self.stages[at] = _ACCEPTED if why is None else _INITIALIZATION
        self.said[at] = track.said.pop(at)
        if why is not None:
            self.restarts[at] = why
        self.last = at

    def _take_over(self, main: _Track, rival: _Track) -> None:
        if not main.trusted:  # a start that nothing confirmed, against readings that agree
            for at in range(main.start, self.last + 1):
                self.stages[at] = max(self.stages[at], _DEVIATION)
            self.restarts.pop(main.start, None)
        for at in sorted(rival.said):
            self._accept(rival, at)
        rival.trusted = True
        self.main, self.rival = rival, None

    def result(self) -> UserResult:
        columns = list(zip(*((said or (None,) * 6) for said in self.said), strict=True)) or [()] * 6
        main = self.main
        return UserResult(
            stages=bytes(self.stages),
            filtered_kg=columns[0],
            trend_kg_day=columns[1],
            sigma_kg=columns[2],
            trend_sigma=columns[3],
            innovation_kg=columns[4],
            allowed_kg=columns[5],
            restarts=self.restarts,
            state=None if main is None else (main.w, main.v, main.p00, main.p01, main.p11),
            last=self.last,
            since_restart=0 if main is None else main.count,
        )


def _start(reading: _Reading, *, why: str, innovation: float, allowed: float) -> _Track:
    weight, r = reading.weight, reading.variance
    p11 = max(TREND_START * weight, TREND_START_KG) ** 2
    track = _Track(
        w=weight,
        v=0.0,
        p00=r,
        p01=0.0,
        p11=p11,
        day=reading.day,
        first_day=reading.day,
        trusted=False,
        starts={reading.at: why},
        start=reading.at,
        count=1,
    )
    track.said[reading.at] = (weight, 0.0, sqrt(r), sqrt(p11), innovation, allowed)
    return track


def _view(track: _Track, reading: _Reading) -> _View:
    dt = reading.day - track.day
    if dt >= GAP_DAYS - _ROUNDING:
        innovation = reading.weight - track.w
        up = min(GAP_SHARE + _growth(track.w) * dt, GAP_MOST) * track.w
        allowed = up if innovation > 0 else GAP_SHARE * track.w
        variance = (allowed / GATE) ** 2
        believed = abs(innovation) <= allowed
        return _View(track.w, 0.0, variance, 0.0, track.p11, innovation, allowed, believed=believed, gap=True)
    a = (WANDER * track.w) ** 2
    b = (TREND_WANDER * track.w) ** 2
    w = track.w + dt * track.v
    p00 = track.p00 + 2.0 * dt * track.p01 + dt * dt * track.p11 + a * dt + b * dt**3 / 3.0
    p01 = track.p01 + dt * track.p11 + b * dt * dt / 2.0
    p11 = track.p11 + b * dt
    allowed = max(GATE * sqrt(p00 + reading.variance), GATE_SHARE * w)
    innovation = reading.weight - w
    believed = abs(innovation) <= allowed
    return _View(w, track.v, p00, p01, p11, innovation, allowed, believed=believed, gap=False)


def _growth(weight: float) -> float:
    """Return the share of the weight per day that somebody this light may gain in the long run.

    A loose bound: a newborn may treble its weight within a year, a child of 30 kg add a fifth, an adult nothing
    beyond what is believed anyway.
    """
    child = 0.0005 * min(1.0, max(0.0, (60.0 - weight) / 30.0))
    infant = 0.0065 * max(0.0, 1.0 - weight / 10.0)
    return child + infant


def _advance(track: _Track, reading: _Reading, view: _View) -> None:
    """Let a track take a reading that it believes: the update, or after a gap a new start from it."""
    if view.gap:
        fresh = _start(reading, why="gap", innovation=view.innovation, allowed=view.allowed)
        track.w, track.v, track.p00, track.p01, track.p11 = fresh.w, fresh.v, fresh.p00, fresh.p01, fresh.p11
        # short of that agreement it stands on one reading again, and may fall to a rival with one confirmation
        track.trusted = abs(view.innovation) <= TRUST_SHARE * view.w
        track.start, track.count, track.day = reading.at, 1, reading.day
        track.starts[reading.at] = "gap"
        track.said[reading.at] = fresh.said[reading.at]
        return
    s = view.p00 + reading.variance
    k0, k1 = view.p00 / s, view.p01 / s
    track.w = view.w + k0 * view.innovation
    most = max(TREND_MOST * track.w, TREND_MOST_KG)
    track.v = min(most, max(-most, view.v + k1 * view.innovation))
    track.p00 = view.p00 * (1.0 - k0)
    track.p01 = view.p01 * (1.0 - k0)
    track.p11 = view.p11 - k1 * view.p01
    track.trusted = track.trusted or reading.day - track.day >= CONFIRM_DAYS
    track.day = reading.day
    track.count += 1
    track.said[reading.at] = (
        track.w,
        track.v,
        sqrt(track.p00),
        sqrt(max(track.p11, 0.0)),
        view.innovation,
        view.allowed,
    )


def _words(view: _View) -> _Said:
    """Say of a reading that was not believed what had been expected."""
    return (view.w, view.v, sqrt(view.p00), sqrt(max(view.p11, 0.0)), view.innovation, view.allowed)
