"""Kinds and degrees of rejections, for many rows at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from raddle.workloads.weights.values import DAY, FIELDS, STAGES

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Bytes, Floats, Ints, Person

__all__ = [
    "CATEGORIES",
    "SEVERITIES",
    "before",
    "bmi_height",
    "categories",
    "expected_kg",
    "possible_bmi",
    "severities",
]

#: kinds of rejection, by what decided it; the words of the original where it had one. Research, section 1.2.
CATEGORIES: Final = (
    "impossible BMI",
    "unit",
    "physiological limit",
    "bounds",
    "extreme deviation",
    "variance",
    "sustained change",
    "daily change",
    "retrospective",
    "other",
)
_BMI, _UNIT, _LIMIT, _BOUNDS, _EXTREME, _VARIANCE, _SUSTAINED, _DAILY, _RETROSPECTIVE, _OTHER = range(len(CATEGORIES))

#: degrees of rejection, worst first
SEVERITIES: Final = ("critical", "high", "medium", "low")
_CRITICAL, _HIGH, _MEDIUM, _LOW = range(len(SEVERITIES))

_UNKNOWN_HEIGHT_M = 1.67  # what compat takes for it
_POSSIBLE_BMI = (10.0, 100.0)
_HIGH_KG, _MEDIUM_KG = 20.0, 10.0  # as in the original
_HIGH_SHARE, _MEDIUM_SHARE = 0.25, 0.12  # of the expected weight: a child may be 3 kg off
_HIGH_TIMES, _MEDIUM_TIMES = 5.0, 2.5  # the innovation that would have been believed

_STAGE = {name: code for code, name in enumerate(STAGES)}
_FILTERED, _ALLOWED, _SAFETY = (FIELDS.index(name) for name in ("filtered_weight", "allowed", "safety"))


def before(person: Person) -> Ints:
    """Return for each row the last accepted row before it; -1: there is none."""
    rows = np.arange(len(person.line))
    last = np.maximum.accumulate(np.where(person.stage <= 1, rows, -1))
    found: Ints = np.concatenate((np.full(min(1, len(rows)), -1), last[:-1])).astype(np.int64)
    return found


def bmi_height(person: Person) -> float:
    """Return the height in metres that a BMI is computed with."""
    return person.height_m if person.height_m > 0 else _UNKNOWN_HEIGHT_M


def possible_bmi(person: Person) -> tuple[float, float]:
    return person.facts.get("bmi_least", _POSSIBLE_BMI[0]), person.facts.get("bmi_most", _POSSIBLE_BMI[1])


def categories(person: Person, rows: Ints) -> Bytes:
    """Return the kind of each rejected row, an index into CATEGORIES."""
    stage, weight = person.stage[rows], person.weight[rows]
    kinds = np.full(len(rows), _OTHER, dtype=np.uint8)
    kinds[stage == _STAGE["kalman_deviation"]] = _EXTREME
    kinds[stage == _STAGE["physiological"]] = _LIMIT
    kinds[stage == _STAGE["retrospective"]] = _RETROSPECTIVE
    early = stage == _STAGE["preprocessing"]
    if early.any():
        bmi = weight / bmi_height(person) ** 2
        low, high = possible_bmi(person)
        kinds[early] = np.where((bmi < low) | (bmi > high), _BMI, _OTHER)[early]
        kinds[early & np.isnan(weight)] = _UNIT
    scored = stage == _STAGE["quality_scoring"]
    if scored.any():
        last = before(person)[rows]
        quick = (person.time[rows] - person.time[last] < DAY) & (last >= 0)
        parts = np.nan_to_num(person.out[_SAFETY : _SAFETY + 4, rows], nan=1.0)
        by_part = np.array([_BOUNDS, _VARIANCE, _SUSTAINED, _OTHER], dtype=np.uint8)[parts.argmin(axis=0)]
        by_part[(by_part == _SUSTAINED) & quick] = _DAILY
        kinds[scored] = by_part[scored]
    return kinds


def severities(person: Person, rows: Ints) -> Bytes:
    """Return how bad each rejected row is, an index into SEVERITIES, from how far off it was.

    The original found almost everything "Low", for it looked for numbers that rejected rows did not have.
    """
    stage = person.stage[rows]
    expected = expected_kg(person, rows)
    off = np.abs(person.weight[rows] - expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = off / np.abs(expected)
        ratio = off / person.out[_ALLOWED, rows]
    found = np.full(len(rows), _LOW, dtype=np.uint8)
    found[(off > _MEDIUM_KG) | (share > _MEDIUM_SHARE) | (ratio > _MEDIUM_TIMES)] = _MEDIUM
    found[(off > _HIGH_KG) | (share > _HIGH_SHARE) | (ratio > _HIGH_TIMES)] = _HIGH
    impossible = (stage == _STAGE["physiological"]) | (stage == _STAGE["preprocessing"])
    found[impossible | (person.out[_SAFETY, rows] <= 0)] = _CRITICAL
    return found


def expected_kg(person: Person, rows: Ints) -> Floats:
    """Return what was expected of rejected rows, kg; where the rules do not say, the filtered weight before; or NaN."""
    expected: Floats = person.out[_FILTERED, rows]
    unknown = np.isnan(expected)
    if unknown.any():
        last = before(person)[rows]
        expected = np.where(unknown & (last >= 0), person.out[_FILTERED, last], expected)
    return expected
