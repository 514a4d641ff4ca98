"""The v2 rules of one reading after another, as plain scalar functions; `v2.py` says what they mean and runs them.

Written for numba and for plain Python alike (`rules/compiled.py`): floats, arrays, and functions of this module. No
`**` (the two round it differently), no NaN in min and max, `exp` of what is not positive only, no division by zero.

A track is a filter under way: a block of WIDTH places in the state row. The main one is published. The rival is made of
readings that it finds hard to believe. The former is what it was before the reading that it stands on alone. Where
COUNT is 0 there is no such track. Offsets of rows in a track count from the user's first row.
"""
# ruff: noqa: PLR0917 - numba compiles positional arguments only

from __future__ import annotations

from math import exp, sqrt
from typing import TYPE_CHECKING, Any

from raddle.workloads.weights.rules.v2_flat import Tracks

if TYPE_CHECKING:
    from raddle.workloads.weights.rules.v2_flat import Parameters, Rows, Tables

    #: w, v, p00, p01, p11; of p00 the part of growth; and kg grown at most
    Expected = tuple[float, float, float, float, float, float, float]

DAY = 86_400_000_000.0

# a track; the first eight places are those of values.Filtered.states
W, V, P00, P01, P11, TICK, COUNT, RESETS = range(8)
#: kg, its last reading; noise learned of this user, as a factor on the variance, and from how many readings
RAW, SCALE, LEARNED = 8, 9, 10
#: 1: a second reading bears it out; else it stands on the row STAND alone (tick STAND_TICK), which is a start for the
#: reason STAND_WHY, or 0. LAST: its latest row. FIRST: its first row, FIRST_TICK its tick
TRUSTED, STAND, STAND_TICK, STAND_WHY, LAST, FIRST, FIRST_TICK = range(11, 18)
#: where the tracks are in a state row, and the confirmations of the rival
MAIN, RIVAL, FORMER, CREDIT, STATE_SIZE, WIDTH = 0, 18, 36, 54, 55, 18

# values.STAGES, values.RESETS
INITIALIZATION, ACCEPTED, DEVIATION, PHYSIOLOGICAL, QUALITY, RETROSPECTIVE = 0, 1, 2, 3, 5, 6
FIRST_READING, GAP, LEVEL_CHANGE = 1.0, 2.0, 3.0

# places in `out` that are filled beforehand
SAFETY, RELIABILITY = 7, 10

NAN = float("nan")
SAFETY_FLOOR = 0.3  # in the overall quality: impossible weights have a stage of their own
UNKNOWN_QUALITY = 0.8  # plausibility and consistency of a reading before which nothing is known
LEAST_QUALITY = 0.001  # of a component, so that the harmonic mean stays finite


def growth(weight: float) -> float:
    """Return the share of the weight per day that somebody this light may gain: for newborns, children; no adult."""
    child = 0.0005 * min(1.0, max(0.0, (60.0 - weight) / 30.0))
    return child + 0.012 * max(0.0, 1.0 - weight / 10.0)


def expect(t: Any, tick: float, p: Parameters) -> Expected:
    """Return what a track expects at a tick. Formulas: v2.py, Model."""
    dt = max(0.0, (tick - t[TICK]) / DAY)
    w, tau = t[W], p.trend_days
    x = dt / tau
    f = exp(-x)
    m = tau * (1.0 - f)
    wander = p.wander * w
    share = growth(w)
    sd = (p.trend + share) * w
    q = sd * sd
    grown = min(share * dt, 2.25) * w
    extra = grown * grown / 9.0
    walk = wander * wander * dt + q * tau * tau * max(0.0, 2.0 * x - 3.0 + 4.0 * f - f * f)
    p00, p01, p11 = t[P00], t[P01], t[P11]
    return (
        w + m * t[V],
        f * t[V],
        p00 + 2.0 * m * p01 + m * m * p11 + walk + extra,
        f * (p01 + m * p11) + q * tau * (1.0 - f) * (1.0 - f),
        f * f * p11 + q * (1.0 - f * f),
        extra,
        grown,
    )


def tolerance(innovation: float, e: Expected, r: float, gate: float, p: Parameters) -> float:
    """Return the greatest innovation of this sign that is believed, kg. People grow, but do not shrink as fast."""
    w, _v, p00, _p01, _p11, extra, grown = e
    if innovation > 0.0:
        return max(p.gate_share * w, min(gate * sqrt(p00 + r), p.gate_most * w + grown))
    return max(p.gate_share * w, min(gate * sqrt(p00 - extra + r), p.gate_most * w))


def plausible(innovation: float, allowed: float) -> float:
    """Return the component plausibility: 1 as expected, 1/e at the edge of what is believed."""
    x = innovation / allowed
    return exp(-min(x * x, 700.0))


