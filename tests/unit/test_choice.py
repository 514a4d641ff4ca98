"""`backend="auto"`: what is chosen from which figures. Those of the table were measured, on 2 CPUs that others used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle._events import Measured
from raddle._policy.choice import NOTHING, add, choose

MS = 1e-3
US = 1e-6


def seen(items: int, each: float, cpu: float, lag: float, transfer: float, probes: int = 20) -> Measured:
    """Evidence by its means: seconds of an item, of CPU in it, of waiting for the lock, of transfer."""
    return Measured(items, items * each, items * cpu, lag, probes, items * transfer)


PYTHON = seen(30, 4.97 * MS, 4.15 * MS, 5.85 * MS, 1.3 * US)
FFT = seen(8, 75.3 * MS, 59.4 * MS, 0.66 * MS, 6.1 * MS)
SMALL_FFT = seen(60, 12 * MS, 11.8 * MS, 0.3 * MS, 0.2 * MS)
SLEEP = seen(10, 20.1 * MS, 0.38 * MS, 0.14 * MS, 2.3 * US)
SUBPROCESS = seen(10, 53.2 * MS, 1.1 * MS, 0.36 * MS, 2 * US)
TINY = seen(200_000, 0.15 * US, 0.15 * US, 3.2 * MS, 0.4 * US, probes=2)
SHORT = seen(50_000, 12 * US, 12 * US, 4.9 * MS, 0.4 * US)
HALF = seen(20, 12 * MS, 5.9 * MS, 1.8 * MS, 1.4 * US)
PARSE = seen(10, 30 * MS, 30 * MS, 4.2 * MS, 12 * MS)  # keeps the lock, and big results travel

TABLE = [
    # evidence, CPUs, backend, start, most
    ("pure Python", PYTHON, 2, "processes", 2, 2),
    ("pure Python", PYTHON, 16, "processes", 16, 16),
    ("FFT of 8 MB arrays", FFT, 2, "threads", 2, 2),
    ("FFT of 8 MB arrays", FFT, 4, "threads", 4, 4),
    ("FFT of small arrays", SMALL_FFT, 4, "processes", 4, 4),
    ("sleep", SLEEP, 2, "threads", 52, 64),
    ("sleep", SLEEP, 16, "threads", 64, 64),
    ("subprocess", SUBPROCESS, 2, "threads", 48, 64),
    ("tiny", TINY, 2, "threads", 1, 1),
    ("tiny", TINY, 16, "threads", 1, 1),
    ("short", SHORT, 2, "processes", 2, 2),
    ("half waiting", HALF, 4, "processes", 4, 4),
    ("keeps the lock, big results", PARSE, 2, "processes", 2, 2),
]


@pytest.mark.parametrize(("name", "evidence", "cpus", "backend", "start", "most"), TABLE)
def test_choice(name: str, evidence: Measured, cpus: int, backend: str, start: int, most: int) -> None:
    choice = choose(evidence, cpus=cpus, most=64)
    assert choice is not None, name
    assert (choice.backend, choice.start, choice.most) == (backend, start, most), choice.reason


def test_half_waiting_items_take_more_processes_than_cpus_where_there_are_more() -> None:
    choice = choose(HALF, cpus=2, most=64, processes=8)
    assert choice is not None
    assert (choice.backend, choice.start) == ("processes", 4), choice.reason


def test_cpu_that_others_took_is_no_waiting() -> None:
    """A machine that is in use by others shows CPU work as 80 % busy: that is no reason for more workers."""
    choice = choose(seen(30, 5 * MS, 4 * MS, 5 * MS, US), cpus=8, most=64, processes=64)
    assert choice is not None
    assert (choice.backend, choice.start) == ("processes", 8)


def test_the_reason_has_the_figures() -> None:
    choice = choose(SLEEP, cpus=2, most=64)
    assert choice is not None
    assert choice.reason == (
        "threads, for the items wait: 10 items took 20.1 ms each, 2% of it on a CPU, 2% holding the interpreter lock, "
        "0.0% more for the way to a process; estimated 2,632/s on threads, 99.5/s on 2 processes"
    )


ENOUGH = [
    (NOTHING, False),
    (seen(1, 40 * MS, 0, 0, 0), False),  # one item is not yet 50 ms
    (seen(1, 60 * MS, 0, 0, 0), True),
    (seen(7, 1 * MS, 1 * MS, 5 * MS, 0), False),
    (seen(8, 1 * MS, 1 * MS, 5 * MS, 0), True),
    (seen(8, 1 * MS, 1 * MS, 0, 0, probes=0), False),  # on a CPU, and nobody has tried the lock
    (seen(8, 1 * MS, 0.1 * MS, 0, 0, probes=0), True),  # waiting: the lock does not matter
    (seen(30, 5 * MS, 5 * MS, 0, 0, probes=0), False),
    (seen(50, 5 * MS, 5 * MS, 0, 0, probes=0), True),  # no end of it: the lock is taken as held
    (seen(999, 1 * US, 1 * US, 0, 0, probes=0), False),
    (seen(1000, 1 * US, 1 * US, 0, 0, probes=0), True),
]


@pytest.mark.parametrize(("evidence", "enough"), ENOUGH)
def test_nothing_is_chosen_before_the_evidence_suffices(evidence: Measured, enough: bool) -> None:
    assert (choose(evidence, cpus=4, most=32) is not None) == enough


def test_unprobed_cpu_work_goes_to_processes() -> None:
    choice = choose(seen(50, 5 * MS, 5 * MS, 0, 0, probes=0), cpus=4, most=32)
    assert choice is not None
    assert choice.backend == "processes"


def test_evidence_adds_up_and_the_lag_is_weighted_by_its_probes() -> None:
    both = add(Measured(2, 0.1, 0.05, 0.004, 3, 0.01), Measured(1, 0.2, 0.2, 0.0, 1, 0.0))
    assert (both.items, both.probes) == (3, 4)
    assert both.wall == pytest.approx(0.3)
    assert both.lag == pytest.approx(0.003)
    assert add(NOTHING, NOTHING) == NOTHING
    assert add(NOTHING, PYTHON) == PYTHON


@given(
    st.integers(1, 10**6),
    st.floats(1e-8, 100),
    st.floats(0, 4),
    st.floats(0, 0.1),
    st.floats(0, 2),
    st.integers(0, 100),
    st.integers(1, 256),
    st.integers(1, 512),
)
def test_a_choice_can_always_be_carried_out(
    items: int, each: float, busy: float, lag: float, way: float, probes: int, cpus: int, most: int
) -> None:
    choice = choose(seen(items, each, busy * each, lag, way * each, probes), cpus=cpus, most=most)
    if choice is not None:
        assert 1 <= choice.start <= choice.most
        assert choice.most <= (cpus if choice.backend == "processes" else most)
        assert choice.reason.startswith(choice.backend)
