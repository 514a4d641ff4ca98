"""The compat rules written a second time, straight from the text of the research, section 2, and only for tests.

Slow and plain on purpose: datetimes, units and sources by name, lists, dictionaries, numpy for means and lines. It
shares no line and no formula with `rules/compat_kernel.py`; where both agree, both say what the text says.
A decision that hangs on less than 1e-9 is a tie: the two may round it differently, as the original would elsewhere.
"""

from __future__ import annotations

import csv
import math
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from raddle.workloads.weights.ingest.units import unit_code
from raddle.workloads.weights.values import Chunk

if TYPE_CHECKING:
    from pathlib import Path

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RELIABILITY = {"excellent": 1.0, "good": 0.85, "moderate": 0.7, "poor": 0.5, "unknown": 0.6}
#: reliability, outliers per 1000, noise
SOURCES = {
    "care-team-upload": ("excellent", 3.6, 0.5),
    "patient-upload": ("excellent", 13.0, 0.7),
    "internal-questionnaire": ("good", 14.0, 0.8),
    "initial-questionnaire": ("good", 14.0, 0.8),
    "patient-device": ("good", 20.7, 1.0),
    "https://connectivehealth.io": ("moderate", 35.8, 1.5),
    "https://api.iglucose.com": ("poor", 151.4, 3.0),
}
UNKNOWN = ("unknown", 20.0, 1.0)
MANUAL = [
    "internal-questionnaire",
    "initial-questionnaire",
    "questionnaire",
    "patient-upload",
    "user-upload",
    "care-team-upload",
    "care-team-entry",
]


class Reading(NamedTuple):
    when: datetime
    value: float
    unit: str
    source: str