def consistent(t: Any, tick: float, weight: float, r: float, p: Parameters) -> float:
    """Return the component consistency: 1/2 where the weight changes by the profile's rate, beyond what is noise."""
    change = max(0.0, abs(weight - t[RAW]) - 3.0 * sqrt(2.0 * r))
    x = change / (max(1.0, (tick - t[TICK]) / DAY) * p.rate_share * t[W])
    score: float = 1.0 / (1.0 + x * x)
    return score


def put_quality(out: Any, i: int, plausibility: float, consistency: float, p: Parameters) -> float:
    """Write the quality of row i, and return the overall one: the weighted harmonic mean."""
    quality: float = (p.safety + p.plausibility + p.consistency + p.reliability) / (
        p.safety / max(out[SAFETY, i], SAFETY_FLOOR)
        + p.plausibility / max(plausibility, LEAST_QUALITY)
        + p.consistency / max(consistency, LEAST_QUALITY)
        + p.reliability / max(out[RELIABILITY, i], LEAST_QUALITY)
    )
    out[6, i] = quality
    out[8, i] = plausibility
    out[9, i] = consistency
    return quality


def put_expected(out: Any, i: int, e: Expected) -> None:
    """Write what was expected at row i."""
    out[0, i] = e[0]
    out[1, i] = e[1]
    out[2, i] = sqrt(e[2])
    out[3, i] = sqrt(e[4])


def put_track(out: Any, i: int, t: Any) -> None:
    """Write where a track stands after it took row i."""
    out[0, i] = t[W]
    out[1, i] = t[V]
    out[2, i] = sqrt(t[P00])
    out[3, i] = sqrt(max(t[P11], 0.0))


def put_first(out: Any, i: int, p: Parameters) -> None:
    """Write the innovation and quality of a reading before which nothing is known."""
    out[4, i] = NAN
    out[5, i] = NAN
    put_quality(out, i, UNKNOWN_QUALITY, UNKNOWN_QUALITY, p)


def view(t: Any, i: int, rows: Rows, tables: Tables, p: Parameters) -> tuple[Expected, float, float, float]:
    """Write innovation and quality of row i, before a track sees it; return what it expects, and those."""
    tick, kg, out = float(rows.time[i]), rows.weight[i], rows.out
    r = rows.variance[i] * t[SCALE]
    e = expect(t, tick, p)
    innovation = kg - e[0]
    allowed = tolerance(innovation, e, r, tables.gates[rows.source[i]], p)
    out[4, i] = innovation
    out[5, i] = allowed
    consistency = consistent(t, tick, kg, r, p)
    return e, innovation, allowed, put_quality(out, i, plausible(innovation, allowed), consistency, p)


def clear(t: Any) -> None:
    """Make a track none."""
    for k in range(WIDTH):
        t[k] = NAN
    t[COUNT] = 0.0
    t[RESETS] = 0.0


def copy(t: Any, to: Any) -> None:
    """Copy a track."""
    for k in range(WIDTH):
        to[k] = t[k]


def stand(t: Any, row: int, tick: float, why: float) -> None:
    """Note that a track rests on one reading that nothing bears out yet."""
    t[TRUSTED] = 0.0
    t[STAND] = row
    t[STAND_TICK] = tick
    t[STAND_WHY] = why


def start(t: Any, i: int, zero: int, why: float, rows: Rows, p: Parameters) -> None:
    """Start a track from row i. What is known of the user's noise stays; everything else is as new."""
    tick, weight = float(rows.time[i]), rows.weight[i]
    sd = (p.trend + growth(weight)) * weight
    t[W] = weight
    t[V] = 0.0
    t[P00] = rows.variance[i] * t[SCALE]
    t[P01] = 0.0
    t[P11] = sd * sd
    t[TICK] = tick
    t[COUNT] = 1.0
    t[RESETS] += 1.0
    t[RAW] = weight
    t[LAST] = i - zero
    stand(t, i - zero, tick, why)


def start_rival(s: Tracks, i: int, zero: int, why: float, rows: Rows, p: Parameters) -> None:
    """Start the rival from row i, with what the main track knows of the user's noise."""
    clear(s.rival)
    s.rival[SCALE] = s.main[SCALE]
    s.rival[LEARNED] = s.main[LEARNED]
    s.rival[FIRST] = i - zero
    s.rival[FIRST_TICK] = float(rows.time[i])
    s.credit[0] = 0.0
    start(s.rival, i, zero, why, rows, p)


