"""Whole runs on a dask cluster of separate processes, some of which are killed in the middle."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter, deque
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle._events import ChunkEnded, WorkerLost
from raddle._model import Chunk, Status
from raddle.backends._dask_connect import check_versions, spread
from raddle.backends._dask_link import RemoteClock
from raddle.backends._dask_slot import Results, Slot, Strikes
from raddle.backends.dask import DaskBackend
from raddle.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")

pytestmark = [pytest.mark.timeout(600), pytest.mark.slow]


def small_cluster(*, workers: int = 2, threads: int = 1) -> Any:
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with small_cluster(threads=2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


# What items do. By value to the workers: this module cannot be imported there.


def note(log: str, item: int, seconds: float) -> int:
    """Take a while, and write down when."""
    started = time.monotonic()
    time.sleep(seconds)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{item} {os.getpid()} {started} {time.monotonic()}\n".encode())
    os.close(fd)
    return item * 3


def kill_my_dask_worker(item: int) -> int:
    if item == 5:
        zygote = os.getppid()
        dask_worker = int(Path(f"/proc/{zygote}/stat").read_text().rpartition(")")[2].split()[1])
        if "multiprocessing" in Path(f"/proc/{dask_worker}/cmdline").read_text():  # and not its heir
            os.kill(dask_worker, signal.SIGKILL)
        time.sleep(60)
    time.sleep(0.01)
    return item


def read_log(path: Path) -> dict[int, list[tuple[float, float]]]:
    """Return when each item ran, and check that none ran twice at once."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for line in path.read_text().splitlines():
        item, _, start, end = line.split()
        spans.setdefault(int(item), []).append((float(start), float(end)))
    for item, runs in spans.items():
        runs.sort()
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(runs)), (item, runs)
    return spans


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --------------------------------------------------------------------------------------------------- whole runs


def test_a_dask_worker_killed_in_the_middle_loses_and_doubles_nothing(client: Any, tmp_path: Path) -> None:
    log, journal, count = tmp_path / "log", tmp_path / "runs.db", 2000
    pids = client.run(os.getpid)
    victim = min(pids.values())
    outcomes = []
    work = partial(note, str(log), seconds=0.002)
    with raddle.run(work, range(count), backend=client, journal=journal, name="kill") as run:
        for outcome in run:
            outcomes.append(outcome)
            if len(outcomes) == 500:
                os.kill(victim, signal.SIGKILL)
    assert [outcome.position for outcome in outcomes] == list(range(count))
    assert Counter(outcome.status for outcome in outcomes) == {Status.OK: count}
    assert [outcome.value for outcome in outcomes] == [item * 3 for item in range(count)]
    assert run.summary.workers_lost >= 1
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as conn:
        recorded = [row[0] for row in conn.execute("SELECT position FROM outcome ORDER BY position")]
    conn.close()
    assert recorded == list(range(count))
    again = sum(len(runs) - 1 for runs in read_log(log).values())
    print(f"killed 1 of 2 dask workers: {count} outcomes, 0 lost, 0 doubled, {again} items run again")


PROGRAM = """
import functools, os, sys, time
import raddle
from raddle.backends.dask import DaskBackend

SLOW = range(150, 154)  # in one chunk or in several: that is measured

def is_alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

def note(log, item):
    started, seconds = time.monotonic(), 0.02
    if item in SLOW:
        with open(f"{log}-{item}", "a+") as file:
            file.seek(0)
            before = file.read().split()
            assert not any(is_alive(pid) for pid in before), "two at the same time"
            file.write(f"{os.getpid()}\\n")
            file.flush()
            seconds = 0.02 if os.path.exists(f"{log}.mended") else 600
    time.sleep(seconds)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"{item} {os.getpid()} {started} {time.monotonic()}\\n".encode())
    os.close(fd)
    return item * 3

if __name__ == "__main__":
    work = functools.partial(note, sys.argv[3])
    with raddle.run(work, range(600), backend=sys.argv[1], journal=sys.argv[2], name="client", resume=True) as run:
        for outcome in run:
            assert outcome.value == outcome.item * 3, outcome
            print(outcome.position, outcome.resumed, flush=True)
"""


