"""The compat rules, one reading at a time, in plain scalar functions; `compiled` makes machine code of the same source.

Numbers in brackets are sections of the research, where each formula comes from the running original. Kept on purpose,
because the original does so: a light adult's kilograms may be taken for a BMI [2.1, D4]; UCUM pounds count as
kilograms [2.1, D3]; a reset is believed without any check [2.3, D7] and taken in twice [2.5]; process noise does not
depend on time, and stays inflated unless the adaptive phase is over within a week [2.6, D5]; the innovation is told
after the update [2.5]; readings out of order count as 0.1 days later and move the clock back [2.9, D8]; a restart
outside 10 to 500 kg is reported as accepted, and the state forgets it [2.9].
Not kept: rows lost by the order of a set of strings (D1); a time that cannot be read never becomes "now" (D2), ingest
refuses such rows; and a reading that is not a number ends here as "preprocessing" rather than as safe.

Sums over recent weights are added up in numpy's order, for the original's means are numpy's.
No function allocates. Divisors are never zero: numba, as Python, would raise.
"""

from __future__ import annotations

from math import exp, nan, sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    Numbers = Any  # arrays if compiled; if not, memoryviews of them, which give Python's own numbers: quicker there

# ruff: noqa: FBT001, FBT003, PLR0917, PLR2004 - scalars in, scalars out; the numbers in formulas are the formulas

# Constants are frozen into numba's cache with this file's time stamp, so they live in this file and nowhere else.

# places in `params`: what holds for all readings ...
EXTREME_SHARE, THRESHOLD, HARMONIC = range(3)
SAFETY_SHARE, PLAUSIBILITY_SHARE, CONSISTENCY_SHARE, RELIABILITY_SHARE = range(3, 7)
VARIANCE, WEIGHT_NOISE, TREND_NOISE, READING_NOISE = range(7, 11)
GAP_DAYS, MANUAL, MANUAL_KG, COOLDOWN_DAYS, RESET_PARAMS = range(11, 16)
# ... and, beginning at RESET_PARAMS + RESET_SIZE * (kind - 1), for each kind of reset
VARIANCE_TIMES, WEIGHT_NOISE_TIMES, TREND_NOISE_TIMES, READING_NOISE_TIMES = range(4)
ADAPTING_READINGS, ADAPTING_DAYS, DECAY, ADAPTING_THRESHOLD, RESET_SIZE = range(4, 9)
PARAMS: Final = RESET_PARAMS + 3 * RESET_SIZE

# places in a user's state; the first eight are the same for all rules
WEIGHT, TREND, P00, P01, P11, LAST_TIME, ACCEPTED, RESETS = range(8)
LAST_READING, KIND, RESET_TIME, QW, QT, RECENT_COUNT, RECENT = range(8, 15)
#: the original keeps 30 and looks at the last 20
RECENT_MOST: Final = 20
STATE: Final = RECENT + RECENT_MOST

# codes of values.STAGES, values.RESETS and ingest.units.UNITS, and rows of values.FIELDS
INITIALIZATION, ACCEPTED_STAGE, DEVIATION, _, PREPROCESSING, QUALITY, RETROSPECTIVE = range(7)
NO_RESET, FIRST, GAP, _, MANUAL_ENTRY = range(5)
KILOGRAM, NO_UNIT = 0, 5
EXPECTED, EXPECTED_TREND, SIGMA, TREND_SIGMA, INNOVATION, ALLOWED = range(6)
SCORE, SAFETY, PLAUSIBILITY, CONSISTENCY, RELIABILITY, FIELDS = range(6, 12)

#: what may be a BMI, and what a BMI may be (kg/m2) [2.1]
MAYBE_BMI_LEAST, MAYBE_BMI_MOST, BMI_LEAST, BMI_MOST = 15.0, 50.0, 10.0, 100.0
DAY_SECONDS: Final = 86_400.0
#: days of a step; (kg/day)^2 at a start; kg/day [2.5]
LEAST_DAYS, MOST_DAYS, TREND_VARIANCE, TREND_MOST = 0.1, 30.0, 0.001, 0.714
#: process noise is written back for so long after a reset, and then stays [2.6, D5]
NOISE_DAYS: Final = 7.0
#: shares of safety, plausibility, consistency and reliability while adapting [2.7]
ADAPTING_SHARES: Final = (0.45, 0.10, 0.15, 0.30)
UNSAFE: Final = 0.3
#: share of the prediction, while adapting [2.8]
ADAPTING_EXTREME: Final = 0.25
#: kg that the original's store takes [2.9]
STORED_LEAST, STORED_MOST = 10.0, 500.0


