"""The compat rules: equal to the original's published results, to a second writing of the text, and to themselves."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raddle.workloads.weights.rules import load_rules
from raddle.workloads.weights.rules.profiles import profile_names
from raddle.workloads.weights.values import DAY, FIELDS, RESETS, STAGES, Chunk, Filtered

np = pytest.importorskip("numpy")
pytest.importorskip("numba")
sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from oracle import SOURCES, Oracle, Reading, chunk_of, golden_people, hostile  # noqa: E402

PROFILES = ("aggressive", "balanced", "clinical", "conservative", "custom")
START = datetime(2024, 3, 1, 8, tzinfo=UTC)


def arrays(filtered: Filtered) -> list[Any]:
    return [filtered.weight, filtered.stage, filtered.reset, filtered.out, filtered.states]


def same(one: Filtered, other: Filtered) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(arrays(one), arrays(other), strict=True))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
def test_golden(data: Path, profile: str, fast: bool) -> None:
    chunk, lines = golden_people(data)
    filtered = load_rules("compat", profile).begin(chunk, fast=fast).whole()
    rows = {line: row for row, line in enumerate(lines)}
    with (data / "weights" / "golden" / f"expected_{profile}.csv").open(newline="") as file:
        for expected in csv.DictReader(file):
            row = rows.pop(int(expected["line"]))
            assert STAGES[filtered.stage[row]] == expected["stage"], expected
            assert (filtered.stage[row] <= 1) == (expected["accepted"] == "1")
            if expected["accepted"] == "1":
                assert abs(filtered.out[0, row] - float(expected["filtered_weight"])) < 1e-9
                assert abs(filtered.out[1, row] - float(expected["trend"])) < 1e-9
    assert not rows


DIGEST = """
import hashlib, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from oracle import golden_people
from raddle.workloads.weights.rules import load_rules
chunk, _ = golden_people(Path(sys.argv[2]))
found = hashlib.sha256()
for profile in sys.argv[3:]:
    rules = load_rules("compat", profile)
    filtered = rules.begin(chunk, fast=False).whole()
    found.update(rules.digest.encode())
    for array in (filtered.weight, filtered.stage, filtered.reset, filtered.out, filtered.states):
        found.update(array.tobytes())
