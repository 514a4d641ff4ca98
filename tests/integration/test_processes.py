"""Real worker processes: what dies costs one item, what is killed leaves nothing behind, what cannot travel is said."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import pickle
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from raddle import _host
from raddle._attempt import attempt
from raddle._events import ChunkEnded, Event, RunFailed, WorkerLost
from raddle._model import Chunk, ErrorInfo
from raddle.backends.processes import ProcessBackend
from raddle.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0
SOURCE = Path(__file__).resolve().parents[2] / "src"


# ------------------------------------------------------------------------------------------------------------ means


def single_threaded() -> bool:
    """Whether this process can be forked; other tests may leave threads, and polars and its like bring their own."""
    return len(list(Path("/proc/self/task").iterdir())) == 1


@pytest.fixture(params=["fork", "fresh"])
def mode(request: pytest.FixtureRequest) -> str:
    if request.param == "fork" and not single_threaded():
        pytest.skip("another test left a thread, as it may: test_forking_in_a_clean_process runs this")
    return str(request.param)


@pytest.fixture
def make(mode: str) -> Iterator[Callable[..., ProcessBackend]]:
    made: list[ProcessBackend] = []

    def factory(func: Callable[[Any], Any], **options: Any) -> ProcessBackend:
        made.append(ProcessBackend(func, **({"workers": 2, "start": mode} | options)))
        return made[-1]

    yield factory
    zygotes = [backend._zygote.pid for backend in made]
    for backend in made:
        backend.close()
        backend.close()
    assert not [child for child in psutil.Process().children() if child.pid in zygotes]


def answers(backend: ProcessBackend, count: int = 1) -> list[Any]:
    found: list[Event] = []
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} answers: {found}"
        found += backend.inbox.take(0.1)
    return found


def chunk(number: int, items: list[Any], **options: Any) -> Chunk:
    return Chunk(number, items, range(number * 10_000, number * 10_000 + len(items)), 1, **options)


def run_chunk(backend: ProcessBackend, items: list[Any], number: int = 0, **options: Any) -> Any:
    backend.start(0, chunk(number, items, **options))
    (event,) = answers(backend)
    return event


class Feed:
    """Runs all items as the engine would, without retries."""

    def __init__(self, backend: ProcessBackend, items: list[Any], size: int) -> None:
        self.backend = backend
        self.size = size
        self.todo = list(enumerate(items))
        self.held: dict[int, list[tuple[int, Any]]] = {}
        self.owner: dict[int, int] = {}
        self.ended: dict[int, Any] = {}
        self.number = 0

    def hand_out(self, worker: int) -> None:
        while self.todo and sum(self.owner[number] == worker for number in self.held) < 2:
            self.owner[self.number] = worker
            lot = self.held[self.number] = self.todo[: self.size]
            del self.todo[: self.size]
            self.backend.start(worker, Chunk(self.number, [i for _, i in lot], [p for p, _ in lot], 1))
            self.number += 1

    def settle(self, event: ChunkEnded) -> list[tuple[int, Any]]:
        lot = self.held.pop(event.chunk)
        assert len(event.clock) == len(event.values) + 1
        assert event.clock == sorted(event.clock)
        for offset, value in enumerate(event.values):
            assert lot[offset][0] not in self.ended
            self.ended[lot[offset][0]] = event.errors.get(offset, value)
        return lot[len(event.values) :]

    def bury(self, event: WorkerLost) -> list[tuple[int, Any]]:
        first, *others = event.chunks
        rest = self.settle(event.ended) if event.ended else self.held.pop(first)
        if event.offset is not None:
            self.ended[rest.pop(0)[0]] = event.reason
        return rest + [pair for other in others for pair in self.held.pop(other)]


def drive(backend: ProcessBackend, items: list[Any], size: int = 50) -> dict[int, Any]:
    """Run all items: position -> value, ErrorInfo or reason of a death."""
    feed = Feed(backend, items, size)
    for worker in range(backend.capabilities.workers):
        feed.hand_out(worker)
    while feed.held:
        for event in answers(backend):
            feed.todo[:0] = feed.settle(event) if isinstance(event, ChunkEnded) else feed.bury(event)
            feed.hand_out(event.worker)
    assert sorted(feed.ended) == list(range(len(items)))
    return feed.ended


def wait_until(condition: Callable[[], Any], backend: ProcessBackend | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        if backend is None:
            time.sleep(0.005)
        else:
            assert backend.inbox.take(0.005) == []


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(SOURCE)!r})\n" + text)
    return [sys.executable, "-W", "error", str(path)]


# ------------------------------------------------------------------------------------------------- what workers run


def double(item: Any) -> Any:
    return item * 2


class Log:
    """Says in a file which item runs, then does what is asked. By value, since it travels."""

    def __init__(self, path: Path, deeds: dict[Any, str]) -> None:
        self.path = str(path)
        self.deeds = deeds

    def __call__(self, item: Any) -> Any:
        fd = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(fd, f"{item}\n".encode())
        os.close(fd)
        deed = self.deeds.get(item)
        if deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "exit":
            os._exit(3)
        if deed == "segfault":
            ctypes.string_at(0)
        return item

    def ran(self) -> Counter[int]:
        return Counter(map(int, Path(self.path).read_text().split()))


class TwoArguments(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.a, self.b = a, b


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class BadReduce:
    def __reduce__(self) -> Any:
        raise ValueError("will not be pickled")


class ExitReduce:
    def __reduce__(self) -> Any:
        raise SystemExit(9)


def explode(*_: Any) -> Any:
    raise LookupError("will not be unpickled")


class BadLoad:
    def __reduce__(self) -> Any:
        return explode, ()


class BadLoadError(Exception):
    def __reduce__(self) -> Any:
        return explode, ()


class BadReduceError(Exception):
    def __reduce__(self) -> Any:
        raise ValueError("will not be pickled")


class OtherTypeError(Exception):
    def __reduce__(self) -> Any:
        return int, ("5",)


def load_here(pid: int) -> int:
    if os.getpid() == pid:
        raise LookupError("not in this process")
    return pid


class NotHere(Exception):
    """Survives the round trip in the worker and fails in the parent."""

    def __init__(self, pid: int) -> None:
        super().__init__("not here")
        self.pid = pid

    def __reduce__(self) -> Any:
        return make_not_here, (self.pid,)


def make_not_here(pid: int) -> NotHere:
    load_here(pid)
    return NotHere(pid)


class Crasher:
    """Kills whoever unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


