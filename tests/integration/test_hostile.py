"""What the caller's code may do that nobody expects: it costs its own item, or nothing."""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle import _events as events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BACKENDS = ["serial", "threads", "processes", "asyncio"]


def run(func: Callable[[Any], Any], items: Any, *, backend: Any, **options: Any) -> raddle.Run:
    """Run on one worker, and as a coroutine where that is asked for."""
    if backend != "asyncio":
        return raddle.run(func, items, backend=backend, workers=1, **options)

    async def coroutine(item: Any) -> Any:
        await asyncio.sleep(0)
        return func(item)

    return raddle.run(coroutine, items, workers=1, **options)


# ----------------------------------------------------------------------------------------------------- exceptions


class StrExits(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class Text(str):
    __slots__ = ()

    def __reduce__(self) -> Any:
        raise ValueError("reduce")


class StrIsSpecial(Exception):
    def __str__(self) -> str:
        return Text("special")


class NotesAreANumber(Exception):
    __notes__ = 5


class Busy(raddle.Rejected):
    def __init__(self, seconds: Any = None) -> None:  # not the base's
        if seconds is not None:
            self.retry_after = seconds


def str_exits(item: int) -> int:
    if item == 2:
        raise StrExits
    return item


def str_is_special(item: int) -> int:
    if item == 2:
        raise StrIsSpecial
    return item


def notes_are_a_number(item: int) -> int:
    if item == 2:
        raise NotesAreANumber("n")
    return item


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("func", "kind", "message"),
    [
        (str_exits, StrExits, "<unprintable StrExits: SystemExit>"),
        (str_is_special, StrIsSpecial, "special"),
        (notes_are_a_number, NotesAreANumber, "n"),
    ],
)
def test_an_exception_that_misbehaves_is_its_items_failure(backend: str, func: Any, kind: Any, message: str) -> None:
    outcomes = list(run(func, range(5), backend=backend))
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "failed", "ok", "ok"]
    assert outcomes[2].error is not None
    assert outcomes[2].error.message == message
    with pytest.raises(kind):
        outcomes[2].unwrap()


SEEN: set[int] = set()


def busy_at_first(item: int) -> int:
    if item not in SEEN:
        SEEN.add(item)
        raise [Busy(), Busy("0.01"), Busy("Wed, 21 Oct 2015 07:28:00 GMT"), Busy([]), raddle.Rejected()][item]
    return item


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_rejection_may_say_anything_of_when_to_come_back(backend: str) -> None:
    SEEN.clear()
    with run(busy_at_first, range(5), backend=backend) as this:
        assert list(this.values()) == [0, 1, 2, 3, 4]
    assert this.summary.rejected == 5


@pytest.mark.parametrize("unwrap", [False, True])
@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio"])
def test_an_exception_that_is_raised_again_and_again_does_not_grow(backend: str, unwrap: bool) -> None:
    one = ValueError("one and the same")

    def raise_it(item: int) -> None:
        raise one

    sizes: list[int] = []
    with run(raise_it, range(200), backend=backend, window=1) as this:
        for outcome in this:
            assert outcome.error is not None
            sizes.append(len(outcome.error.traceback))
            if unwrap:
                with pytest.raises(ValueError, match="one and the same"):
                    outcome.unwrap()
    assert len(set(sizes[50:])) == 1
    assert sizes[-1] < 10_000
    frames, trace = 0, one.__traceback__
    while trace is not None:
        frames, trace = frames + 1, trace.tb_next
    assert frames < 40
    assert len(getattr(one, "__notes__", ())) <= 16


def inner(item: int) -> None:
    raise LookupError(f"inner {item}")


