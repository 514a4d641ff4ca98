from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raddle
from raddle._model import error_of
from raddle._policy.chunking import ChunkSize
from raddle._policy.identity import canonical, function_name, function_version, given_id, item_id
from raddle._policy.lanes import Lanes
from raddle._policy.retry import Retry

VALUE_ERROR = raddle.ErrorInfo("ValueError", "no", lineage=("ValueError", "Exception", "BaseException", "object"))
EXIT = raddle.ErrorInfo("SystemExit", "1", lineage=("SystemExit", "BaseException", "object"))
TIMED_OUT = error_of(raddle.ItemTimedOut, "late")
CRASHED = error_of(raddle.WorkerCrashed, "killed by SIGKILL")


# --------------------------------------------------------------------------------------------------------- retry


@pytest.mark.parametrize(
    ("retry", "attempt", "error", "expected"),
    [
        (Retry(attempts=3), 1, VALUE_ERROR, 0.05),
        (Retry(attempts=3), 2, VALUE_ERROR, 0.1),
        (Retry(attempts=3), 3, VALUE_ERROR, None),
        (Retry(attempts=1), 1, VALUE_ERROR, None),
        (Retry(attempts=9, wait_max=0.3), 8, VALUE_ERROR, 0.15),
        (Retry(attempts=5000), 4000, VALUE_ERROR, 15.0),
        (Retry(wait_initial=0), 1, VALUE_ERROR, 0.0),
        (Retry(on=KeyError), 1, VALUE_ERROR, None),
        (Retry(on=(KeyError, ValueError)), 1, VALUE_ERROR, 0.05),
        (Retry(), 1, EXIT, None),
        (Retry(on=BaseException), 1, EXIT, 0.05),
        (Retry(), 1, TIMED_OUT, 0.05),
        (Retry(on=TimeoutError), 1, TIMED_OUT, 0.05),
        (Retry(on=raddle.WorkerCrashed), 1, TIMED_OUT, None),
        (Retry(on=raddle.WorkerCrashed), 1, CRASHED, 0.05),
    ],
)
def test_when_an_item_is_tried_again(
    retry: Retry, attempt: int, error: raddle.ErrorInfo, expected: float | None
) -> None:
    wait = retry.wait(attempt, error, 0.5)
    assert wait == pytest.approx(expected) if expected is not None else wait is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_longer_than_the_longest(attempt: int, chance: float) -> None:
    wait = Retry(attempts=10_001, wait_max=7).wait(attempt, VALUE_ERROR, chance)
    assert wait is not None
    assert 0 <= wait <= 7


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"attempts": 0}, "attempts=0: must be at least 1"),
        ({"wait_initial": -1}, "wait_initial=-1: must be seconds"),
        ({"wait_max": float("inf")}, "wait_max=inf"),
        ({"wait_exp_base": 0.5}, "wait_exp_base=0.5: must be 1 or more"),
    ],
)
def test_a_retry_that_cannot_work_is_refused(options: dict[str, float], hint: str) -> None:
    with pytest.raises(raddle.ConfigError, match=hint.replace(".", r"\.")):
        Retry(**options)


# --------------------------------------------------------------------------------------------------------- lanes


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_a_lane_lets_one_through_at_a_time_in_order(steps: list[tuple[str, bool]]) -> None:
    lanes = Lanes()
    inside: dict[str, int] = {}
    waiting: dict[str, deque[int]] = {key: deque() for key in "abc"}
    for ticket, (key, enters) in enumerate(steps):
        if enters:
            went_on = lanes.enter(key, ticket)
            assert went_on is (key not in inside)
            if went_on:
                inside[key] = ticket
            else:
                waiting[key].append(ticket)
        elif key in inside:
            expected = waiting[key].popleft() if waiting[key] else None
            assert lanes.leave(key) == expected
            if expected is None:
                del inside[key]
            else:
                inside[key] = expected
        assert lanes.count == sum(map(len, waiting.values()))
    assert sorted(lanes.drain()) == sorted(ticket for queue in waiting.values() for ticket in queue)
    assert lanes.count == 0