def deep() -> list[Any]:
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    return nest


# ------------------------------------------------------------------------------------------------------------ tests


def test_many_chunks_come_back_whole(make: Callable[..., ProcessBackend]) -> None:
    backend = make(double)
    assert drive(backend, list(range(5000)), size=700) == {n: 2 * n for n in range(5000)}
    assert backend.running() == []


def test_any_callable_travels(make: Callable[..., ProcessBackend]) -> None:
    shift = 5

    def closure(item: int) -> int:
        return item + shift

    for func, value in [
        (lambda item: item - 1, 9),
        (closure, 15),
        (functools.partial(max, 70), 70),
        ("{:>4}".format, "  10"),
        (double, 20),
    ]:
        assert run_chunk(make(func), [10]).values == [value]


SCRIPT = """
from raddle._model import Chunk
from raddle.backends.processes import ProcessBackend
import threading

class Point:
    def __init__(self, x): self.x = x

class Refused(Exception):
    def __init__(self, a, b=1): super().__init__(a, b)

def move(point):
    if point.x == 2: raise Refused("two")
    return Point(point.x + STEP)

STEP = 10
if sys.argv[1:] == ["thread"]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
backend = ProcessBackend(move, workers=1)
print(backend.start_method)
backend.start(0, Chunk(0, [Point(1), Point(2), lambda: 1], range(3), 1))
(event,) = backend.inbox.take(None)
assert type(event.values[0]) is Point, event
error = event.errors[1]
assert type(error.exception) is Refused, error
assert event.errors[2].type == "AttributeError", event.errors[2]
print(event.values[0].x, error.type, error.message)
"""


@pytest.mark.parametrize(("argument", "method"), [([], "fork"), (["thread"], "fresh")])
def test_a_script_needs_no_guard(tmp_path: Path, argument: list[str], method: str) -> None:
    out = subprocess.run(
        [*script(tmp_path, SCRIPT), *argument], capture_output=True, text=True, timeout=120, check=False
    )
    assert out.stdout.split("\n") == [method, "11 __main__.Refused ('two', 1)", ""], out.stderr
    assert out.stderr == ""