class Oracle:
    """Goes through one person's readings; `ties` counts decisions that hung on a hair."""

    def __init__(self, profile: dict[str, Any], height: float | None) -> None:
        self.profile, self.height = profile, height or 1.67
        self.state: dict[str, Any] | None = None
        self.ties = 0

    def over(self, value: float, limit: float) -> bool:
        """value > limit"""
        self.ties += abs(value - limit) < 1e-9 and value != limit
        return value > limit

    # 2.1
    def kilograms(self, reading: Reading) -> float:
        weight, unit = reading.value, reading.unit.strip().lower()
        if unit in ("lb", "lbs", "pound", "pounds"):
            weight *= 0.453592
        elif unit in ("st", "stone", "stones"):
            weight *= 6.35029
        if unit in ("kg", "kilogram", "kilograms", "") and 15 <= weight <= 50:
            implied = weight * self.height**2
            if 40 <= implied <= 200 or (30 <= implied <= 250 and "connectivehealth" in reading.source):
                return implied
        return weight

    # 2.3
    def reset(self, reading: Reading, weight: float) -> str | None:
        state, soft = self.state, self.profile["kalman"]["reset"]["soft"]
        if state is None:
            return "first reading"
        if days(reading.when - state["last"]) >= self.profile["kalman"]["reset"]["hard"]["gap_threshold_days"]:
            return "gap"
        if (
            soft["enabled"]
            and reading.source in [*MANUAL, *soft["more_trigger_sources"]]
            and not self.over(soft["min_weight_change_kg"], abs(weight - state["raw"]))
            and days(reading.when - state["reset"]) > soft["cooldown_days"]
        ):
            return "manual entry"
        return None

    # 2.7
    def safety(self, weight: float) -> float:
        bmi = weight / self.height**2
        if not 30 <= weight <= 400:
            return 0.0
        if 40 <= weight <= 300:
            return 1.0
        d = (40 - weight) / 10 if weight < 40 else (weight - 300) / 100
        return math.exp(-3 * d) * (0.5 if bmi < 15 or bmi > 60 else 0.8 if bmi < 18 or bmi > 40 else 1.0)

    def plausibility(self, weight: float) -> float:
        assert self.state is not None
        recent = self.state["history"][-20:]
        if len(recent) >= 3:
            mean, std, least = float(np.mean(recent)), float(np.std(recent)), 0.5
            if len(recent) >= 4:
                index = np.arange(len(recent))
                slope, begin = np.polyfit(index, recent, 1)
                total = float(np.sum((np.array(recent) - mean) ** 2))
                rest = float(np.sum((np.array(recent) - (begin + slope * index)) ** 2))
                r2 = 1 - rest / total if total > 1e-18 else 0.0
                following = recent[-1] + slope
                clear = self.over(r2, 0.5)
                if self.over(r2, 0.8):
                    mean = following
                elif clear:
                    mean = r2 * following + (1 - r2) * mean
                if clear and self.over(abs(slope), 0.1):
                    least = max(1.0, 3 * abs(slope))
            std = max(std, least)
        else:
            mean = self.state["x"][0]
            std = max(0.02 * (weight + mean) / 2, 0.5)
        z = abs(weight - mean) / std
        for limit, score in ((1, 1.0), (2, 0.9), (3, 0.7)):
            if not self.over(z, limit):
                return score
        return min(0.5, math.exp(-0.5 * (z - 3)))

    def consistency(self, weight: float, hours: float) -> float:  # noqa: PLR0911 - a table
        assert self.state is not None
        previous = self.state["x"][0]
        d = abs(weight - previous)
        if hours <= 0:
            return 0.8
        if hours < 6:
            return 0.7 * math.exp(-2 * (d - 3) / 3) if self.over(d, 3) else 1.0
        if hours < 24:
            if not self.over(d, 2):
                return 1.0
            if not self.over(d, 4):
                return 1 - 0.1 * (d - 2)
            percent = 100 * d / ((weight + previous) / 2)
            return 0.5 * math.exp(-2 * (percent - 5) / 5) if self.over(percent, 5) else 0.7
        rate = d / (hours / 24)
        if rate <= 2:
            return 1.0
        if rate <= 4:
            return 1 - 0.25 * (rate - 2)
        if rate <= 6.44:
            return 0.5 - 0.3 * (rate - 4) / 2.44
        return 0.2 * math.exp(-2 * (rate - 6.44) / 6.44)

    def overall(self, scores: list[float], shares: list[float]) -> float:
        if scores[0] < 0.3:
            return 0.0
        if not self.profile["quality_scoring"]["use_harmonic_mean"]:
            return sum(w * c for w, c in zip(shares, scores, strict=True)) / sum(shares)
        if 0.0 in scores:
            return 0.0
        return sum(shares) / sum(w / c for w, c in zip(shares, scores, strict=True))

    def believed(self, reading: Reading, weight: float) -> tuple[str, dict[str, float]]:
        state = self.state
        assert state is not None
        own = self.profile["kalman"]["reset"][state["kind"]]
        few = state["n"] < own["adaptation_measurements"]
        adaptive = few or days(reading.when - state["reset"]) < own["adaptation_days"]
        hours = (reading.when - state["last"]).total_seconds() / 3600
        level, per_thousand, _ = SOURCES.get(reading.source, UNKNOWN)
        factor = next(f for most, f in ((5, 1.0), (20, 0.95), (50, 0.9), (1e9, 0.8)) if per_thousand < most)
        if reading.source not in SOURCES:
            factor = 0.9  # 20 is not below 20
        scores = [
            self.safety(weight),
            self.plausibility(weight),
            self.consistency(weight, hours),
            RELIABILITY[level] * factor,
        ]
        shares = list(self.profile["quality_scoring"]["component_weights"].values())
        quality = self.overall(scores, [0.45, 0.10, 0.15, 0.30] if adaptive else shares)
        said = dict(zip(("safety", "plausibility", "consistency", "reliability"), scores, strict=True))
        said["quality"] = quality
        threshold = self.profile["quality_scoring"]["threshold"]
        if adaptive:
            threshold = own["quality_acceptance_threshold"]
        if self.over(threshold, quality) or scores[0] < 0.3:
            return "quality_scoring", said
        # 2.8
        if few and own["quality_acceptance_threshold"] == 0:
            return "accepted", said
        share = 0.25 if few else self.profile["processing"]["extreme_threshold"]
        prediction = state["x"][0] + state["x"][1] * max(hours / 24, 0.1)
        said["allowed"] = share * prediction
        if self.over(abs(weight - prediction) / prediction, share):
            said["filtered_weight"], said["trend"] = prediction, state["x"][1]
            said["innovation"] = weight - prediction
            said["sigma"], said["trend_sigma"] = math.sqrt(state["P"][0, 0]), math.sqrt(state["P"][1, 1])
            return "kalman_deviation", said
        return "accepted", said

    # 2.5, 2.6
    def begun(self, reading: Reading, weight: float, kind: str, resets: int) -> dict[str, Any]:
        kalman = self.profile["kalman"]
        own = kalman["reset"][kind]
        state = {
            "x": np.array([weight, 0.0]),
            "P": np.diag([kalman["initial_variance"] * own["initial_variance_multiplier"], 0.001]),
            "Q": np.diag(
                [
                    kalman["transition_covariance_weight"] * own["weight_noise_multiplier"],
                    kalman["transition_covariance_trend"] * own["trend_noise_multiplier"],
                ]
            ),
            "kind": kind,
            "reset": reading.when,
            "history": [],
            "n": 1,
            "resets": resets,
        }
        noise = SOURCES.get(reading.source, UNKNOWN)[2]
        step(state, weight, 0.1, kalman["observation_covariance"] * own["observation_noise_multiplier"] * noise)
        return state

    def followed(self, reading: Reading, weight: float) -> dict[str, Any]:
        assert self.state is not None
        state, kalman = dict(self.state), self.profile["kalman"]
        own = kalman["reset"][state["kind"]]
        since = days(reading.when - state["reset"])
        base = {
            "weight": kalman["transition_covariance_weight"],
            "trend": kalman["transition_covariance_trend"],
            "observation": kalman["observation_covariance"],
        }
        if since < own["adaptation_days"]:
            f = 1 - math.exp(-state["n"] / own["adaptation_decay_rate"])
            base = {name: v * own[f"{name}_noise_multiplier"] * (1 - f) + v * f for name, v in base.items()}
        if since < 7:
            state["Q"] = np.diag([base["weight"], base["trend"]])
        dt = min(max(days(reading.when - state["last"]), 0.1), 30)
        state["x"] = np.array([state["x"][0], min(max(state["x"][1], -0.714), 0.714)])
        step(state, weight, dt, base["observation"] * SOURCES.get(reading.source, UNKNOWN)[2])
        state["x"][1] = min(max(state["x"][1], -0.714), 0.714)
        state["history"] = [*state["history"], weight][-30:]
        state["n"] += 1
        return state

    def judge(self, reading: Reading) -> dict[str, Any]:
        weight = self.kilograms(reading)
        said: dict[str, Any] = {"weight": weight, "reset": None}
        if not 10 <= weight / self.height**2 <= 100:
            return said | {"stage": "preprocessing"}
        why = self.reset(reading, weight)
        if why is None:
            stage, numbers = self.believed(reading, weight)
            said |= {"stage": stage, **numbers}
            if stage != "accepted":
                return said
            state = self.followed(reading, weight)
        else:
            said |= {"stage": "initialization", "reset": why}
            kind = {"first reading": "initial", "gap": "hard", "manual entry": "soft"}[why]
            state = self.begun(reading, weight, kind, 1 + (self.state["resets"] if self.state else 0))
        state["last"], state["raw"] = reading.when, weight
        if 10 <= state["x"][0] <= 500 and 10 <= weight <= 500:
            self.state = state
        return said | {
            "filtered_weight": state["x"][0],
            "trend": state["x"][1],
            "sigma": math.sqrt(state["P"][0, 0]),
            "trend_sigma": math.sqrt(state["P"][1, 1]),
            "innovation": weight - state["x"][0],
        }