@pytest.mark.parametrize(
    "at_once", [False, pytest.param(True, marks=pytest.mark.chaos)], ids=["resumed later", "resumed at once"]
)
def test_a_killed_program_leaves_nothing_running_and_is_resumed(cluster: Any, tmp_path: Path, at_once: bool) -> None:
    log, journal, program = tmp_path / "log", tmp_path / "runs.db", tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), cluster.scheduler_address, str(journal), str(log)]
    acknowledged = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            acknowledged.append(int(line.split()[0]))
            if len(acknowledged) == 150:
                while not list(tmp_path.glob("log-*")):
                    time.sleep(0.01)
                first.kill()
    assert len(acknowledged) >= 150
    killed_at = time.monotonic()
    (tmp_path / "log.mended").touch()
    if not at_once:
        pids = {int(path.read_text()) for path in tmp_path.glob("log-*")}
        assert pids
        while any(map(is_alive, pids)):
            assert time.monotonic() - killed_at < 120, "worker processes outlive their program"
            time.sleep(0.05)
        print(f"the last worker process ended {time.monotonic() - killed_at:.1f} s after its program")
    second = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    told = [line.split() for line in second.stdout.splitlines()]
    assert [int(position) for position, _ in told] == list(range(600))
    resumed = {int(position) for position, was in told if was == "True"}
    assert set(acknowledged) <= resumed
    spans = read_log(log)
    assert sorted(spans) == list(range(600))
    again = sum(len(runs) - 1 for runs in spans.values())
    starts = [len(path.read_text().split()) for path in sorted(tmp_path.glob("log-*"))]
    assert len(starts) == 4
    assert max(starts) == 2, "a slow one was under way"
    print(f"{len(resumed)} resumed, {again} of 600 items run again, none twice at once")