def outer(item: int) -> list[Any]:
    return list(raddle.run(inner, [item], backend="serial").values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_error_of_a_run_within_a_run_is_told_whole(backend: str) -> None:
    (outcome,) = run(outer, [7], backend=backend)
    assert outcome.error is not None
    for word in ("in outer", "in inner", "LookupError: inner 7", "item 0 (7)"):
        assert word in outcome.error.traceback
    with pytest.raises(LookupError) as caught:
        outcome.unwrap()
    told = "".join(traceback.format_exception(caught.value))
    for word in ("in outer", "in inner", "LookupError: inner 7", "item 0 (7)"):
        assert word in told


class Unprintable:
    def __repr__(self) -> str:
        raise LookupError("repr")


def test_an_item_that_cannot_be_printed_does_not_hide_what_ended_it() -> None:
    (outcome,) = raddle.run(int, [Unprintable()], backend="serial")
    for _ in range(2):
        with pytest.raises(TypeError, match="must be a string") as caught:
            outcome.unwrap()
        where = [note for note in caught.value.__notes__ if "Unprintable whose repr raised LookupError" in note]
        assert len(where) == 1, "unwrapped again, it says so once"


# -------------------------------------------------------------------------------------------------------- results


class Stop(BaseException):
    pass


def stop(pid: int) -> None:
    if os.getpid() == pid:
        raise Stop
    raise KeyboardInterrupt


class StopsWhoeverLoadsIt:
    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __reduce__(self) -> Any:
        return stop, (self.pid,)


def answer(item: int) -> Any:
    return StopsWhoeverLoadsIt(item) if item else item


def test_a_result_that_stops_whoever_loads_it_is_its_items_failure() -> None:
    outcomes = list(raddle.run(answer, [0, os.getpid(), -1, 0], backend="processes", workers=1))
    assert [outcome.status for outcome in outcomes] == ["ok", "failed", "failed", "ok"]
    assert [outcome.error.type.rpartition(".")[2] for outcome in outcomes if outcome.error] == [
        "Stop",
        "KeyboardInterrupt",
    ]
    assert all("cannot be unpickled" in str(outcome.error) for outcome in outcomes[1:3])


# ---------------------------------------------------------------------------------------------------------- forks

FORKS = """
import asyncio, os, sys, raddle

def func(item):
    with open("calls", "a") as file:
        file.write(f"{item}\\n")
    if item % 4 == 1 and not os.fork():
        if item == 1:
            sys.exit(3)
        if item == 5:
            sys.exit()
        if item == 9:
            sys.exit("with a text")
        raise LookupError("of the child")
    return os.waitstatus_to_exitcode(os.wait()[1]) if item % 4 == 1 else None

async def coroutine(item):
    return func(item)

if __name__ == "__main__":
    backend = sys.argv[1]
    with raddle.run(coroutine if backend == "asyncio" else func, range(20), backend=backend, workers=1) as run:
        print([value for value in run.values() if value is not None])
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_process_that_the_function_forks_and_leaves_to_itself_runs_no_items(backend: str, tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(FORKS)
    words = [sys.executable, "-W", "ignore", "forks.py", backend]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[3, 0, 1, 1, 1]\n"), done.stderr
    assert sorted(map(int, (tmp_path / "calls").read_text().split())) == list(range(20))
    assert "with a text" in done.stderr
    assert "LookupError: of the child" in done.stderr


# -------------------------------------------------------------------------------------------------------- threads


def test_a_thread_that_is_ended_from_outside_ends_the_run() -> None:
    idents: list[int] = []

    def note(item: int) -> None:
        idents.append(threading.get_ident())

    asked = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        assert asked.wait(60)  # the outcome is out, so the error finds the thread in raddle's own code
        set_error = ctypes.pythonapi.PyThreadState_SetAsyncExc
        set_error(ctypes.c_ulong(idents[-1]), ctypes.py_object(LookupError))
        yield 2

    with raddle.run(note, source(), backend="threads", workers=1) as this:
        outcomes = iter(this)
        assert next(outcomes).ok
        asked.set()
        with pytest.raises(raddle.BackendError, match="raddle-thread-0 was ended by LookupError between two items"):
            list(outcomes)


FEW_THREADS = """
import os, resource, sys, threading
import raddle, raddle.backends.processes, raddle.backends.threads, raddle._engine.arun, asyncio

def start(backend, asynchronous):
    if not asynchronous:
        return raddle.run(abs, [1], backend=backend, workers=2, memory=None)
    async def main():
        return raddle.arun(abs, [1], backend=backend, workers=2, memory=None)
    return asyncio.run(main())

size = 1 << 30
threading.stack_size(size)
with open("/proc/self/status") as status:
    used = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
files = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_AS, (used + 3 * size // 2,) * 2)  # room for one thread: the source's
try:
    start(sys.argv[1], len(sys.argv) > 2)
except RuntimeError as error:
    print(error)
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(10)
print(len(os.listdir("/proc/self/fd")) - files, [thread.name for thread in threading.enumerate()])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize("more", [[], ["async"]])
@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_without_a_thread_to_drive_it_nothing_of_a_run_is_left(backend: str, more: list[str]) -> None:
    words = [sys.executable, "-c", FEW_THREADS, backend, *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "can't start new thread\n0 ['MainThread']\n"), done.stderr


FEW_FILES = """
import os, resource, sys, time
import raddle, raddle.backends.processes

def nap(item):
    time.sleep(0.01)

if __name__ == "__main__":
    before = os.listdir("/proc/self/fd")
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]),) * 2)
    try:
        with raddle.run(nap, range(200), backend="processes", workers=80, memory=None) as run:
            list(run)
    except raddle.BackendError as error:
        print(error)
    assert os.listdir("/proc/self/fd") == before
    try:
        print(os.waitpid(-1, os.WNOHANG))
    except ChildProcessError:
        print("no child left")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize(("most", "what"), [(40, "workers=80: no memory to share"), (110, "no socket for worker")])
def test_too_few_descriptors_are_the_backends_failure(most: int, what: str) -> None:
    words = [sys.executable, "-c", FEW_FILES, f"{most}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    said, end = done.stdout.splitlines()
    assert (done.returncode, end) == (0, "no child left"), done.stderr
    assert said.startswith(what)
    assert said.endswith("Too many open files; lower workers=, or raise the limit (ulimit -n)")


# ----------------------------------------------------------------------------------------------- lost and not lost


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


def test_a_run_that_is_killed_may_abandon_any_number_of_threads(gate: threading.Event) -> None:
    begun = threading.Semaphore(0)

    def wait(item: int) -> None:
        begun.release()
        gate.wait(60)

    with raddle.run(wait, range(200), backend="threads", workers=80) as this:
        for _ in range(80):
            begun.acquire()
        this.kill()
        assert {outcome.status for outcome in this} == {"cancelled"}
    assert (this.summary.cancelled, this.summary.workers_lost) == (200, 80)


@pytest.mark.parametrize("how", ["timeout", "kill"])
def test_a_coroutine_that_is_cancelled_is_no_lost_worker(how: str) -> None:
    seen: list[Any] = []
    begun = threading.Semaphore(0)

    async def wait(item: int) -> None:
        begun.release()
        await asyncio.sleep(60)

    with raddle.run(wait, range(9), workers=3, timeout=0.1 if how == "timeout" else None, progress=seen.append) as this:
        if how == "kill":
            for _ in range(3):
                begun.acquire()
            this.kill()
        statuses = {outcome.status for outcome in this}
    assert statuses == {"timed_out" if how == "timeout" else "cancelled"}
    assert this.summary.workers_lost == 0
    assert this.snapshot().workers_lost == 0
    assert not [event for event in seen if isinstance(event, events.WorkerReplaced)]


# --------------------------------------------------------------------------------------------------- what is given


class NoNumber:
    """As a progress bar over a generator: `len` is there and has no answer."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    def __len__(self) -> int:
        return None  # type: ignore[return-value]  # noqa: PLE0303 - it is about this


def double(item: int) -> int:
    return 2 * item


def test_a_length_that_has_no_answer_is_none() -> None:
    with raddle.run(double, NoNumber(), backend="serial") as this:
        assert list(this.values()) == [0, 2, 4]
        assert this.summary.all_ok


@pytest.mark.parametrize("seconds", [3e6, 1e12])
def test_weeks_are_no_trouble(seconds: float) -> None:
    limits: dict[str, Any] = {"timeout": seconds, "grace": seconds, "memory": None}
    with raddle.run(double, range(3), backend="processes", workers=1, **limits) as this:
        assert list(this.values()) == [0, 2, 4]
    assert raddle.run_process(["true"], timeout=seconds, stall_timeout=seconds).returncode == 0


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_an_observer_that_wants_to_exit_is_left_out(backend: Any, caplog: pytest.LogCaptureFixture) -> None:
    def exits(event: Any) -> None:
        raise SystemExit(3)

    with raddle.run(double, range(3), backend=backend, progress=exits) as this:
        assert list(this.values()) == [0, 2, 4]
    assert sum("is not called again" in record.message for record in caplog.records) == 1