def cleaned(value: float, unit: int, factor: float, squared_height: float, connective: bool) -> float:
    """Return kilograms; of what looks like a BMI, the weight that it stands for [2.1]."""
    weight = value * factor
    if unit in (KILOGRAM, NO_UNIT) and MAYBE_BMI_LEAST <= weight <= MAYBE_BMI_MOST:
        implied = weight * squared_height
        if 40.0 <= implied <= 200.0 or (connective and 30.0 <= implied <= 250.0):
            return implied
    return weight


def days_between(time: int, earlier: float) -> float:
    """Return days from a tick to another, rounded as `timedelta.total_seconds() / 86400` is."""
    return (time - earlier) / 1e6 / DAY_SECONDS


def reset_params(state: Numbers) -> int:
    """Return where the parameters of the reset in force begin."""
    return RESET_PARAMS + RESET_SIZE * (int(state[KIND]) - 1)


def reset_reason(params: Numbers, state: Numbers, weight: float, time: int, manual: bool) -> int:
    """Tell whether a reading starts the filter anew, and why [2.3]."""
    if not state[ACCEPTED] > 0.0:  # NaN too
        return FIRST
    if days_between(time, state[LAST_TIME]) >= params[GAP_DAYS]:
        return GAP
    if not manual or params[MANUAL] <= 0.0 or abs(weight - state[LAST_READING]) < params[MANUAL_KG]:
        return NO_RESET
    return MANUAL_ENTRY if days_between(time, state[RESET_TIME]) > params[COOLDOWN_DAYS] else NO_RESET


def safety(weight: float, bmi: float) -> float:
    """Return how far the weight is from those that hardly anybody has, 0 to 1 [2.7]."""
    if weight < 30.0 or weight > 400.0:
        return 0.0
    if 40.0 <= weight <= 300.0:
        return 1.0
    margin = (40.0 - weight) / 10.0 if weight < 40.0 else (weight - 300.0) / 100.0
    score = exp(-3.0 * margin)
    if bmi < 15.0 or bmi > 60.0:
        return score * 0.5
    if bmi < 18.0 or bmi > 40.0:
        return score * 0.8
    return score


def term(state: Numbers, at: int, centre: float, squared: bool) -> float:
    """Return one of the recent weights as it goes into a sum."""
    away: float = state[RECENT + at] - centre
    return away * away if squared else away


def lane(state: Numbers, at: int, end: int, centre: float, squared: bool) -> float:
    """Return one of the eight sums that numpy keeps side by side."""
    total = 0.0
    for each in range(at, end, 8):
        total += term(state, each, centre, squared)
    return total


def summed(state: Numbers, count: int, centre: float, squared: bool) -> float:
    """Return the sum of the recent weights, or of their squared distances, in the order in which numpy adds."""
    end, of = count - count % 8, (centre, squared)
    total = (lane(state, 0, end, *of) + lane(state, 1, end, *of)) + (
        lane(state, 2, end, *of) + lane(state, 3, end, *of)
    )
    total += (lane(state, 4, end, *of) + lane(state, 5, end, *of)) + (
        lane(state, 6, end, *of) + lane(state, 7, end, *of)
    )
    for rest in range(end, count):
        total += term(state, rest, centre, squared)
    return total


def slope_of(state: Numbers, count: int, mean: float) -> float:
    """Return the slope of the least-squares line through the recent weights, kg per reading."""
    middle, product = (count - 1) / 2.0, 0.0
    for at in range(count):
        product += (at - middle) * (state[RECENT + at] - mean)
    return product / (count * (count * count - 1) / 12.0)