def test_a_resumed_run_ends_what_a_killed_program_left_of_it(client: Any, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def hang(item: int) -> None:
        pid_file.with_suffix(".new").write_text(str(os.getpid()))
        pid_file.with_suffix(".new").rename(pid_file)
        time.sleep(600)

    def look(item: int) -> bool:
        return Path(f"/proc/{pid_file.read_text()}").exists()

    killed = DaskBackend(hang, client)
    resumed = DaskBackend(look, client)
    other = DaskBackend(look, client)
    try:
        killed.start(0, Chunk(1, [0], range(1), 1, run="the same"))
        while not pid_file.exists():
            time.sleep(0.01)
        other.start(0, Chunk(1, [0], range(1), 1, run="another"))
        assert [event.values for event in other.inbox.take(60)] == [[True]]
        resumed.start(0, Chunk(1, [0], range(1), 1, run="the same"))
        assert [event.values for event in resumed.inbox.take(60)] == [[False]]
        (lost,) = killed.inbox.take(60)
        assert (lost.chunks, lost.offset) == ((1,), None)
    finally:
        for backend in (killed, resumed, other):
            backend.close()


def test_timeouts_retries_keys_and_errors_are_as_everywhere(client: Any) -> None:
    def work(item: int) -> tuple[int, int]:
        attempt = raddle.attempt()
        if item == 3:
            time.sleep(600)
        if item == 4 and attempt.number < 3:
            raise OSError("not yet")
        if item == 6:
            os.abort()
        if item == 7:
            raise ValueError("never")
        return item, attempt.number

    backend = DaskBackend(work, client, timeout=3.0, direct=False)
    retry = raddle.Retry(attempts=3, on=(OSError,), wait_initial=0.01)
    with raddle.run(work, range(40), backend=backend, timeout=3.0, retry=retry, key=lambda item: item % 4) as run:
        outcomes = list(run)
    assert [outcome.position for outcome in outcomes] == list(range(40))
    unlike = {outcome.item: outcome for outcome in outcomes if outcome.status is not Status.OK}
    assert {item: outcome.status for item, outcome in unlike.items()} == {
        3: Status.TIMED_OUT,
        6: Status.CRASHED,
        7: Status.FAILED,
    }
    assert 3.0 <= unlike[3].seconds < 60
    assert "SIGABRT" in str(unlike[6].error)
    with pytest.raises(ValueError, match="never"):
        unlike[7].unwrap()
    assert outcomes[4].value == (4, 3)
    for key in range(4):
        starts = [outcome.started for outcome in outcomes if outcome.key == key]
        assert starts == sorted(starts)


def test_on_error_fail_stops_what_has_not_started(client: Any) -> None:
    def work(item: int) -> int:
        if item == 20:
            raise ValueError("enough")
        time.sleep(0.01)
        return item

    with raddle.run(work, range(2000), backend=DaskBackend(work, client), on_error="fail") as run:
        outcomes = list(run)
    assert len(outcomes) == 2000
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts[Status.FAILED] == 1
    assert counts[Status.CANCELLED] > 1500


def test_a_result_or_item_that_cannot_travel_costs_itself_alone(client: Any) -> None:
    items = [1, (thing for thing in ()), 3]
    with raddle.run(repr, items, backend=DaskBackend(_unlike, client)) as run:
        outcomes = list(run)
    assert [outcome.status for outcome in outcomes] == [Status.FAILED, Status.FAILED, Status.OK]
    assert "generator" in outcomes[0].error.message
    assert "shared storage" in outcomes[0].error.message
    assert "cannot be sent to a dask worker" in outcomes[1].error.message


def _unlike(item: int) -> object:
    return (number for number in range(item)) if item == 1 else item


def test_an_initializer_that_fails_ends_the_run_with_its_text(client: Any) -> None:
    def prepare() -> None:
        raise OSError("no model file")

    with (
        pytest.raises(BackendError, match="no model file"),
        raddle.run(repr, range(3), backend=DaskBackend(repr, client, initializer=prepare)) as run,
    ):
        list(run)


@pytest.mark.chaos
def test_slots_of_a_retired_worker_share_and_then_move(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with small_cluster() as cluster, distributed.Client(cluster, set_as_default=False) as client:
        backend = DaskBackend(lambda item: note(log, item, 0.02), client, hesitate=1.0)
        hosts: list[int] = []
        with raddle.run(repr, range(1000), backend=backend) as run:
            for outcome in run:
                assert outcome.ok, outcome
                hosts.append(len({slot.link.address for slot in backend._slots if slot.link}))
                if outcome.position == 100:
                    cluster.scale(1)
                if outcome.position == 400:
                    cluster.scale(2)
    assert len(hosts) == 1000
    assert hosts[0] == 2
    assert 1 in hosts
    assert hosts[-1] == 2
    assert sorted(read_log(Path(log))) == list(range(1000))


@pytest.mark.chaos
def test_an_item_that_kills_three_dask_workers_is_blamed_alone() -> None:
    with (
        small_cluster() as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        raddle.run(repr, range(30), backend=DaskBackend(kill_my_dask_worker, client)) as run,
    ):
        outcomes = list(run)
    assert {o.item: o.status for o in outcomes if not o.ok} == {5: Status.CRASHED}
    assert "for the 3. time" in str(outcomes[5].error)


# --------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"workers": -1}, r"workers=-1.*or 0 for all threads"),
        (
            {"cluster": "tcp://127.0.0.1:9", "patience": 0.3},
            r"no dask scheduler answered.*start one with `dask scheduler`",
        ),
        ({"cluster": 8786}, r"backend=8786: give the address"),
    ],
)
def test_refused_at_configuration(client: Any, options: dict[str, Any], hint: str) -> None:
    cluster = options.pop("cluster", client)
    with pytest.raises(ConfigError, match=hint):
        DaskBackend(repr, cluster, **options)


def test_a_coroutine_function_is_refused(client: Any) -> None:
    async def work(item: int) -> int:
        return item

    with pytest.raises(ConfigError, match=r'coroutine function.*backend="asyncio"'):
        DaskBackend(work, client)