NASTY_ITEMS = [
    (threading.Lock, "TypeError", "item"),
    (lambda: (n for n in range(3)), "TypeError", "item"),
    (BadReduce, "ValueError", "item"),
    (BadLoad, "LookupError", "will not be unpickled"),
    (deep, "Error", "item"),
    (sys._getframe, "TypeError", "item"),
]


@pytest.mark.parametrize("place", [0, 2, 4])
def test_an_item_that_cannot_travel_costs_itself(make: Callable[..., ProcessBackend], place: int) -> None:
    backend = make(lambda item: item, workers=1)
    for build, kind, hint in NASTY_ITEMS:
        items: list[Any] = [1, 2, 3, 4, 5]
        items[place] = build()
        ended = drive(backend, items)
        error = ended.pop(place)
        assert isinstance(error, ErrorInfo)
        assert error.type.endswith(kind)
        assert hint in error.message
        assert ended == {n: n + 1 for n in range(5) if n != place}, kind


def test_a_lambda_as_item_travels(make: Callable[..., ProcessBackend]) -> None:
    assert run_chunk(make(lambda item: item()), [lambda: 1, lambda: 2]).values == [1, 2]


NASTY_RESULTS: list[tuple[Callable[[], Any], str, str]] = [
    (lambda: (n for n in range(3)), "TypeError", "returned a generator, which cannot be pickled"),
    (threading.Lock, "TypeError", "returned a _thread.lock"),
    (BadReduce, "ValueError", "return plain data"),
    (ExitReduce, "SystemExit", "return plain data"),
    (BadLoad, "LookupError", "cannot be unpickled"),
    (socket.socket, "TypeError", "return plain data"),
    (deep, "Error", "return plain data"),
]


@pytest.mark.parametrize("stored", [False, True])
def test_a_result_that_cannot_travel_costs_its_item(make: Callable[..., ProcessBackend], stored: bool) -> None:
    backend = make(lambda item: NASTY_RESULTS[item][0]() if item >= 0 else item, workers=1, stored=stored)
    for number, (_, kind, hint) in enumerate(NASTY_RESULTS):
        end = run_chunk(backend, [-1, number, -3], number)
        assert end.values == [-1, None, -3], kind
        assert list(end.errors) == [1]
        assert end.errors[1].type.endswith(kind)
        assert hint in end.errors[1].message
        assert end.stored == ([pickle.dumps(-1, 5), b"", pickle.dumps(-3, 5)] if stored else None)


def fail(error: BaseException) -> Any:
    raise error


NASTY_ERRORS: list[tuple[Callable[[], BaseException], str, bool]] = [
    (lambda: ValueError("plain"), "ValueError", True),
    (lambda: TwoArguments(1, 2), "TwoArguments", False),
    (Mute, "Mute", True),
    (lambda: BadReduceError("x"), "BadReduceError", False),
    (lambda: BadLoadError("x"), "BadLoadError", False),
    (lambda: OtherTypeError("x"), "OtherTypeError", False),
    (lambda: ValueError(threading.Lock()), "ValueError", False),
    (lambda: SystemExit(3), "SystemExit", True),
    (KeyboardInterrupt, "KeyboardInterrupt", True),
    (GeneratorExit, "GeneratorExit", True),
    (lambda: StopIteration(1), "StopIteration", True),
    (lambda: BaseExceptionGroup("two", [ValueError(1), SystemExit(2)]), "BaseExceptionGroup", True),
]


def test_whatever_is_raised_is_its_items_error(make: Callable[..., ProcessBackend]) -> None:
    backend = make(lambda item: fail(NASTY_ERRORS[item][0]()) if item >= 0 else item, workers=1)
    for number, (_, kind, travels) in enumerate(NASTY_ERRORS):
        end = run_chunk(backend, [-1, number, -3], number)
        assert end.values == [-1, None, -3], kind
        error = end.errors[1]
        assert error.type.endswith(kind)
        assert "fail" in error.traceback
        assert (error.exception is not None) == travels, kind
        if travels:
            assert type(error.exception).__name__ == kind