def plausibility(state: Numbers, weight: float) -> float:
    """Return how well the weight goes with the recent ones, 0 to 1 [2.7]."""
    count = int(state[RECENT_COUNT])
    if count >= 3:
        mean = summed(state, count, 0.0, False) / count
        squares = summed(state, count, mean, True)
        spread, least = sqrt(squares / count), 0.5
        if count >= 4 and squares > 0.0:
            slope = slope_of(state, count, mean)
            explained = slope * slope * (count * (count * count - 1) / 12.0) / squares
            following = state[RECENT + count - 1] + slope
            if explained > 0.8:
                mean = following
            elif explained > 0.5:
                mean = explained * following + (1.0 - explained) * mean
            if abs(slope) > 0.1 and explained > 0.5:
                least = max(1.0, 3.0 * abs(slope))
        spread = max(spread, least)
    else:
        mean = state[WEIGHT]
        spread = max(0.02 * (weight + mean) / 2.0, 0.5)
    away = abs(weight - mean) / spread
    if away <= 2.0:
        return 1.0 if away <= 1.0 else 0.9
    return 0.7 if away <= 3.0 else min(0.5, exp(-0.5 * (away - 3.0)))


def consistency(change: float, middle: float, hours: float) -> float:
    """Return how possible a change (kg) is in so many hours, 0 to 1; `middle` of both weights [2.7]."""
    if hours <= 0.0:
        return 0.8
    if hours < 6.0:
        return 1.0 if change <= 3.0 else 0.7 * exp(-2.0 * (change - 3.0) / 3.0)
    if hours < 24.0:
        return within_day(change, 100.0 * change / middle)
    rate = change / (hours / 24.0)
    if rate <= 4.0:
        return 1.0 - 0.25 * max(rate - 2.0, 0.0)
    if rate <= 6.44:
        return 0.5 - 0.3 * (rate - 4.0) / 2.44
    return 0.2 * exp(-2.0 * (rate - 6.44) / 6.44)


def within_day(change: float, percent: float) -> float:
    """Return how possible a change is in 6 to 24 hours."""
    if change <= 4.0:
        return 1.0 - 0.1 * max(change - 2.0, 0.0)
    return 0.7 if percent <= 5.0 else 0.5 * exp(-2.0 * (percent - 5.0) / 5.0)


def overall(
    params: Numbers, adapting: bool, safe: float, plausible: float, consistent: float, reliable: float
) -> float:
    """Return the weighted mean of the components, harmonic or not [2.7]."""
    a, b, c, d = ADAPTING_SHARES
    if not adapting:
        a, b = params[SAFETY_SHARE], params[PLAUSIBILITY_SHARE]
        c, d = params[CONSISTENCY_SHARE], params[RELIABILITY_SHARE]
    if safe < UNSAFE:
        return 0.0
    if params[HARMONIC] <= 0.0:
        return (a * safe + b * plausible + c * consistent + d * reliable) / (a + b + c + d)
    if plausible <= 0.0 or consistent <= 0.0 or reliable <= 0.0:
        return 0.0
    return (a + b + c + d) / (a / safe + b / plausible + c / consistent + d / reliable)


def adaptive(base: float, times: float, accepted: float, decay: float) -> float:
    """Return a noise on its way from base x times back to the base [2.6]."""
    back = 1.0 - exp(-accepted / decay)
    return base * times * (1.0 - back) + base * back


def bounded(trend: float) -> float:
    """Return a trend that a body is capable of [2.5]."""
    return max(-TREND_MOST, min(TREND_MOST, trend))


def start(params: Numbers, state: Numbers, why: int, weight: float, noise: float) -> None:
    """Begin the filter at a reading, and let it take the reading in once more [2.5]."""
    state[KIND] = 3 if why == MANUAL_ENTRY else why
    own = reset_params(state)
    state[WEIGHT], state[TREND], state[P01], state[P11] = weight, 0.0, 0.0, TREND_VARIANCE
    state[P00] = params[VARIANCE] * params[own + VARIANCE_TIMES]
    state[QW] = params[WEIGHT_NOISE] * params[own + WEIGHT_NOISE_TIMES]
    state[QT] = params[TREND_NOISE] * params[own + TREND_NOISE_TIMES]
    for at in range(RECENT_COUNT, STATE):
        state[at] = 0.0
    update(state, weight, LEAST_DAYS, params[READING_NOISE] * params[own + READING_NOISE_TIMES] * noise)