def take(t: Any, i: int, zero: int, e: Expected, rows: Rows, p: Parameters) -> int:
    """Let a track take a reading it believes, and return its stage: the update, or after a gap a new start from it."""
    tick, weight, ordinary = float(rows.time[i]), rows.weight[i], rows.variance[i]
    w, v, p00, p01, p11, _extra, _grown = e
    innovation = weight - w
    far = abs(innovation) > p.trust_share * w
    if tick - t[TICK] >= p.gap_days * DAY:
        start(t, i, zero, GAP, rows, p)
        if not far:
            t[TRUSTED] = 1.0
        return INITIALIZATION
    total = p00 + ordinary * t[SCALE]
    k0, k1 = p00 / total, p01 / total
    after = w + k0 * innovation
    most = p.trend_most * after
    t[W] = after
    t[V] = min(most, max(-most, v + k1 * innovation))
    t[P00] = p00 * (1.0 - k0)
    t[P01] = p01 * (1.0 - k0)
    t[P11] = p11 - k1 * p01
    left = weight - after
    seen = min(9.0, (left * left + t[P00]) / ordinary)
    t[LEARNED] = min(t[LEARNED] + 1.0, p.noise_memory)
    scale = t[SCALE] + (seen - t[SCALE]) / t[LEARNED]
    t[SCALE] = min(p.noise_most * p.noise_most, max(p.noise_least * p.noise_least, scale))
    t[TICK] = tick
    t[COUNT] += 1.0
    t[RAW] = weight
    t[LAST] = i - zero
    if far:
        stand(t, i - zero, tick, 0.0)
    elif tick - t[STAND_TICK] >= p.confirm_days * DAY:
        t[TRUSTED] = 1.0
    return ACCEPTED


def accept(t: Any, i: int, zero: int, e: Expected, rows: Rows, p: Parameters) -> None:
    """Let a track take a reading, and write that down."""
    stage = take(t, i, zero, e, rows, p)
    rows.stage[i] = stage
    rows.reset[i] = int(GAP) if stage == INITIALIZATION else 0
    put_track(rows.out, i, t)


def needed(beyond_share: float, s: Tracks, p: Parameters) -> float:
    """Return how many confirmations a rival needs whose reading is so far beyond what is believed, as a share.

    Twofold is hardly ever a person's own change, but pounds for kilograms, and that error comes in series. A track
    that stands on one reading, with none before it, has no such claim.
    """
    alone = s.main[TRUSTED] <= 0.0 and s.former[COUNT] <= 0.0
    if alone or beyond_share <= p.small_share:
        return p.small
    return p.large if beyond_share <= p.large_share else p.huge


def overrule(t: Any, zero: int, rows: Rows, tables: Tables, p: Parameters, s: Tracks) -> None:
    """Take back what the main track accepted on the strength of one reading; what was expected is what t says."""
    for j in range(zero + int(s.main[STAND]), zero + int(s.main[LAST]) + 1):
        if rows.stage[j] <= ACCEPTED:
            rows.stage[j] = DEVIATION
            rows.reset[j] = 0
            e, _innovation, _allowed, _quality = view(t, j, rows, tables, p)
            put_expected(rows.out, j, e)


def take_over(i: int, zero: int, rows: Rows, tables: Tables, p: Parameters, s: Tracks) -> None:
    """Make the rival the main track, and its readings, up to row i, accepted ones.

    Its readings are all since its first but those that never reach a track: another reading would have ended it. They
    are gone through again, so that nothing needs to be kept of them but the first one's offset.
    """
    stage = rows.stage
    first, why, resets = zero + int(s.rival[FIRST]), LEVEL_CHANGE, s.main[RESETS]
    alone = s.main[TRUSTED] <= 0.0
    if alone:
        overrule(s.rival, zero, rows, tables, p, s)
        if s.main[STAND_WHY] > 0.0:
            why = s.main[STAND_WHY]
            resets -= 1.0
        put_first(rows.out, first, p)
    start_rival(s, first, zero, why, rows, p)
    stage[first] = INITIALIZATION
    rows.reset[first] = int(why)
    put_track(rows.out, first, s.rival)
    for j in range(first + 1, i + 1):
        if stage[j] != PHYSIOLOGICAL and stage[j] != RETROSPECTIVE:
            e, _innovation, _allowed, _quality = view(s.rival, j, rows, tables, p)
            accept(s.rival, j, zero, e, rows, p)
    if alone:
        clear(s.former)
    else:
        copy(s.main, s.former)
    copy(s.rival, s.main)
    s.main[RESETS] += resets
    stand(s.main, first - zero, float(rows.time[first]), why)
    s.main[TRUSTED] = 1.0 if alone else 0.0
    clear(s.rival)