# ------------------------------------------------------------------------------------------------------ chunking


def test_a_chunk_grows_by_doubling_and_shrinks_at_once() -> None:
    chunks = ChunkSize(largest=1000)
    sizes = []
    for _ in range(12):
        chunks.observe(chunks.size, chunks.size * 1e-6)
        sizes.append(chunks.size)
    assert sizes == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000]
    chunks.observe(1000, 50.0)
    assert chunks.size == 1


@pytest.mark.parametrize(("seconds", "depth"), [(None, 1), (0.001, 2), (0.0199, 2), (0.1, 1)])
def test_only_short_items_wait_in_the_worker(seconds: float | None, depth: int) -> None:
    chunks = ChunkSize(largest=64)
    if seconds is not None:
        chunks.observe(1, seconds)
    assert chunks.depth(2) == depth


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=30))
def test_a_chunk_is_never_empty_nor_too_large(seen: list[tuple[int, float]]) -> None:
    chunks = ChunkSize(largest=64)
    for items, seconds in seen:
        chunks.observe(items, seconds)
        assert 1 <= chunks.size <= 64


# ------------------------------------------------------------------------------------------------------ identity


@dataclasses.dataclass
class Point:
    x: int
    y: float


@dataclasses.dataclass
class Other:
    x: int
    y: float


VALUES = [
    None, True, False, 0, 1, -1, 2**200, 0.0, -0.0, 1.0, float("inf"), 1j, "", "a", "1", b"", b"a", "é", "e\u0301",
    "\udcff", "a\0b", (), [], (1,), [1], (1, 2), ((1,), 2), (1, (2,)), {}, {1: 2}, {2: 1}, {"a": None}, set(), {1},
    Path("a"), Point(1, 2.0), Other(1, 2.0), ["ab", "c"], ["a", "bc"], "s1:a", b"s1:a",
]  # fmt: skip


def test_different_values_never_share_their_bytes() -> None:
    seen: dict[bytes, object] = {}
    for value in VALUES:
        written = canonical(value)
        assert written not in seen, (value, seen.get(written))
        seen[written] = value


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(json_like, json_like)
def test_ids_follow_content(first: object, second: object) -> None:
    assert (item_id(first) == item_id(second)) == (repr(first) == repr(second) or canonical(first) == canonical(second))


def test_order_of_dicts_and_sets_does_not_matter() -> None:
    assert item_id({"a": 1, "b": 2}) == item_id({"b": 2, "a": 1})
    script = "from raddle._policy.identity import item_id; print(item_id({'a', 'b', 'c', ('d', 1)}).hex())"
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (0, 1, 2)
    }
    assert len(seen) == 1


def test_an_item_without_content_needs_an_id() -> None:
    with pytest.raises(TypeError, match=r"item of type generator.*give id="):
        item_id(x for x in ())


@pytest.mark.parametrize("value", ["a", b"a", 7, -(2**90), Path("x"), "\udcff", "a\0b"])
def test_ids_that_may_be_given(value: object) -> None:
    assert given_id(value) == given_id(value)


@pytest.mark.parametrize("value", [None, True, 1.5, [1], object()])
def test_ids_that_may_not_be_given(value: object) -> None:
    with pytest.raises(TypeError, match="must be a str, bytes, int or path"):
        given_id(value)


def double(x: int, by: int = 2) -> int:
    return x * by


def triple(x: int, by: int = 3) -> int:
    return x * by


def test_a_function_is_known_by_name_code_and_arguments() -> None:
    assert function_name(functools.partial(double, by=5)).endswith(":double")
    versions = [
        function_version(f) for f in (double, triple, functools.partial(double, by=5), functools.partial(double, by=6))
    ]
    assert len(set(versions)) == 4
    assert function_version(double) == versions[0] != ""
    assert function_version(len) == ""