def update(state: Numbers, weight: float, days: float, variance: float) -> None:
    """Predict by so many days, and take a reading in [2.5]."""
    p00 = state[P00] + 2.0 * days * state[P01] + days * days * state[P11] + state[QW]
    p01 = state[P01] + days * state[P11]
    p11 = state[P11] + state[QT]
    k0, k1 = p00 / (p00 + variance), p01 / (p00 + variance)
    predicted = state[WEIGHT] + days * state[TREND]
    state[WEIGHT] = predicted + k0 * (weight - predicted)
    state[TREND] += k1 * (weight - predicted)
    state[P00] = p00 - k0 * p00
    state[P01] = p01 - k0 * p01
    state[P11] = p11 - k1 * p01


def follow(params: Numbers, state: Numbers, time: int, weight: float, noise: float) -> None:
    """Take in a reading that is not a reset [2.5, 2.6]."""
    own = reset_params(state)
    days = days_between(time, state[RESET_TIME])
    variance, qw, qt = params[READING_NOISE], params[WEIGHT_NOISE], params[TREND_NOISE]
    if days < params[own + ADAPTING_DAYS]:
        accepted, decay = state[ACCEPTED], params[own + DECAY]
        variance = adaptive(variance, params[own + READING_NOISE_TIMES], accepted, decay)
        qw = adaptive(qw, params[own + WEIGHT_NOISE_TIMES], accepted, decay)
        qt = adaptive(qt, params[own + TREND_NOISE_TIMES], accepted, decay)
    if days < NOISE_DAYS:
        state[QW], state[QT] = qw, qt
    step = min(max(days_between(time, state[LAST_TIME]), LEAST_DAYS), MOST_DAYS)
    state[TREND] = bounded(state[TREND])
    update(state, weight, step, variance * noise)
    state[TREND] = bounded(state[TREND])
    remember(state, weight)


def remember(state: Numbers, weight: float) -> None:
    """Add to the recent weights, oldest first."""
    count = int(state[RECENT_COUNT])
    if count == RECENT_MOST:
        count -= 1
        for at in range(RECENT, RECENT + count):
            state[at] = state[at + 1]
    state[RECENT + count] = weight
    state[RECENT_COUNT] = count + 1.0


def tell(out: Numbers, row: int, state: Numbers, expected: float, weight: float) -> None:
    """Write down where the filter stands, or what it expects, and how far a reading is from it."""
    out[EXPECTED, row], out[EXPECTED_TREND, row] = expected, state[TREND]
    out[SIGMA, row], out[TREND_SIGMA, row] = sqrt(max(state[P00], 0.0)), sqrt(max(state[P11], 0.0))
    out[INNOVATION, row] = weight - expected


def believed(
    params: Numbers, state: Numbers, out: Numbers, row: int, time: int, weight: float, bmi: float, reliable: float
) -> int:
    """Judge a reading that is not a reset [2.7, 2.8]; return its stage, and write down the scores."""
    own, filtered = reset_params(state), state[WEIGHT]
    days = days_between(time, state[LAST_TIME])
    safe, plausible = safety(weight, bmi), plausibility(state, weight)
    consistent = consistency(abs(weight - filtered), (weight + filtered) / 2.0, days * 24.0)
    few = state[ACCEPTED] < params[own + ADAPTING_READINGS]
    adapting = few or days_between(time, state[RESET_TIME]) < params[own + ADAPTING_DAYS]
    quality = overall(params, adapting, safe, plausible, consistent, reliable)
    out[SCORE, row], out[SAFETY, row], out[PLAUSIBILITY, row] = quality, safe, plausible
    out[CONSISTENCY, row], out[RELIABILITY, row] = consistent, reliable
    threshold = params[own + ADAPTING_THRESHOLD] if adapting else params[THRESHOLD]
    if quality < threshold or safe < UNSAFE:
        return QUALITY
    if few and params[own + ADAPTING_THRESHOLD] <= 0.0:
        return ACCEPTED_STAGE
    share = ADAPTING_EXTREME if few else params[EXTREME_SHARE]
    predicted = filtered + state[TREND] * max(days, LEAST_DAYS)
    out[ALLOWED, row] = share * predicted
    if predicted == 0.0 or abs(weight - predicted) / predicted > share:
        tell(out, row, state, predicted, weight)
        return DEVIATION
    return ACCEPTED_STAGE