def confirmed(i: int, zero: int, beyond_share: float, rows: Rows, tables: Tables, p: Parameters, s: Tracks) -> bool:
    """Offer row i to the rival; else start another from it. Tell whether the rival now has what it needs."""
    tick, kg, k = float(rows.time[i]), rows.weight[i], rows.source[i]
    if s.rival[COUNT] > 0.0:
        e = expect(s.rival, tick, p)
        innovation, r = kg - e[0], rows.variance[i] * s.rival[SCALE]
        if abs(innovation) <= tolerance(innovation, e, r, tables.gates[k], p):
            if tick - s.rival[FIRST_TICK] >= p.confirm_days * DAY:
                s.credit[0] += tables.credit[k] * (p.confirm_repeat if kg == s.rival[RAW] else 1.0)
            take(s.rival, i, zero, e, rows, p)
            confirmed: bool = s.credit[0] >= needed(beyond_share, s, p)
            return confirmed
    start_rival(s, i, zero, LEVEL_CHANGE, rows, p)
    return False


def restored(i: int, zero: int, rows: Rows, tables: Tables, p: Parameters, s: Tracks) -> bool:
    """Go back to the former track if it explains row i and the main one, which nothing bears out yet, does not."""
    if s.main[TRUSTED] > 0.0 or not s.former[COUNT] > 0.0:
        return False
    e = expect(s.former, float(rows.time[i]), p)
    innovation, r = rows.weight[i] - e[0], rows.variance[i] * s.former[SCALE]
    if abs(innovation) > min(p.trust_share * e[0], tolerance(innovation, e, r, tables.gates[rows.source[i]], p)):
        return False
    overrule(s.former, zero, rows, tables, p, s)
    copy(s.former, s.main)
    clear(s.former)
    return True


def impossible(i: int, rows: Rows, p: Parameters, s: Tracks) -> None:
    """Write down a reading that is no human weight."""
    out = rows.out
    rows.stage[i] = PHYSIOLOGICAL
    for k in range(6):
        out[k, i] = NAN
    for k in range(6, RELIABILITY):
        out[k, i] = 0.0
    if s.main[COUNT] > 0.0:
        e = expect(s.main, float(rows.time[i]), p)
        put_expected(out, i, e)
        out[4, i] = rows.weight[i] - e[0]


def step(i: int, zero: int, rows: Rows, tables: Tables, p: Parameters, s: Tracks) -> None:
    """Decide on row i."""
    rows.reset[i] = 0
    if not p.least_kg <= rows.weight[i] <= p.most_kg:
        impossible(i, rows, p, s)
        return
    if not s.main[COUNT] > 0.0:
        s.main[SCALE] = 1.0
        s.main[LEARNED] = p.noise_prior
        start(s.main, i, zero, FIRST_READING, rows, p)
        rows.stage[i] = INITIALIZATION
        rows.reset[i] = int(FIRST_READING)
        put_track(rows.out, i, s.main)
        put_first(rows.out, i, p)
        return
    e, innovation, allowed, quality = view(s.main, i, rows, tables, p)
    if abs(innovation) > allowed or quality < p.threshold:
        rows.stage[i] = DEVIATION if abs(innovation) > allowed else QUALITY
        put_expected(rows.out, i, e)
        if not restored(i, zero, rows, tables, p, s):
            if confirmed(i, zero, (abs(innovation) - allowed) / e[0], rows, tables, p, s):
                take_over(i, zero, rows, tables, p, s)
            return
        e, innovation, allowed, quality = view(s.main, i, rows, tables, p)
    if s.rival[COUNT] > 0.0:
        clear(s.rival)
    if abs(innovation) > p.trust_share * e[0]:
        copy(s.main, s.former)
    accept(s.main, i, zero, e, rows, p)
    if s.main[TRUSTED] > 0.0 and s.former[COUNT] > 0.0:
        clear(s.former)


def advance(first: int, end: int, zero: int, rows: Rows, tables: Tables, skip: Any, p: Parameters, state: Any) -> None:
    """Filter rows [first, end) of a user whose first row is `zero`; `skip`: a place per row of the chunk, or none."""
    main, rival, former = state[MAIN:RIVAL], state[RIVAL:FORMER], state[FORMER:CREDIT]
    s = Tracks(main, rival, former, state[CREDIT:STATE_SIZE])
    if not main[COUNT] > 0.0:
        clear(main)
        clear(rival)
        clear(former)
        s.credit[0] = 0.0
    skipping = len(skip) > 0
    for i in range(first, end):
        if skipping and skip[i]:
            rows.stage[i] = RETROSPECTIVE
        else:
            step(i, zero, rows, tables, p, s)


def whole(starts: Any, rows: Rows, tables: Tables, skip: Any, p: Parameters, states: Any) -> None:
    """Filter every row of every user."""
    for user in range(len(starts) - 1):
        first, end = starts[user], starts[user + 1]
        advance(first, end, first, rows, tables, skip, p, states[user])