def days(span: timedelta) -> float:
    return span.total_seconds() / 86400


def step(state: dict[str, Any], weight: float, dt: float, noise: float) -> None:
    """One step of the textbook's filter, with matrices."""
    f, h = np.array([[1, dt], [0, 1]]), np.array([1, 0])
    x, p = f @ state["x"], f @ state["P"] @ f.T + state["Q"]
    gain = p @ h / (h @ p @ h + noise)
    state["x"] = x + gain * (weight - h @ x)
    state["P"] = p - np.outer(gain, h @ p)


def chunk_of(people: dict[str, list[Reading]], heights: dict[str, float]) -> Chunk:
    """Return what ingest would make of such readings."""
    users = sorted(people)
    rows = [reading for user in users for reading in people[user]]
    names = sorted({reading.source for reading in rows})
    counts = [len(people[user]) for user in users]
    return Chunk(
        users=tuple(users),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        line=np.arange(2, len(rows) + 2),
        file=np.zeros(len(rows), np.int64),
        time=np.array([(reading.when - EPOCH) // timedelta(microseconds=1) for reading in rows], np.int64),
        value=np.array([reading.value for reading in rows], np.float64),
        unit=np.array([unit_code(reading.unit) for reading in rows], np.uint8),
        source=np.array([names.index(reading.source) for reading in rows], np.int64),
        source_names=tuple(names),
        height_m=np.array([heights.get(user, math.nan) for user in users]),
        unused=np.zeros(len(users), np.int64),
    )


def golden_people(data: Path) -> tuple[Chunk, list[int]]:
    """Read golden/input.csv as the original did; return the chunk, and the line of each of its rows."""
    folder = data / "weights" / "golden"
    people: dict[str, list[Any]] = {}
    with (folder / "input.csv").open(newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            if row["weight"] in {"", "NULL"} or "m2" in row["unit"] or "BSA" in row["source_type"]:
                continue
            when = datetime.fromisoformat(row["effectiveDateTime"]).replace(tzinfo=UTC)
            reading = Reading(when, float(row["weight"]), row["unit"], row["source_type"])
            people.setdefault(row["user_id"], []).append((line, reading))
    with (folder / "heights.csv").open(newline="") as file:
        heights = {row["user_id"]: float(row["value_quantity"]) / 100 for row in csv.DictReader(file)}
    chunk = chunk_of({user: [reading for _, reading in rows] for user, rows in people.items()}, heights)
    return chunk, [line for user in chunk.users for line, _ in people[user]]


def hostile(seed: int, *, users: int, rows: int) -> tuple[dict[str, list[Reading]], dict[str, float]]:
    """Return people such as nobody has seen: 25 to 600 kg, all units and sources, gaps, times that stand or go back."""
    chance = random.Random(seed)
    sources = [*SOURCES, "questionnaire", "user-upload", "care-team-entry", "a scale", "CONNECTIVEHEALTH"]
    units = ["kg"] * 12 + ["lb", "LBS", "st", "[lb_av]", "", "?", " Kilograms "]
    per_kg = {"lb": 1 / 0.453592, "LBS": 1 / 0.453592, "st": 1 / 6.35029}
    people: dict[str, list[Reading]] = {}
    heights: dict[str, float] = {}
    for number in range(users):
        user = f"user-{number:03}"
        if chance.random() < 0.8:
            heights[user] = chance.uniform(0.8, 2.3)
        weight = chance.choice([chance.uniform(25, 60), chance.uniform(50, 130), chance.uniform(5, 600)])
        drift, when = chance.gauss(0, 0.1), datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        few = chance.sample(sources, 3)
        people[user] = []
        for _ in range(rows):
            kind = chance.random()
            if kind < 0.03:
                when += timedelta(days=chance.choice([29.96, 30, 31, 40, 21, 45, 60]))
            elif kind < 0.08:
                when -= timedelta(seconds=chance.randrange(1, 20 * 86400))
            elif kind > 0.12:
                when += timedelta(seconds=chance.choice([3600, 6 * 3600, 86400, chance.randrange(1, 300_000)]))
            weight = max(5.0, weight + drift + chance.gauss(0, 0.8))
            wrong = chance.choices([0.0, 4.0, 10.0, 40.0], [8, 1, 1, 1])[0]
            shown = weight + chance.uniform(-wrong, wrong)
            unit = chance.choice(units)
            value = max(0.1, shown) * per_kg.get(unit, 1.0)
            if chance.random() < 0.3:
                value = round(value) + 0.1  # the same value again and again
            source = chance.choice(few if chance.random() < 0.9 else sources)
            people[user].append(Reading(when, value, unit, source))
    return people, heights