def test_what_fails_to_load_in_the_parent_costs_its_item(make: Callable[..., ProcessBackend]) -> None:
    here = os.getpid()

    class Value:
        def __reduce__(self) -> Any:
            return load_here, (here,)

    def func(item: int) -> Any:
        if item == 2:
            raise NotHere(here)
        return Value() if item == 3 else item

    end = run_chunk(make(func), [1, 2, 3, 4])
    assert end.values == [1, None, None, 4]
    assert (end.errors[1].exception, end.errors[1].message) == (None, "not here")
    assert "not in this process" in end.errors[2].message


@pytest.mark.parametrize(
    ("deed", "reason", "size"),
    [
        ("kill", "killed by SIGKILL", 50),
        pytest.param("kill", "killed by SIGKILL", 1, marks=pytest.mark.slow),
        pytest.param("kill", "killed by SIGKILL", 400, marks=pytest.mark.slow),
        pytest.param("exit", "exit code 3", 50, marks=pytest.mark.slow),
        pytest.param("segfault", "killed by SIGSEGV", 50, marks=pytest.mark.slow),
    ],
)
def test_a_death_costs_one_item_and_nothing_runs_twice(
    make: Callable[..., ProcessBackend], tmp_path: Path, deed: str, reason: str, size: int
) -> None:
    bad = [0, 1, 49, 50, 77, 399]
    log = Log(tmp_path / "log", dict.fromkeys(bad, deed))
    ended = drive(make(log), list(range(400)), size=size)
    assert {position for position, value in ended.items() if value == reason} == set(bad)
    assert {position for position, value in ended.items() if value == position} == set(range(400)) - set(bad)
    assert log.ran() == Counter(range(400))


def test_an_item_that_kills_when_unpickled_costs_itself(make: Callable[..., ProcessBackend]) -> None:
    items: list[Any] = list(range(60))
    items[17] = Crasher()
    items[18] = BadLoad()
    ended = drive(make(lambda item: item), items, size=25)
    assert ended.pop(17) == "exit code 7"
    assert ended.pop(18).type == "LookupError"
    assert ended == {n: n for n in range(60) if n not in {17, 18}}


def test_a_kill_while_a_large_result_is_sent_blames_it(make: Callable[..., ProcessBackend]) -> None:
    def func(item: int) -> Any:
        return bytes(50 << 20) if item == 2 else os.getpid()

    backend = make(func)
    pid = run_chunk(backend, [0]).values[0]
    backend.start(0, chunk(1, [1, 2, 3]))
    cells = backend._slots[0]._box.cells
    wait_until(lambda: cells[3] == ~1)
    os.kill(pid, signal.SIGKILL)
    (lost,) = answers(backend)
    assert (lost.offset, lost.chunks, lost.ended.values) == (1, (1,), [pid])
    assert lost.ended.clock[-1] == lost.started
    assert len(run_chunk(backend, [2], 2).values[0]) == 50 << 20