UPLOADED = """
from contextvars import ContextVar

VARIABLE = ContextVar("VARIABLE", default="nothing")

def work(item):
    return item, VARIABLE.get()
"""


def test_a_module_must_be_there_or_be_uploaded_and_context_travels(client: Any, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text(UPLOADED)
    sys.path.insert(0, str(tmp_path))
    try:
        import only_here  # type: ignore[import-not-found]

        with pytest.raises(ConfigError, match=r"cannot import only_here.*upload_file"):
            DaskBackend(only_here.work, client)
        client.upload_file(str(tmp_path / "only_here.py"))

        def run() -> object:
            only_here.VARIABLE.set("something")
            with raddle.run(repr, [1], backend=DaskBackend(only_here.work, client)) as run:
                return next(iter(run)).value

        assert copy_context().run(run) == (1, "something")
    finally:
        sys.path.remove(str(tmp_path))


def test_a_cluster_without_workers_is_refused() -> None:
    with (
        small_cluster(workers=0) as empty,
        distributed.Client(empty, set_as_default=False) as client,
        pytest.raises(ConfigError, match=r"has no workers, and none came within 0\.2 s.*dask worker ADDRESS"),
    ):
        DaskBackend(repr, client, patience=0.2)


@pytest.mark.parametrize(
    ("python", "version", "what"),
    [
        ("3.12.1.final.0", "0.1.0", "Python 3.12, but here is 3.11"),
        ("3.11.9.final.0", None, r"raddle \(not installed\)"),
    ],
)
def test_other_versions_are_refused(python: str, version: str | None, what: str) -> None:
    ours = {"host": {"python": "3.11.7.final.0"}, "packages": {"raddle": "0.1.0", "cloudpickle": "3.1"}}
    theirs = {"host": {"python": python}, "packages": {"raddle": version, "cloudpickle": "3.1"}}
    with pytest.raises(ConfigError, match=f"dask worker tcp://w:1 has {what}.*install the same on both"):
        check_versions({"client": ours, "workers": {"tcp://w:1": theirs}})


# ------------------------------------------------------------------------------------------ parts, without a cluster


class Wire(SimpleNamespace):
    """A link that keeps its orders."""

    def __init__(self) -> None:
        super().__init__(clock=RemoteClock(), orders=[])

    def order(self, command: tuple[Any, ...], **_: object) -> None:
        self.orders.append(command)

    def sent(self) -> list[tuple[Any, ...]]:
        found = [(order[0], *order[2:3]) for order in self.orders]
        self.orders.clear()
        return found


@pytest.fixture
def slot() -> Slot:
    told: deque[Any] = deque()
    made = Slot(4, told.append, Strikes(3), stored=False)
    made.link = Wire()  # type: ignore[assignment]
    return made


def told(slot: Slot) -> list[Any]:
    events: deque[Any] = slot.emit.__self__  # type: ignore[attr-defined]
    found = [event.opened() if hasattr(event, "opened") else event for event in events]
    events.clear()
    return found


def start(slot: Slot, number: int, positions: range, run: str = "") -> None:
    slot.start(Chunk(number, list(positions), positions, 1, run=run), [b"item"] * len(positions))


def test_a_crash_and_a_kill_at_once_are_one_answer(slot: Slot) -> None:
    start(slot, 1, range(3))
    start(slot, 2, range(3, 6))
    slot.kill()
    assert slot.link is not None
    assert slot.link.sent() == [("start", 1), ("start", 2), ("kill",)]  # type: ignore[attr-defined]
    slot.lost(slot.link, ((1,), (1, [1.0], [], {}), 0, "exit code 3", 1.0, False))
    assert told(slot) == []
    slot.lost(slot.link, ((2,), (2, [2.0], [], {}), 0, "killed by SIGKILL", 2.0, True))
    (event,) = told(slot)
    assert isinstance(event, WorkerLost)
    assert (event.chunks, event.offset, event.reason, event.started) == ((1, 2), 0, "exit code 3", 1.0)
    assert not slot.held


def test_a_kill_that_comes_too_late_names_what_had_not_started(slot: Slot) -> None:
    slot.link, wire = None, slot.link
    start(slot, 1, range(3))
    slot.kill()
    assert [event.chunks for event in told(slot)] == [(1,)]
    slot.kill()
    assert [event.chunks for event in told(slot)] == [()]
    slot.link = wire


def test_close_answers_in_order_what_was_not_sent(slot: Slot) -> None:
    wire, slot.link = slot.link, None
    start(slot, 1, range(3))
    start(slot, 2, range(3, 6))
    slot.close()
    assert [(event.chunk, event.values) for event in told(slot)] == [(1, []), (2, [])]
    slot.link = wire


def test_a_lost_dask_worker_blames_nobody_at_first_and_at_last_one(slot: Slot) -> None:
    wire = slot.link
    assert wire is not None
    start(slot, 1, range(3))
    start(slot, 2, range(3, 6))
    slot.cut_off("gone", died=True)
    (event,) = told(slot)
    assert (event.chunks, event.ended, event.offset) == ((1, 2), None, None)
    slot.link = wire
    start(slot, 3, range(6))
    slot.ended(wire, (3, [1.0, 2.0], [b"\x80\x05N."], {}))  # item 0 ended this time, the rest is given back
    assert [event.values for event in told(slot)] == [[None]]
    start(slot, 4, range(1, 6))
    slot.cut_off("gone", died=True)
    assert [event.offset for event in told(slot)] == [None]
    slot.link = wire
    wire.sent()  # type: ignore[attr-defined]
    start(slot, 5, range(1, 3))
    start(slot, 6, range(10, 12))
    # Now it is alone: one item of chunk 5, and nothing behind it.
    assert [(order[0], order[2], order[3]) for order in wire.orders] == [("start", 5, [b"item"])]  # type: ignore[attr-defined]
    slot.cut_off("gone", died=True)
    (event,) = told(slot)
    assert (event.chunks, event.offset) == ((5,), 0)
    assert "for the 3. time" in event.reason
    assert [parcel.chunk.number for parcel in slot.held] == [6]


def test_a_session_that_ended_for_want_of_news_is_no_strike(slot: Slot) -> None:
    wire = slot.link
    for number in range(5):
        slot.link = wire
        start(slot, number, range(1))
        slot.cut_off("no news", died=False)
        assert [event.offset for event in told(slot)] == [None]


def test_results_open_one_by_one() -> None:
    ended = Results(1, 7, [0.0, 1.0, 2.0], [b"\x80\x05K\x07.", b"\x80\x05nonsense"], {}, stored=True).opened()
    assert isinstance(ended, ChunkEnded)
    assert ended.values == [7, None]
    assert ended.stored == [b"\x80\x05K\x07.", b""]
    assert "cannot be unpickled" in ended.errors[1].message


def test_remote_clock_stays_until_it_is_contradicted() -> None:
    clock = RemoteClock()
    clock.learn(sent=100.0, there=100.2, received=100.5)
    assert clock.here(100.3) == 100.3
    clock.learn(sent=200.0, there=50.0, received=200.4)
    assert clock.here(50.0) == 200.0
    clock.learn(sent=300.0, there=149.9, received=300.4)
    assert clock.here(149.9) == pytest.approx(300.0)
    assert clock.here(0.0) == 0.0


@pytest.mark.parametrize(
    ("threads", "wanted", "taken", "shares"),
    [
        ({"a": 2, "b": 2}, 4, None, {"a": 2, "b": 2}),
        ({"a": 1, "b": 3}, 4, None, {"a": 1, "b": 3}),
        ({"a": 4, "b": 4}, 3, None, {"a": 2, "b": 1}),
        ({"a": 2, "b": 2}, 2, {"a": 2}, {"b": 2}),
        ({"a": 1}, 0, None, {}),
        ({}, 0, None, {}),
    ],
)
def test_slots_are_spread_by_threads(
    threads: dict[str, int], wanted: int, taken: dict[str, int] | None, shares: dict[str, int]
) -> None:
    assert spread(threads, wanted, taken) == shares