print(found.hexdigest())
"""


def test_golden_whatever_the_hash_seed(data: Path) -> None:
    found = set()
    for seed in ("0", "1", "4"):
        run = subprocess.run(
            [sys.executable, "-c", DIGEST, str(Path(__file__).parent), str(data), *PROFILES],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout)
    chunk, _ = golden_people(data)
    digest = hashlib.sha256()
    for profile in PROFILES:
        rules = load_rules("compat", profile)
        digest.update(rules.digest.encode())
        for array in arrays(rules.begin(chunk, fast=True).whole()):
            digest.update(array.tobytes())
    assert found == {digest.hexdigest() + "\n"}


def part(chunk: Chunk, first: int, end: int) -> Chunk:
    """Users [first, end) as a chunk of their own."""
    rows = slice(chunk.starts[first], chunk.starts[end])
    columns = {name: getattr(chunk, name)[rows] for name in ("line", "file", "time", "value", "unit", "source")}
    users = {name: getattr(chunk, name)[first:end] for name in ("users", "height_m", "unused")}
    return replace(chunk, starts=chunk.starts[first : end + 1] - chunk.starts[first], **columns, **users)


@pytest.mark.parametrize("size", [1, 7, 59])
def test_golden_in_many_chunks(data: Path, size: int) -> None:
    chunk, _ = golden_people(data)
    rules = load_rules("compat", "balanced")
    whole = rules.begin(chunk, fast=True).whole()
    users = len(chunk.users)
    parts = [rules.begin(part(chunk, at, min(at + size, users)), fast=True).whole() for at in range(0, users, size)]
    joined = Filtered(
        weight=np.concatenate([each.weight for each in parts]),
        stage=np.concatenate([each.stage for each in parts]),
        reset=np.concatenate([each.reset for each in parts]),
        out=np.concatenate([each.out for each in parts], axis=1),
        states=np.concatenate([each.states for each in parts]),
    )
    assert same(whole, joined)


def check_against_oracle(rules: Any, people: dict[str, list[Any]], heights: dict[str, float]) -> int:
    """Assert that both say the same, numbers within 1e-9; return the number of ties."""
    chunk = chunk_of(people, heights)
    fast = rules.begin(chunk, fast=True).whole()
    filtered = rules.begin(chunk, fast=False).whole()
    assert same(fast, filtered)
    oracles = {user: Oracle(asdict(rules.parameters), heights.get(user)) for user in chunk.users}
    said = [oracles[user].judge(reading) for user in chunk.users for reading in people[user]]
    ties = sum(oracle.ties for oracle in oracles.values())
    if ties:
        return ties
    assert [STAGES[code] for code in filtered.stage] == [verdict["stage"] for verdict in said]
    assert [RESETS[code] for code in filtered.reset] == [verdict["reset"] for verdict in said]
    assert np.abs(filtered.weight - [verdict["weight"] for verdict in said]).max(initial=0.0) < 1e-9
    expected = np.array([[verdict.get(name, math.nan) for verdict in said] for name in FIELDS])
    assert np.array_equal(np.isnan(expected), np.isnan(filtered.out))
    assert np.nanmax(np.abs(expected - filtered.out), initial=0.0) < 1e-9
    for state, user in zip(filtered.states, chunk.users, strict=True):
        own = oracles[user].state
        if own is None:
            assert np.isnan(state[:6]).all()
            assert state[6] == state[7] == 0
            continue
        numbers = [*own["x"], own["P"][0, 0], own["P"][0, 1], own["P"][1, 1]]
        assert np.abs(state[:5] - numbers).max() < 1e-9
        assert state[5] == (own["last"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        assert (state[6], state[7]) == (own["n"], own["resets"])
    return 0


@pytest.mark.parametrize("profile", PROFILES)
def test_a_second_writing_says_the_same_of_hostile_people(profile: str) -> None:
    rules = load_rules("compat", profile)
    assert check_against_oracle(rules, *hostile(PROFILES.index(profile), users=14, rows=90)) == 0


def test_a_second_writing_says_the_same_of_golden(data: Path) -> None:
    chunk, _ = golden_people(data)
    names = ("kg", "lb", "st", "g", "[lb_av]", "", "?")
    people = {
        user: [
            Reading(
                datetime.fromtimestamp(int(chunk.time[row]) // 1_000_000, UTC),
                float(chunk.value[row]),
                names[chunk.unit[row]],
                chunk.source_names[chunk.source[row]],
            )
            for row in range(chunk.starts[at], chunk.starts[at + 1])
        ]
        for at, user in enumerate(chunk.users)
    }
    heights = dict(zip(chunk.users, chunk.height_m.tolist(), strict=True))
    assert check_against_oracle(load_rules("compat", "custom"), people, heights) == 0


READINGS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(-10 * 86_400, 20 * 86_400),
            st.sampled_from([0, 3600, 6 * 3600, 86_400, 30 * 86_400, 45 * 86_400]),
        ),
        st.one_of(st.floats(0.001, 1000), st.floats(65, 75), st.sampled_from([70.0, 70.5, 75.0, 80.0, 25.0])),
        st.sampled_from(["kg", "kg", "kg", "lb", "st", "[lb_av]", "?", ""]),
        st.sampled_from([*SOURCES, "questionnaire", "care-team-entry", "my connectivehealth scale", "x"]),
    ),
    max_size=40,
)


@settings(max_examples=80, deadline=None)
@given(READINGS, st.one_of(st.none(), st.floats(0.5, 2.5)), st.sampled_from(PROFILES))
def test_a_second_writing_says_the_same_of_anything(drawn: list[Any], height: float | None, profile: str) -> None:
    when, people = START, []
    for seconds, *rest in drawn:
        when += timedelta(seconds=seconds)
        people.append(Reading(when, *rest))
    heights = {} if height is None else {"one": height}
    assume(check_against_oracle(load_rules("compat", profile), {"one": people}, heights) == 0)


@pytest.mark.parametrize("fast", [True, False])
def test_in_pieces_as_in_one(fast: bool) -> None:
    chunk = chunk_of(*hostile(11, users=6, rows=50))
    rules = load_rules("compat", "aggressive")
    whole = rules.begin(chunk, fast=fast).whole()
    pieces = rules.begin(chunk, fast=fast)
    fresh = pieces.filtered.states.copy()
    for step in (1, 3, 17):
        for user in reversed(range(len(chunk.users))):
            pieces.filtered.states[user] = fresh[user]
            end = int(chunk.starts[user + 1])
            for first in range(int(chunk.starts[user]), end, step):
                pieces.advance(user, first, min(first + step, end))
        assert same(whole, pieces.filtered)


def test_a_state_goes_on_in_another_chunk() -> None:
    people, heights = hostile(12, users=5, rows=60)
    rules = load_rules("compat", "balanced")
    whole = rules.begin(chunk_of(people, heights), fast=True).whole()
    early = chunk_of({user: rows[:25] for user, rows in people.items()}, heights)
    late = chunk_of({user: rows[25:] for user, rows in people.items()}, heights)
    first, second = rules.begin(early, fast=True), rules.begin(late, fast=True)
    second.filtered.states[:] = first.whole().states
    assert second.whole().states.tobytes() == whole.states.tobytes()
    assert whole.states.shape == (5, rules.state_size)


@pytest.mark.parametrize("fast", [True, False])
def test_rows_are_skipped_and_an_advance_is_undone(fast: bool) -> None:
    people, heights = hostile(16, users=2, rows=40)
    chunk = chunk_of(people, heights)
    rules = load_rules("compat", "balanced")
    run = rules.begin(chunk, fast=fast)
    run.whole()
    before = [array.copy() for array in arrays(run.filtered)]
    skip = np.zeros(len(chunk.time), np.bool_)
    skip[[41, 50, 79]] = True
    run.filtered.states[1] = np.nan
    run.advance(1, 40, 80, skip)
    left = {
        "user-000": people["user-000"],
        "user-001": [r for at, r in enumerate(people["user-001"], 40) if not skip[at]],
    }
    without = rules.begin(chunk_of(left, heights), fast=fast).whole()
    assert run.filtered.states.tobytes() == without.states.tobytes()
    assert run.filtered.out[:, ~skip].tobytes() == without.out.tobytes()
    assert (run.filtered.stage[skip] == STAGES.index("retrospective")).all()
    assert run.filtered.out[:, skip].tobytes() == before[3][:, skip].tobytes()
    for array, old in zip(arrays(run.filtered), before, strict=True):
        array[...] = old
    run.filtered.states[1] = np.nan
    run.advance(1, 40, 80)
    assert all(array.tobytes() == old.tobytes() for array, old in zip(arrays(run.filtered), before, strict=True))


def verdicts(rows: list[tuple[float, float, str, str]], *, height: float = 1.75, profile: str = "balanced") -> Filtered:
    """Filter (day, value, unit, source) of one person."""
    people = {"one": [Reading(START + timedelta(days=day), value, unit, source) for day, value, unit, source in rows]}
    return load_rules("compat", profile).begin(chunk_of(people, {"one": height}), fast=False).whole()


DAILY = [(float(day), 70.0, "kg", "patient-device") for day in range(20)]


@pytest.mark.parametrize(
    ("row", "stage", "reset"),
    [
        ((49.0, 70.0, "kg", "patient-device"), "initialization", "gap"),  # 30 days exactly
        ((48.96, 70.0, "kg", "patient-device"), "accepted", None),
        ((20.0, 75.0, "kg", "patient-upload"), "initialization", "manual entry"),  # 5 kg exactly
        ((20.0, 74.9, "kg", "patient-upload"), "quality_scoring", None),
        ((20.0, 75.0, "kg", "patient-device"), "quality_scoring", None),
        ((20.0, 25.0, "kg", "patient-device"), "quality_scoring", None),  # taken for a BMI: 76.6 kg
        ((20.0, 22.8, "kg", "patient-device"), "accepted", None),  # the same: 69.8 kg
        ((20.0, 154.0, "lb", "patient-device"), "accepted", None),
        ((20.0, 154.0, "[lb_av]", "patient-device"), "quality_scoring", None),  # taken for kg
        ((20.0, 320.0, "kg", "patient-device"), "preprocessing", None),  # a BMI of 104
        ((49.0, 300.0, "kg", "patient-device"), "initialization", "gap"),  # a restart is believed without a check
        ((10.0, 70.1, "kg", "patient-device"), "accepted", None),  # out of order
    ],
)
def test_one_more_reading(row: tuple[float, float, str, str], stage: str, reset: str | None) -> None:
    filtered = verdicts([*DAILY, row])
    assert (STAGES[filtered.stage[-1]], RESETS[filtered.reset[-1]]) == (stage, reset)
    assert (filtered.stage[:-1] <= 1).all()


def test_a_manual_entry_waits_for_the_cooldown() -> None:
    jump = [(20.0, 76.0, "kg", "patient-upload"), (22.0, 50.0, "kg", "patient-upload")]
    filtered = verdicts([*DAILY, *jump, (23.5, 69.0, "kg", "patient-upload")])
    assert [RESETS[code] for code in filtered.reset[-3:]] == ["manual entry", None, "manual entry"]
    assert filtered.states[0, 7] == 3


def test_out_of_order_moves_the_clock_back() -> None:
    filtered = verdicts([*DAILY, (10.0, 70.1, "kg", "patient-device")])
    assert filtered.states[0, 5] == START.timestamp() * 1e6 + 10 * DAY
    assert filtered.out[FIELDS.index("consistency"), -1] == 0.8


def test_process_noise_stays_inflated() -> None:
    days = [(float(day), 70.0, "kg", "patient-device") for day in range(120)]
    filtered = verdicts(days, profile="custom")
    assert filtered.states[0, 11] == pytest.approx(0.191, abs=5e-4)  # the base is .016
    assert filtered.states[0, 12] == pytest.approx(0.0012, abs=5e-5)
    assert verdicts([days[0], days[8]], profile="custom").states[0, 11] == 0.016 * 50


def test_what_the_store_refuses_is_reported_and_forgotten() -> None:
    rows = [(float(day), 9.0, "kg", "patient-device") for day in range(3)]
    filtered = verdicts(rows, height=0.9)
    assert [RESETS[code] for code in filtered.reset] == ["first reading"] * 3
    assert (filtered.out[0] == 9.0).all()
    assert np.isnan(filtered.states[0, :6]).all()


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, -70.0, 1e308, 5e-324])
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_no_weight_harms_nobody(value: float, fast: bool) -> None:
    people = {
        "one": [Reading(START, 70.0, "kg", "x"), Reading(START, value, "lb", "x"), Reading(START, 70.0, "kg", "x")]
    }
    for height in (1.75, 0.0, math.inf, math.nan, 1e-200, 1e200):
        filtered = load_rules("compat", "balanced").begin(chunk_of(people, {"one": height}), fast=fast).whole()
        assert [STAGES[code] for code in filtered.stage] == ["initialization", "preprocessing", "accepted"]


def test_nobody_at_all() -> None:
    chunk = chunk_of({}, {})
    for fast in (True, False):
        assert load_rules("compat", "balanced").begin(chunk, fast=fast).whole().stage.size == 0


def test_arrays_of_other_kinds() -> None:
    chunk = chunk_of(*hostile(3, users=3, rows=20))
    other = replace(chunk, source=chunk.source.astype(np.uint16), value=np.repeat(chunk.value, 2)[::2])
    other.time.flags.writeable = False
    rules = load_rules("compat", "balanced")
    assert same(rules.begin(other, fast=True).whole(), rules.begin(chunk, fast=False).whole())


def test_facts_and_digest() -> None:
    digests = {load_rules("compat", name).digest for name in profile_names("compat")}
    assert len(digests) == len(PROFILES)
    facts = load_rules("compat", "balanced").facts
    assert (facts["quality_threshold"], facts["extreme_threshold"], facts["gap_days"]) == (0.6, 0.15, 30)
    assert (facts["soft_change_kg"], facts["manual_adaptation_readings"]) == (5, 15)
    assert "soft_change_kg" not in load_rules("compat", "conservative").facts
    assert all(isinstance(value, float) for value in facts.values())
