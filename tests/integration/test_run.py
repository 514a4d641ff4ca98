"""`raddle.run` with real threads, real processes and a real journal."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle.journal.history import History

if TYPE_CHECKING:
    from collections.abc import Iterator

PARALLEL = ["threads", "processes"]
ALL = ["serial", *PARALLEL]


def square(x: int) -> int:
    return x * x


def hangs_at_some(x: int) -> int:
    if x in (5, 50, 150):
        time.sleep(3600)
    return x


def dies_at_some(x: int) -> int:
    if x in (5, 50, 150):
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


@pytest.mark.parametrize("backend", ALL)
def test_values_come_in_input_order(backend: Any) -> None:
    with raddle.run(square, range(3000), backend=backend, workers=2) as run:
        assert list(run.values()) == [n * n for n in range(3000)]
    assert run.summary.all_ok
    assert run.summary.backend == backend


@pytest.mark.parametrize("backend", ALL)
def test_an_error_costs_its_item_and_is_raised_as_it_was(backend: Any) -> None:
    with raddle.run(odd_fails, range(100), backend=backend, workers=2) as run:
        outcomes = list(run)
    assert Counter(outcome.status for outcome in outcomes) == {raddle.Status.OK: 50, raddle.Status.FAILED: 50}
    bad = outcomes[1]
    assert bad.error is not None
    assert (bad.error.type, bad.error.message) == ("ValueError", "odd: 1")
    assert "odd_fails" in bad.error.traceback
    with pytest.raises(ValueError, match="odd: 1") as caught:
        bad.unwrap()
    assert any("item 1 (1)" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("backend", PARALLEL)
def test_a_timeout_really_fires(backend: Any) -> None:
    began = time.monotonic()
    with raddle.run(hangs_at_some, range(200), backend=backend, workers=2, timeout=1) as run:
        late = [outcome.item for outcome in run if outcome.status is raddle.Status.TIMED_OUT]
    assert late == [5, 50, 150]
    assert run.summary.ok == 197
    assert time.monotonic() - began < 30


def test_a_dead_worker_costs_one_item() -> None:
    with raddle.run(dies_at_some, range(200), backend="processes", workers=2) as run:
        dead = [(outcome.item, str(outcome.error)) for outcome in run if outcome.status is raddle.Status.CRASHED]
    assert [item for item, _ in dead] == [5, 50, 150]
    assert all("SIGKILL" in text for _, text in dead)
    assert run.summary.ok == 197


def test_a_poison_item_ends_after_its_tries() -> None:
    with raddle.run(dies_at_some, [4, 5, 6], backend="processes", workers=2, retry=raddle.Retry(wait_max=0)) as run:
        outcomes = list(run)
    assert [outcome.attempts for outcome in outcomes] == [1, 3, 1]
    assert outcomes[1].status is raddle.Status.CRASHED


def test_serial_refuses_a_timeout_that_it_cannot_keep() -> None:
    with pytest.raises(raddle.ConfigError, match=r"timeout=1.*threads.*processes"):
        raddle.run(square, [1], backend="serial", timeout=1)


@pytest.mark.parametrize("backend", PARALLEL)
def test_lambdas_and_closures_run(backend: Any) -> None:
    by = 7
    with raddle.run(lambda x: x * by, range(20), backend=backend, workers=2) as run:
        assert list(run.values()) == [n * 7 for n in range(20)]


@pytest.mark.parametrize("backend", PARALLEL)
def test_keys_keep_their_order(backend: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"

    def note(item: tuple[int, int]) -> None:
        with log.open("a") as file:
            file.write(f"{item[1]} {item[0]}\n")

    with raddle.run(note, [(n, n % 3) for n in range(60)], backend=backend, workers=3, key=lambda i: i[1]) as run:
        list(run)
    for key in range(3):
        seen = [int(line.split()[1]) for line in log.read_text().splitlines() if line.split()[0] == str(key)]
        assert seen == sorted(seen)
    assert run.summary.ok == 60


@pytest.mark.parametrize("backend", PARALLEL)
def test_fail_starts_nothing_more(backend: Any) -> None:
    with raddle.run(odd_fails, range(100_000), backend=backend, workers=2, on_error="fail") as run:
        outcomes = list(run)
    assert len(outcomes) == 100_000
    assert run.summary.cancelled > 90_000
    assert run.summary.ok + run.summary.failed + run.summary.cancelled == 100_000
    assert "on_error='fail'" in run.summary.stopped


@pytest.mark.parametrize("backend", ALL)
def test_a_lazy_source_is_not_read_ahead(backend: Any) -> None:
    pulled = 0

    def source() -> Iterator[int]:
        nonlocal pulled
        for n in range(1_000_000):
            pulled += 1
            yield n

    with raddle.run(square, source(), backend=backend, workers=2, window=50) as run:
        for outcome in run:
            assert pulled <= outcome.position + 51
            if outcome.position == 500:
                break
    assert pulled < 700
    assert not run.summary.source_ended


@pytest.mark.parametrize("backend", ALL)
def test_the_source_is_closed_when_the_run_ends_early(backend: Any) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    with raddle.run(square, source(), backend=backend, workers=2) as run:
        next(iter(run))
    assert closed.wait(60)


def test_a_blocking_source_holds_up_nothing() -> None:
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield from range(100)
        gate.wait(60)
        yield 100

    with raddle.run(square, source(), backend="threads", workers=2) as run:
        seen = 0
        for outcome in run:
            seen += 1
            if outcome.position == 99:
                gate.set()
    assert seen == 101


def test_iteration_can_be_taken_up_again() -> None:
    with raddle.run(square, range(100), backend="threads", workers=2) as run:
        first = [outcome.item for outcome, _ in zip(run, range(10), strict=False)]
        rest = [outcome.item for outcome in run]
    # zip takes one more outcome than it gives out
    assert [*first, *rest] == [n for n in range(100) if n != 10]


def test_cancel_drains_and_reports_the_rest() -> None:
    with raddle.run(square, range(200_000), backend="threads", workers=2) as run:
        seen = Counter()
        for outcome in run:
            seen[outcome.status] += 1
            if outcome.position == 1000:
                run.cancel("seen enough")
    assert sum(seen.values()) == 200_000
    assert seen[raddle.Status.CANCELLED] > 0
    assert run.summary.stopped == "seen enough"


def test_kill_ends_what_hangs() -> None:
    with raddle.run(lambda _: time.sleep(3600), range(4), backend="processes", workers=2) as run:
        threading.Timer(0.3, run.kill).start()
        assert [outcome.status for outcome in run] == [raddle.Status.CANCELLED] * 4


def test_a_dropped_run_ends_its_workers(tmp_path: Path) -> None:
    mark = tmp_path / "pid"

    def hang(_: int) -> None:
        mark.write_text(str(os.getpid()))
        time.sleep(3600)

    run = raddle.run(hang, [1], backend="processes", workers=1)
    _wait_for(mark.exists)
    _wait_for(lambda: mark.read_text() != "")
    del run
    gc.collect()
    _wait_for(lambda: not _alive(int(mark.read_text())))


def tell(_: int) -> tuple[int, str, bool, bool]:
    attempt = raddle.attempt()
    if attempt.number == 1:
        raise ValueError("again")
    return attempt.number, attempt.idempotency_key, 0 < attempt.remaining() <= 9, attempt.cancelled


@pytest.mark.parametrize("backend", PARALLEL)
def test_the_function_knows_its_attempt(backend: Any) -> None:
    retry = raddle.Retry(wait_max=0)
    with raddle.run(tell, range(3), backend=backend, workers=2, timeout=9, retry=retry) as run:
        values = list(run.values())
    assert [value[0] for value in values] == [2, 2, 2]
    assert len({value[1] for value in values}) == 3
    assert all(value[2] and not value[3] for value in values)


def test_outside_of_a_run_there_is_no_attempt() -> None:
    with pytest.raises(LookupError, match="functions that raddle runs"):
        raddle.attempt()


# ----------------------------------------------------------------------------------------------------- the journal


@pytest.mark.parametrize("backend", ALL)
def test_a_second_session_does_only_what_is_missing(backend: Any, tmp_path: Path) -> None:
    journal, log = tmp_path / "runs.db", tmp_path / "log"

    def work(x: int) -> int:
        with log.open("a") as file:
            file.write(f"{x}\n")
        return x * x

    with raddle.run(work, range(30), backend=backend, workers=2, journal=journal, name="squares") as run:
        assert [outcome.value for outcome in run] == [n * n for n in range(30)]
    items = [*range(20, 40), 3, *range(5)]
    with raddle.run(work, items, backend=backend, workers=2, journal=journal, name="squares", resume=True) as run:
        outcomes = list(run)
    assert [outcome.value for outcome in outcomes] == [x * x for x in items]
    assert Counter(log.read_text().split()) == Counter(str(x) for x in [*range(40), 3])
    assert run.summary.resumed == 15
    (row,) = History(journal).runs()
    assert row.name == "squares"


def test_equal_items_are_told_apart_by_counting(tmp_path: Path) -> None:
    journal = tmp_path / "runs.db"
    for items, resumed in [([7] * 5, 0), ([7] * 8, 5), ([7] * 3, 3)]:
        with raddle.run(square, items, backend="threads", journal=journal, name="sevens", resume=True) as run:
            assert list(run.values()) == [49] * len(items)
        assert run.summary.resumed == resumed


def test_an_id_names_one_item(tmp_path: Path) -> None:
    with pytest.raises(raddle.ConfigError, match="id='a': given to items 0 and 2"):
        raddle.run(len, ["a", "b", "a"], id=str, journal=tmp_path / "runs.db")
    lazy = (word for word in ["a", "b", "a"])
    with (
        pytest.raises(raddle.ConfigError, match="two items"),
        raddle.run(len, lazy, id=str, backend="serial", journal=tmp_path / "runs.db") as run,
    ):
        list(run)


class Announced:
    """Knows its length, and can be read once."""

    def __init__(self, items: list[int]) -> None:
        self.items = iter(items)
        self.length = len(items)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return self.items


def test_items_that_know_their_length_are_read_once(tmp_path: Path) -> None:
    with raddle.run(square, Announced([1, 2, 3]), id=str, backend="serial", journal=tmp_path / "runs.db") as run:
        assert list(run.values()) == [1, 4, 9]


def test_another_function_under_the_same_name_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "runs.db"
    with raddle.run(square, range(3), backend="serial", journal=journal, name="x") as run:
        list(run)
    with pytest.raises(raddle.JournalError, match="another name"):
        raddle.run(odd_fails, range(3), backend="serial", journal=journal, name="x", resume=True)


def test_a_journal_has_one_owner(tmp_path: Path) -> None:
    journal = tmp_path / "runs.db"
    with (
        raddle.run(square, range(3), backend="serial", journal=journal),
        pytest.raises(raddle.JournalLocked, match=f"pid {os.getpid()}"),
    ):
        raddle.run(square, range(3), backend="serial", journal=journal)


def says_its_key_and_fails_at_first(marks: Path) -> str:
    """Write the key of each try down; only the first try ever fails."""
    tries = marks.read_text().split() if marks.exists() else []
    key = raddle.attempt().idempotency_key
    marks.write_text(" ".join([*tries, key]))
    if not tries:
        raise ValueError("not yet")
    return key


def test_an_idempotency_key_outlives_a_session(tmp_path: Path) -> None:
    journal, marks = tmp_path / "runs.db", tmp_path / "marks"
    func = says_its_key_and_fails_at_first
    with raddle.run(func, [marks], backend="threads", journal=journal, name="a") as run:
        assert [outcome.status.value for outcome in run] == ["failed"]
    with raddle.run(func, [marks], backend="processes", journal=journal, name="a", resume="failed") as run:
        (second,) = run.values()
    with raddle.run(func, [marks], backend="threads", journal=journal, name="a") as run:
        (third,) = run.values()
    first = marks.read_text().split()[0]
    assert first == second != third
    assert marks.read_text().split() == [first, second, third]


KILLED = """
import sys, raddle
from pathlib import Path
log = Path(sys.argv[2])
def work(x):
    with log.open("a") as file:
        file.write(f"{x}\\n")
    total = 0
    for n in range(20_000):
        total += n
    return x * x
