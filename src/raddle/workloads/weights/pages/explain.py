"""Why a reading was believed or not, in words.

Nothing here is markup: what makes a page of it must escape it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.workloads.weights.pages.kinds import bmi_height, expected_kg, possible_bmi
from raddle.workloads.weights.values import DAY, FIELDS, RESETS, STAGES

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Ints, Person, Revision

__all__ = ["ADAPTING", "COMPONENTS", "component_word", "explain", "times"]

#: the parts of a quality score, as rows of FIELDS, with words for good, fair and poor
COMPONENTS: Final = {
    "safety": ("a possible weight", "near the limits of what is possible", "at or beyond the limits of a human weight"),
    "plausibility": ("like the readings before", "unlike most readings before", "far from the readings before"),
    "consistency": ("an ordinary change", "a quick change", "a change too quick to be one of the body"),
    "reliability": ("a source that is mostly right", "a source that errs now and then", "a source that errs often"),
}
_GOOD, _FAIR = 0.7, 0.4

_LIGHT_KG = 20.0

#: beginning of the keys of a profile's facts, by the code of the reset
ADAPTING: Final = ("none", "first", "gap", "manual", "manual")

_STAGE = {name: code for code, name in enumerate(STAGES)}
_FILTERED, _INNOVATION, _ALLOWED, _QUALITY, _SAFETY = (
    FIELDS.index(name) for name in ("filtered_weight", "innovation", "allowed", "quality", "safety")
)


def times(ticks: Ints, *, days: bool) -> list[str]:
    """Return times for people: `2025-01-31 07:15`, without the clock where it is midnight, or `day 412.5`."""
    if days:
        return [f"day {value:.10g}" for value in np.round(ticks / DAY, 2).tolist()]
    minutes: list[str] = np.datetime_as_string((ticks // 60_000_000).astype("datetime64[m]")).tolist()
    return [text.replace("T", " ").removesuffix(" 00:00") for text in minutes]


def component_word(name: str, value: float) -> str:
    """Say what a component of the quality means."""
    good, fair, poor = COMPONENTS[name]
    return good if value >= _GOOD else fair if value >= _FAIR else poor


def explain(person: Person, row: int, revision: Revision | None = None) -> str:
    """Say what became of a reading, and why.

    Args:
        person: the user
        row: offset of the reading
        revision: what was revised about it, where the caller has looked it up already
    """
    if revision is None:
        revision = next((item for item in person.revisions if item.row == row), None)
    stage = STAGES[int(person.stage[row])]
    if stage == "initialization":
        text = _started(person, row)
    elif stage == "accepted":
        text = _accepted(person, row)
    elif stage == "kalman_deviation":
        text = _deviates(person, row)
    elif stage == "physiological":
        text = _impossible(person, row)
    elif stage == "preprocessing":
        text = _unusable(person, row)
    elif stage == "quality_scoring":
        text = _poor(person, row)
    else:
        return _taken_out(person, row, revision)
    return text if revision is None else f"{text}; {_revised(revision, int(person.stage[row]))}"


def _kg(value: float, of: float | None = None) -> str:
    """Return kilograms: of light people, `of` or the value itself, grams matter."""
    if not math.isfinite(value):
        return "– kg"
    return f"{value:.2f} kg" if abs(value if of is None else of) < _LIGHT_KG else f"{value:.1f} kg"


def _side(value: float, of: float) -> str:
    """Return `14.3 kg above`; empty: it makes no difference."""
    text = _kg(abs(value), of) if math.isfinite(value) else ""
    return f"{text} {'above' if value > 0 else 'below'}" if text.strip("0. kg") else ""


def _started(person: Person, row: int) -> str:
    why = RESETS[int(person.reset[row])]
    accepted = np.flatnonzero(person.stage[:row] <= 1)
    if why == "first reading" or not len(accepted):
        return "accepted: first reading, the filter starts here"
    last = int(accepted[-1])
    if why == "gap":
        days = (int(person.time[row]) - int(person.time[last])) / DAY
        return f"accepted: {days:.0f} days without an accepted reading, the filter starts anew here"
    weight, old = float(person.weight[row]), float(person.out[_FILTERED, last])
    side = _side(weight - old, old) or "as much as"
    said = "entered by hand" if why == "manual entry" else "a new level"
    return f"accepted: {said}, {side} the {_kg(old)} before; the filter starts anew here"


def _accepted(person: Person, row: int) -> str:
    weight, innovation, allowed = (
        float(person.weight[row]),
        float(person.out[_INNOVATION, row]),
        float(person.out[_ALLOWED, row]),
    )
    if math.isnan(innovation):
        return "accepted"
    what = "filtered" if person.rules == "compat" else "expected"
    side = _side(innovation, weight)
    text = f"{side} the {what} {_kg(weight - innovation)}" if side else f"just the {what} weight"
    return f"accepted: {text}" + (
        "" if math.isnan(allowed) else f"; up to {_kg(allowed, weight)} would have been believed"
    )


def _deviates(person: Person, row: int) -> str:
    weight, allowed = float(person.weight[row]), float(person.out[_ALLOWED, row])
    expected = float(expected_kg(person, np.array([row]))[0])
    off = weight - expected
    if math.isnan(off):
        return f"rejected: {_kg(weight)}, with nothing to compare it with"
    text = f"rejected: {_kg(weight)} is {_side(off, expected) or 'not far from'} the expected {_kg(expected)}"
    if math.isnan(allowed):
        return text
    if abs(off) <= allowed:
        return f"{text}; the readings around it speak against it"
    return f"{text}; up to {_kg(allowed, expected)} would have been believed"


def _impossible(person: Person, row: int) -> str:
    low, high = person.facts.get("least_kg"), person.facts.get("most_kg")
    limits = "" if low is None or high is None else f" (from {low:g} to {high:g} kg are possible)"
    return f"rejected: {_kg(float(person.weight[row]))} is no human weight{limits}"


def _unusable(person: Person, row: int) -> str:
    weight = float(person.weight[row])
    if math.isnan(weight):
        return "rejected: its unit is not one of weight"
    height = bmi_height(person)
    known = "" if person.height_m > 0 else ", the height taken when none is known"
    bmi = weight / height**2
    low, high = possible_bmi(person)
    if low <= bmi <= high:
        return f"rejected: {_kg(weight)} could not be prepared for the filter"
    text = f"rejected: {_kg(weight)} at {height:.2f} m{known} is a BMI of {bmi:.1f}"
    return f"{text}; from {low:g} to {high:g} are possible"


def _threshold(person: Person, row: int) -> float | None:
    """Return the quality that a reading needed: less while the filter adapts to a new start, if the profile says so."""
    facts = person.facts
    starts = np.flatnonzero(person.reset[: row + 1])
    if len(starts) and "first_quality_threshold" in facts:
        start = int(starts[-1])
        name = ADAPTING[int(person.reset[start])]
        count = int(np.count_nonzero(person.stage[start:row] <= 1))
        days = (int(person.time[row]) - int(person.time[start])) / DAY
        if count < facts.get(f"{name}_adaptation_readings", 0) or days < facts.get(f"{name}_adaptation_days", 0):
            return facts.get(f"{name}_quality_threshold")
    return facts.get("quality_threshold")


def _poor(person: Person, row: int) -> str:
    out = person.out[_QUALITY : _SAFETY + 4, row].tolist()
    threshold = _threshold(person, row)
    quality = "" if math.isnan(out[0]) else f" {out[0]:.2f}"
    needed = "" if threshold is None else f", {threshold:g} is needed"
    weight, expected = float(person.weight[row]), float(expected_kg(person, np.array([row]))[0])
    side = "" if math.isnan(weight - expected) else _side(weight - expected, expected)
    where = f"{_kg(weight)} is {side} the {_kg(expected)} before; " if side else ""
    named = sorted((value, name) for name, value in zip(COMPONENTS, out[1:], strict=True) if value < _GOOD)
    words = ", ".join(f"{component_word(name, value)} ({name} {value:.2f})" for value, name in named[:2])
    return f"rejected: {where}quality{quality}{needed}{': ' if words else ''}{words}"


def _taken_out(person: Person, row: int, revision: Revision | None) -> str:
    text = "taken out afterwards: the readings around it, later ones too, speak against it"
    replay = next((item for item in person.replays if row in item.outliers), None)
    if replay is not None:
        methods = ", ".join(name.replace("_", " ") for name in replay.methods[replay.outliers.index(row)])
        start, end = times(np.array([replay.start, replay.end]), days=person.days)
        found = f", found by {methods}" if methods else ""
        text = f"taken out afterwards{found}, in the window {start} to {end} of {replay.rows} readings"
    if revision is not None and revision.old_stage != _STAGE["retrospective"]:
        text += "; was accepted before" if revision.old_stage <= 1 else "; was rejected before"
    return text


def _revised(revision: Revision, stage: int) -> str:
    if (revision.old_stage <= 1) != (stage <= 1):
        return f"revised: was {'accepted' if revision.old_stage <= 1 else 'rejected'} before"
    if math.isnan(revision.old_filtered):
        return "revised"
    return f"revised: the filtered weight was {_kg(revision.old_filtered)} before"