def storable(kilograms: float) -> bool:
    """Tell whether the original's store takes a state with this weight [2.9]."""
    return STORED_LEAST <= kilograms <= STORED_MOST


def ahead(state: Numbers, time: int) -> float:
    """Return the prediction of `follow`: the weight comes to lie between it and the reading."""
    days = min(max(days_between(time, state[LAST_TIME]), LEAST_DAYS), MOST_DAYS)
    predicted: float = state[WEIGHT] + days * bounded(state[TREND])
    return predicted


def take(params: Numbers, state: Numbers, why: int, time: int, weight: float, noise: float) -> None:
    """Let the filter take a reading in, from the start if there is a reason."""
    if why == NO_RESET:
        follow(params, state, time, weight, noise)
    else:
        start(params, state, why, weight, noise)
        state[RESET_TIME], state[ACCEPTED] = time, 0.0
        state[RESETS] = 1.0 if why == FIRST else state[RESETS] + 1.0
    state[LAST_TIME], state[LAST_READING] = time, weight
    state[ACCEPTED] += 1.0


def copy(source: Numbers, target: Numbers) -> None:
    for at in range(STATE):
        target[at] = source[at]


def advance(tables: Any, rows: Any, said: Any, who: Any, span: tuple[int, int]) -> None:
    """Filter the rows of a span, all of one user.

    Args:
        tables: params; kilograms by unit; noise, reliability, "is a manual entry" and "is connectivehealth" by source
        rows: time, value, unit, source, and which to skip (of length 0: none)
        said: weight, stage, reset and out of a `Filtered`
        who: the user's state, another one to work on, and the user's height squared (m^2)
        span: first row, and the one after the last
    """
    params, factors, noises, reliabilities, manuals, connectives = tables
    times, values, units, sources, skip = rows
    weights, stages, resets, out = said
    state, work, squared_height = who
    for row in range(span[0], span[1]):
        if len(skip) and skip[row]:
            stages[row] = RETROSPECTIVE
            continue
        for field in range(FIELDS):
            out[field, row] = nan
        resets[row] = NO_RESET
        time, source = times[row], sources[row]
        weight = cleaned(values[row], units[row], factors[units[row]], squared_height, connectives[source])
        weights[row] = weight
        bmi = weight / squared_height
        if not BMI_LEAST <= bmi <= BMI_MOST:
            stages[row] = PREPROCESSING
            continue
        why = reset_reason(params, state, weight, time, manuals[source])
        stage = INITIALIZATION
        if why == NO_RESET:
            stage = believed(params, state, out, row, time, weight, bmi, reliabilities[source])
        stages[row], resets[row] = stage, why
        if stage > ACCEPTED_STAGE:
            continue
        if why == NO_RESET and storable(ahead(state, time)):
            take(params, state, why, time, weight, noises[source])
            tell(out, row, state, state[WEIGHT], weight)
            continue
        # what the store refuses is reported and forgotten: tried on a copy
        copy(state, work)
        take(params, work, why, time, weight, noises[source])
        tell(out, row, work, work[WEIGHT], weight)
        if storable(work[WEIGHT]) and storable(weight):
            copy(work, state)


def whole(tables: Any, rows: Any, said: Any, who: Any, starts: Numbers) -> None:
    """Filter all rows of all users; `who` as in `advance`, with a state and a squared height for each."""
    states, work, squared_heights = who
    for user in range(len(starts) - 1):
        own = (states[user], work, squared_heights[user])
        advance(tables, rows, said, own, (starts[user], starts[user + 1]))