with raddle.run(work, range(400), backend=sys.argv[3], workers=2, journal=sys.argv[1], name="k", resume=True) as run:
    values = list(run.values())
assert values == [x * x for x in range(400)]
print("done", run.summary.resumed)
"""


@pytest.mark.parametrize("backend", PARALLEL)
def test_kill_9_of_the_program_loses_and_doubles_nothing(backend: str, tmp_path: Path) -> None:
    script, journal, log = tmp_path / "script.py", tmp_path / "runs.db", tmp_path / "log"
    script.write_text(KILLED)
    argv = [sys.executable, str(script), str(journal), str(log), backend]
    kills = int(os.environ.get("RADDLE_KILLS", "6"))
    for number in range(kills):
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            goal = 400 * (number + 1) // (kills + 2)
            _wait_for(lambda goal=goal, process=process: _lines(log) >= goal or process.poll() is not None)
            process.kill()
            process.wait(60)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    runs = Counter(log.read_text().split())
    assert set(runs) == {str(x) for x in range(400)}
    # Only what was under way may run again: a chunk's unstarted items never ran, its finished ones are recorded
    # unless the program died before their commit.
    db = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
    try:
        assert db.execute("SELECT count(*), count(DISTINCT item_id) FROM outcome").fetchone() == (400, 400)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        db.close()


INTERRUPTED = """
import sys, time, raddle
def work(x):
    time.sleep(0.02)
    return x