def test_results_beyond_the_box_are_flushed_and_survive(make: Callable[..., ProcessBackend]) -> None:
    def func(item: int) -> Any:
        if item == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        if item == 4:
            raise ValueError("x" * 300_000)
        return bytes([item]) * 300_000

    backend = make(func, stored=True)
    lost = run_chunk(backend, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert lost.offset == 9
    assert lost.ended.values == [None if n == 4 else bytes([n]) * 300_000 for n in range(9)]
    assert len(lost.ended.errors[4].message) == 300_000
    assert [pickle.loads(s) if s else None for s in lost.ended.stored] == lost.ended.values
    assert len(lost.ended.clock) == 10


def test_megabytes_both_ways_do_not_jam(make: Callable[..., ProcessBackend]) -> None:
    backend = make(lambda item: item + b"!")
    items = [bytes([n]) * 1_000_000 for n in range(40)]
    assert drive(backend, items, size=5) == {n: item + b"!" for n, item in enumerate(items)}


def test_an_error_larger_than_the_box_arrives(make: Callable[..., ProcessBackend]) -> None:
    end = run_chunk(make(lambda item: fail(ValueError("y" * 3_000_000)) if item == 1 else item), [0, 1, 2])
    assert end.values == [0, None, 2]
    assert len(end.errors[1].message) == 3_000_000


@pytest.mark.parametrize("hang", [lambda: time.sleep(3600), lambda: sum(range(10**13))])
def test_a_kill_frees_the_slot(make: Callable[..., ProcessBackend], hang: Callable[[], Any]) -> None:
    backend = make(lambda item: hang() if item == "hang" else item)
    backend.start(0, chunk(0, [1, "hang", 3]))
    backend.start(0, chunk(1, [4]))
    wait_until(lambda: [(r.chunk, r.offset) for r in backend.running()] == [(0, 1)], backend)
    began = time.monotonic()
    backend.stop(0, "kill")
    (lost,) = answers(backend)
    assert time.monotonic() - began < PATIENCE  # what hangs would go on for an hour
    assert (lost.chunks, lost.ended.values, lost.offset) == ((0, 1), [1], 1)
    assert "SIGKILL" in lost.reason
    assert run_chunk(backend, [5], 2).values == [5]


def spawn_sleep(path: str) -> Any:
    process = subprocess.Popen(["sleep", "300"])
    Path(path + ".new").write_text(f"{process.pid} {os.getpid()} {os.getppid()}")
    Path(path + ".new").rename(path)
    return process


@pytest.mark.parametrize("end", ["kill", "crash", "close"])
def test_what_an_item_started_dies_with_it(make: Callable[..., ProcessBackend], tmp_path: Path, end: str) -> None:
    path = str(tmp_path / "pids")

    def func(item: int) -> Any:
        spawn_sleep(path)
        if end == "crash":
            os._exit(1)
        time.sleep(300)

    backend = make(func)
    backend.start(0, chunk(0, [1]))
    wait_until(lambda: Path(path).exists())
    sleep, worker, zygote = map(int, Path(path).read_text().split())
    if end == "kill":
        backend.stop(0, "kill")
    if end == "close":
        backend.close()
    else:
        (lost,) = answers(backend)
        assert lost.offset == 0
        assert alive(zygote)
    wait_until(lambda: not alive(sleep) and not alive(worker))


ORPHANS = """
import os, subprocess, threading, time
from pathlib import Path
from raddle._model import Chunk
from raddle.backends.processes import ProcessBackend

def func(item):
    process = subprocess.Popen(["sleep", "300"])
    Path(item + ".new").write_text(f"{process.pid} {os.getpid()} {os.getppid()}")
    Path(item + ".new").rename(item)
    if item.endswith("1"):
        sum(range(10**13))
    time.sleep(300)

if __name__ == "__main__":
    backend = ProcessBackend(func, workers=2, start=sys.argv[1])
    # A forked relative keeps a copy of the control socket open, as a multiprocessing child would: no EOF then.
    if sys.argv[2] == "relative" and os.fork() == 0:
        time.sleep(20)
        os._exit(0)
    for worker in (0, 1):
        backend.start(worker, Chunk(worker, [sys.argv[3] + str(worker)], [0], 1))
    print("ready", flush=True)
    events = backend.inbox.take(None)
    print(events, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("relative", ["alone", "relative"])
def test_a_killed_parent_leaves_nothing_behind(tmp_path: Path, mode: str, relative: str) -> None:
    command = [*script(tmp_path, ORPHANS), mode, relative, str(tmp_path / "pids")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        files = [tmp_path / "pids0", tmp_path / "pids1"]
        wait_until(lambda: all(file.exists() for file in files))
        pids = {int(pid) for file in files for pid in file.read_text().split()}
        assert len(pids) == 5
        assert all(map(alive, pids))
        others = [child for child in psutil.Process(program.pid).children() if child.pid not in pids]
        program.kill()
        try:
            wait_until(lambda: not any(map(alive, pids)))
        finally:
            for other in others:
                other.kill()


def test_a_killed_zygote_ends_the_run(make: Callable[..., ProcessBackend], tmp_path: Path) -> None:
    path = str(tmp_path / "pids")
    backend = make(lambda item: (spawn_sleep(path), time.sleep(300)))
    backend.start(0, chunk(0, [1]))
    wait_until(lambda: Path(path).exists(), backend)
    sleep, worker, zygote = map(int, Path(path).read_text().split())
    os.kill(zygote, signal.SIGKILL)
    (failure,) = answers(backend)
    assert isinstance(failure, RunFailed)
    assert isinstance(failure.error, BackendError)
    assert "killed by SIGKILL" in str(failure.error)
    wait_until(lambda: not alive(worker) and not alive(sleep))


def test_close_gives_back_what_is_queued_too(make: Callable[..., ProcessBackend], tmp_path: Path) -> None:
    inside = tmp_path / "inside"

    def func(item: int) -> bool:
        inside.touch()
        while item == 0 and not attempt().cancelled:
            time.sleep(0.001)
        return attempt().cancelled

    backend = make(func)
    backend.start(0, chunk(0, [0, 1, 2]))
    backend.start(0, chunk(1, [3]))
    wait_until(inside.exists, backend)  # running() is true a moment before
    backend.stop(0, "close")
    first, second = answers(backend, 2)
    assert (first.values, second.values) == ([True], [])
    assert run_chunk(backend, [4], 2).values == [False]


def test_a_budget_of_a_few_items(make: Callable[..., ProcessBackend]) -> None:
    end = run_chunk(make(lambda item: time.sleep(0.02)), [0] * 100, budget=0.05)
    assert 1 <= len(end.values) <= 4


@pytest.mark.parametrize("what", ["initializer", "loading the function"])
def test_a_worker_that_cannot_start_ends_the_run(make: Callable[..., ProcessBackend], mode: str, what: str) -> None:
    def fail_to_start() -> None:
        raise OSError("no model file")

    if what == "initializer":
        backend = make(double, initializer=fail_to_start)
    elif mode == "fork":
        pytest.skip("an inherited function is not loaded")
    else:

        class Unloadable:
            __call__ = double

            def __reduce__(self) -> Any:
                return fail_to_start, ()

        backend = make(Unloadable())
    for worker in (0, 1):
        backend.start(worker, chunk(worker, [1]))
    events = answers(backend, 3)
    failures = [event for event in events if isinstance(event, RunFailed)]
    assert len(failures) == 1
    assert what in str(failures[0].error)
    assert "OSError: no model file" in str(failures[0].error)
    assert all("while it started" not in event.reason for event in events if isinstance(event, WorkerLost))


def test_a_worker_that_dies_at_start_says_so(make: Callable[..., ProcessBackend]) -> None:
    backend = make(double, initializer=lambda: os._exit(4))
    lost = run_chunk(backend, [1])
    assert (lost.chunks, lost.ended, lost.offset) == ((0,), None, None)
    assert lost.reason == "exit code 4 while it started"


def test_fifty_deaths_leak_no_descriptor(make: Callable[..., ProcessBackend]) -> None:
    backend = make(lambda item: os.kill(os.getpid(), signal.SIGKILL) if item else os.getppid(), workers=1)
    zygote = run_chunk(backend, [0]).values[0]

    def count() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), len(list(Path(f"/proc/{zygote}/fd").iterdir()))

    run_chunk(backend, [1], 1)
    before = count()
    for number in range(50):
        assert run_chunk(backend, [1], number + 2).offset == 0
    assert count() == before


def test_a_worker_holds_nothing_it_should_not(make: Callable[..., ProcessBackend], tmp_path: Path, mode: str) -> None:
    def opened(item: Any) -> list[str]:
        links = []
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(str(link.readlink()))
        return links

    path = tmp_path / "mine"
    with socket.create_server(("127.0.0.1", 0)) as server, path.open("w") as file, path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        inode = f"socket:[{os.fstat(server.fileno()).st_ino}]"
        backend = make(opened, keep_fds=[lock.fileno()])
        for worker in (0, 1):
            backend.start(worker, chunk(worker, [1]))
        for event in answers(backend, 2):
            links = event.values[0]
            assert inode not in links
            assert links.count(str(path)) == 1, "the lock, and not the other file"
            assert len([link for link in links if link.startswith("socket:")]) == 1
        assert Path(f"/proc/self/fd/{file.fileno()}").readlink() == path
    with path.open() as again:
        with pytest.raises(BlockingIOError):
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        backend.close()
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_inherited_file_says_that_it_is_closed(tmp_path: Path) -> None:
    if not single_threaded():
        pytest.skip("another test left a thread: test_forking_in_a_clean_process runs this")
    with (tmp_path / "f").open("w") as file:
        backend = ProcessBackend(lambda item: os.write(file.fileno(), b"x"), workers=1, start="fork")
        try:
            error = run_chunk(backend, [1]).errors[0]
        finally:
            backend.close()
    assert "Bad file descriptor" in error.message


def test_workers_are_their_own_session_without_input(make: Callable[..., ProcessBackend]) -> None:
    def look(item: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return (
            os.getsid(0) == os.getpid(),
            sys.stdin.read(),
            signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
            signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL,
            os.environ["OPENBLAS_NUM_THREADS"],
        )

    cpus = max(1, _host.cpus().value // 2)
    expected = os.environ.get("OPENBLAS_NUM_THREADS", str(cpus))
    assert run_chunk(make(look), [1]).values == [(True, "", True, True, expected)]


def test_forking_is_refused_when_there_is_another_thread() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with pytest.raises(ConfigError, match=r'threads=.*use start="auto"'):
            ProcessBackend(double, workers=1, start="fork")
        backend = ProcessBackend(double, workers=1)
        assert backend.start_method == "fresh"
        assert run_chunk(backend, [1]).values == [2]
        backend.close()
    finally:
        over.set()
        thread.join()


def test_a_function_that_cannot_be_sent_is_refused_with_the_remedy() -> None:
    lock = threading.Lock()

    def hold(item: Any) -> Any:
        return lock

    with pytest.raises(ConfigError, match=r'function=.*hold.* cannot be sent .*backend="threads"'):
        ProcessBackend(hold, workers=1, start="fresh")
    with pytest.raises(ConfigError, match="workers=0"):
        ProcessBackend(double, workers=0)


def test_news_from_elsewhere_wakes_take_and_is_kept_after_close(make: Callable[..., ProcessBackend]) -> None:
    backend = make(double)
    news = RunFailed(BackendError("x"))
    timer = threading.Timer(0.05, backend.inbox.put, [news])
    timer.start()
    assert backend.inbox.take(None) == [news]
    timer.join()
    backend.close()
    backend.inbox.put(news)
    assert backend.inbox.take(5) == [news]


@pytest.mark.timeout(900)
def test_forking_in_a_clean_process(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if single_threaded():
        pytest.skip("this process is clean: it ran these tests itself")
    options = [
        "-q",
        "-m",
        request.config.getoption("markexpr"),
        "-k",
        "fork or Forked or inherited",
        "-p",
        "no:cacheprovider",
        "--basetemp",
        str(tmp_path / "in"),
    ]
    conformance = Path(__file__).resolve().parents[1] / "conformance" / "test_backends.py"
    command = [sys.executable, "-m", "pytest", *options, __file__, str(conformance)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=890)
    assert result.returncode == 0, result.stdout
    assert "threads are about" not in result.stdout


# ------------------------------------------------------------------------- items that do not want to end (G7, G20, G21)


def ignore_everything() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(3600)
        except BaseException:  # noqa: BLE001 - that is what it is for
            continue


def bomb_slowly() -> None:
    """Fork and fork again: each child does so too, until 40 are there."""
    for _ in range(5):
        if os.fork() == 0:
            for _ in range(7):
                if os.fork() == 0:
                    break
            time.sleep(3600)
    time.sleep(3600)


def behind_a_shell() -> None:
    subprocess.run(["sh", "-c", "(trap '' TERM; sleep 3600) & sleep 3600"], check=False)


def catch_everything() -> None:
    while True:
        with contextlib.suppress(BaseException):
            while True:
                sum(range(100))


ENDLESS: dict[str, Callable[[], object]] = {
    "c": lambda: sum(range(10**13)),
    "except": catch_everything,
    "signals": ignore_everything,
    "shell": behind_a_shell,
    "forks": bomb_slowly,
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_whatever_does_not_end_costs_its_own_item(make: Callable[..., ProcessBackend], kind: str) -> None:
    def func(item: int) -> int:
        if item == 5:
            ENDLESS[kind]()
        return item

    backend = make(func, workers=1)
    backend.start(0, chunk(0, list(range(10))))
    wait_until(lambda: [(r.offset, r.pid > 0) for r in backend.running()] == [(5, True)], backend)
    worker = psutil.Process(backend.running()[0].pid)
    if kind in ("shell", "forks"):
        wait_until(lambda: len(worker.children(recursive=True)) >= (3 if kind == "shell" else 40), backend)
    family = [worker, *worker.children(recursive=True)]
    began = time.monotonic()
    backend.stop(0, "kill")
    (lost,) = answers(backend)
    wait_until(lambda: not any(alive(process.pid) for process in family))
    assert time.monotonic() - began < PATIENCE  # what hangs would go on for an hour
    assert (lost.offset, lost.ended.values, lost.reason) == (5, list(range(5)), "killed by SIGKILL")
    assert run_chunk(backend, [6, 7], 1).values == [6, 7]


def exhaust_files(item: int) -> int:
    if item == 1:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        files = []
        while True:
            files.append(os.open(os.devnull, os.O_RDONLY))
    return item


def exhaust_memory(item: int) -> int:
    if item == 1:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
        hoard = []
        while True:
            hoard.append(bytes(64 << 20))
    return item


def exhaust_stack(item: int) -> int:
    return exhaust_stack(item) if item == 1 else item


def exhaust_processes(item: int) -> int:
    if item == 1:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        while True:
            os.fork()
    return item


@pytest.mark.parametrize(
    ("func", "error"),
    [
        (exhaust_files, "OSError"),
        (exhaust_memory, "MemoryError"),
        (exhaust_stack, "RecursionError"),
        pytest.param(
            exhaust_processes,
            "BlockingIOError",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="RLIMIT_NPROC does not bind root"),
        ),
    ],
)
def test_what_is_used_up_costs_its_own_item(
    make: Callable[..., ProcessBackend], func: Callable[[int], int], error: str
) -> None:
    """The items after it have the same worker: nothing the worker needs for its answers may need what is used up."""
    end = run_chunk(make(func, workers=1), [0, 1, 2, 3])
    assert end.values == [0, None, 2, 3]
    assert {offset: info.type for offset, info in end.errors.items()} == {1: error}


class Text(str):
    """Not plain: it is to come back as what it was."""

    __slots__ = ()


RESULTS: list[Any] = [
    *(None, True, 0, -1, 2**4000, 1.5, "", "zwölf\udc80\0", b"", b"\x80\x05."),
    *((1, "a"), [None], {"k": b"v"}, Text("s"), bytes(100_000), "x" * 100_000, "y" * 3_000_000, bytes(3_000_000)),
]


@pytest.mark.parametrize("stored", [False, True])
def test_values_come_back_as_they_are(make: Callable[..., ProcessBackend], stored: bool) -> None:
    backend = make(lambda item: fail(ValueError(item)) if item == "error" else item, stored=stored, workers=1)
    # alone, together, beside an error
    for items in (items for result in RESULTS for items in ([result], [result] * 3, [result, "error", result])):
        end = run_chunk(backend, items)
        expected = [None if item == "error" else item for item in items]
        assert end.values == expected
        assert [type(value).__name__ for value in end.values] == [type(value).__name__ for value in expected]
        assert list(end.errors) == [offset for offset, item in enumerate(items) if item == "error"]
        if stored:
            assert [pickle.loads(image) if image else None for image in end.stored] == expected


@pytest.mark.parametrize("kind", [bytes, str, list])
def test_a_death_after_results_of_any_size_loses_none(make: Callable[..., ProcessBackend], kind: type) -> None:
    def func(given: tuple[int, int]) -> Any:
        item, size = given
        if item == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        data = bytes([item]) * size
        return data if kind is bytes else data.decode() if kind is str else [data, item]

    backend = make(func, workers=1)
    for size in (10, 5_000, 70_000, 700_000, 2_500_000):
        for number in range(3):  # so that both halves of the box are used, and memory that was used before
            lost = run_chunk(backend, [(item, size) for item in range(10)], number)
            assert lost.offset == 7
            assert lost.ended.values == [func((item, size)) for item in range(7)]
            for item in (1, 2, 3):
                assert run_chunk(backend, [(item, size)], 10 + number).values == [func((item, size))]


def test_large_items_go_through_both_halves(make: Callable[..., ProcessBackend]) -> None:
    backend = make(lambda item: (len(item), item[:1], item[-1:]), workers=2)
    sizes = [10, 70_000, 1_500_000, 2_090_000, 2_500_000, 65_536, 5, 100_000] * 6
    items = [bytes([n % 250]) * size for n, size in enumerate(sizes)]
    ended = drive(backend, items, size=1)
    assert ended == {n: (len(item), item[:1], item[-1:]) for n, item in enumerate(items)}