print("ready", flush=True)
try:
    with raddle.run(work, range(100_000), backend=sys.argv[1], workers=2, journal=sys.argv[2], name="i") as run:
        for outcome in run:
            print(outcome.position, flush=True)
except KeyboardInterrupt:
    print("interrupted", run.summary.ok, flush=True)
"""


@pytest.mark.parametrize("backend", ALL)
def test_ctrl_c_ends_the_run_and_keeps_what_is_done(backend: str, tmp_path: Path) -> None:
    journal = tmp_path / "runs.db"
    argv = [sys.executable, "-c", INTERRUPTED, backend, str(journal)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "5":
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 0
    assert "interrupted" in rest
    (row,) = History(journal).runs()
    assert sum(History(journal).counts(row.id).values()) >= 6


LONG = """
import sys, time, raddle
def work(x):
    print("started", flush=True)
    time.sleep(3600)
with raddle.run(work, range(4), backend=sys.argv[1], workers=2, grace=3000) as run:
    list(run)
"""


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_ctrl_c_does_not_wait_for_long_items(backend: str) -> None:
    argv = [sys.executable, "-c", LONG, backend]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("started")  # two workers share the stream
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) != 0  # and not after `grace`
        finally:
            process.kill()


def test_a_program_that_ends_in_the_middle_of_a_run_ends() -> None:
    script = (
        "import time, raddle; run = raddle.run(lambda _: time.sleep(3600), [1, 2], backend='threads'); print('end')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_an_abandoned_thread_does_not_block_the_exit() -> None:
    script = (
        "import time, raddle\n"
        "with raddle.run(lambda _: time.sleep(3600), [1, 2], backend='threads', timeout=0.1) as run:\n"
        "    print(*[outcome.status for outcome in run])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "timed_out timed_out\n"), done.stderr


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: Any, seconds: float = 60) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        pause.wait(0.01)
