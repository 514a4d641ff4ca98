"""`permits=` with real workers: every item asks the test how it shall end, and stays under way until it is told.

So the test knows at every moment what is under way, without any clock, and what must start next.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import pytest

import raddle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SECONDS = 60.0
RETRY = raddle.Retry(attempts=100, on=(Exception,), wait_initial=1e-6, wait_max=1e-6)

#: number, class, port
Item = tuple[int, str, int]


def work(item: Item) -> int:
    """Say that this item is under way, and end as told: well, with an error, by dying, or never."""
    number, _, port = item
    with socket.create_connection(("127.0.0.1", port), SECONDS) as line:
        line.sendall(b"%d\n" % number)
        fate = line.recv(1)
    if fate == b"d":
        os._exit(3)
    if fate == b"h":
        threading.Event().wait()
    if fate == b"e":
        raise ValueError("no")
    return number


async def work_async(item: Item) -> int:
    """Do the same as a coroutine."""
    number, _, port = item
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"%d\n" % number)
    fate = await reader.read(1)
    writer.close()
    if fate == b"h":
        await asyncio.Event().wait()
    if fate == b"e":
        raise ValueError("no")
    return number


class Foreman:
    """Lets items end one by one, and only when all has started that should."""

    def __init__(self, classes: list[str], *, workers: int, permits: dict[str, int], fates: str) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(SECONDS)
        self.items: list[Item] = [(n, name, self._server.getsockname()[1]) for n, name in enumerate(classes)]
        self._workers, self._permits = workers, permits
        self._rng = random.Random(workers)
        self._fates = {n: [fate for fate in fates if self._rng.random() < 0.1] for n in range(len(classes))}
        self._waiting = set(range(len(classes)))
        self._lines: dict[int, socket.socket] = {}
        self.most: Counter[str] = Counter()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._guarded)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(2 * SECONDS)
        self._server.close()
        if self.error is not None:
            raise self.error

    def _guarded(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.error = error
            self._server.close()  # so that whoever waits gets an error, and the run ends
            for line in self._lines.values():
                line.close()

    def _watch(self) -> None:
        while self._waiting or self._lines:
            if len(self._lines) < self._workers and any(map(self._may_start, self._waiting)):
                self._hear()
            else:
                assert not select.select([self._server], [], [], 0)[0], "something started that must wait"
                self._end(self._rng.choice(sorted(self._lines)))

    def _may_start(self, number: int) -> bool:
        name = self.items[number][1]
        return self._under_way()[name] < self._permits[name]

    def _under_way(self) -> Counter[str]:
        return Counter(self.items[number][1] for number in self._lines)

    def _hear(self) -> None:
        line, _ = self._server.accept()
        with line.makefile("rb") as words:
            number = int(words.readline())
        may, beside = self._may_start(number), sorted(self._lines)
        self._lines[number] = line
        assert may, f"item {number} started beside {beside}"
        self._waiting.remove(number)
        self.most |= self._under_way()

    def _end(self, number: int) -> None:
        fate = self._fates[number].pop() if self._fates[number] else "r"
        if fate != "r":
            self._waiting.add(number)
        with self._lines.pop(number) as line:
            line.sendall(fate.encode())


def classes(count: int) -> list[str]:
    """Return a long stretch of one class, then a mixture.

    All have one: those without may travel in chunks, and then wait for each other.
    """
    rng = random.Random(7)
    return ["encode"] * 6 + [rng.choice(["light", "encode", "gpu"]) for _ in range(count - 6)]


def permit(item: Item) -> str:
    return item[1]


PLACES = [
    ("serial", work, 1, ""),
    ("serial", work, 1, "e"),
    ("threads", work, 4, ""),
    ("threads", work, 4, "ee"),
    ("processes", work, 4, ""),
    ("processes", work, 4, "ed"),
    ("asyncio", work_async, 5, ""),
    ("asyncio", work_async, 5, "ee"),
]


@pytest.mark.parametrize(("backend", "func", "workers", "fates"), PLACES)
@pytest.mark.parametrize("journaled", [False, True])
def test_no_more_of_a_class_than_its_permits_and_no_fewer_than_could(
    backend: Any, func: Callable[[Any], Any], workers: int, fates: str, journaled: bool, tmp_path: Any
) -> None:
    permits = {"encode": 2, "gpu": 1, "light": 9}
    with Foreman(classes(40), workers=workers, permits=permits, fates=fates) as foreman:
        options: dict[str, Any] = {"journal": tmp_path / "runs.db"} if journaled else {}
        with raddle.run(
            func,
            foreman.items,
            backend=backend,
            workers=workers,
            memory=None,
            retry=RETRY,
            permits=permits,
            permit=permit,
            **options,
        ) as run:
            assert list(run.values()) == list(range(40))
    assert foreman.most["light"] >= min(workers, 2)
    assert {foreman.most["encode"], foreman.most["gpu"]} == ({1} if workers == 1 else {1, 2})


@pytest.mark.parametrize(("backend", "func"), [("threads", work), ("processes", work), ("asyncio", work_async)])
def test_a_timeout_gives_the_permit_back(backend: Any, func: Callable[[Any], Any]) -> None:
    with Foreman(["encode"] * 6, workers=3, permits={"encode": 1}, fates="h") as foreman:
        foreman._fates[1] = ["h"]
        with raddle.run(
            func,
            foreman.items,
            backend=backend,
            workers=3,
            timeout=1,
            retry=RETRY,
            permits={"encode": 1},
            permit=permit,
        ) as run:
            assert list(run.values()) == list(range(6))
    assert foreman.most == {"encode": 1}
    assert run.summary.workers_lost or backend == "asyncio"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_permits_hold_on_a_dask_cluster() -> None:
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    permits = {"encode": 2, "gpu": 1, "light": 9}
    address = "127.0.0.1:0"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, dashboard_address=address, host="127.0.0.1", silence_logs=50
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
        Foreman(classes(30), workers=4, permits=permits, fates="e") as foreman,
    ):
        client.wait_for_workers(2, timeout=120)
        with raddle.run(
            work, foreman.items, backend=client, workers=4, retry=RETRY, permits=permits, permit=permit
        ) as run:
            assert list(run.values()) == list(range(30))
    assert foreman.most["encode"] == 2
    assert foreman.most["gpu"] == 1


@pytest.mark.parametrize("func", [work, work_async])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_arun_keeps_them_and_its_loop_never_asks(func: Callable[[Any], Any], asynchronous: bool) -> None:
    threads: set[str] = set()
    permits = {"encode": 2, "gpu": 1, "light": 9}

    def where(item: Item) -> str:
        threads.add(threading.current_thread().name)
        return permit(item)

    async def drip(items: list[Item]) -> AsyncIterator[Item]:
        for item in items:
            await asyncio.sleep(0)
            yield item

    async def main(foreman: Foreman) -> None:
        items = drip(foreman.items) if asynchronous else foreman.items
        backend: Any = "threads" if func is work else "asyncio"
        async with raddle.arun(
            func, items, backend=backend, workers=4, memory=None, permits=permits, permit=where
        ) as run:
            assert [value async for value in run.values()] == list(range(40))

    with Foreman(classes(40), workers=4, permits=permits, fates="") as foreman:
        asyncio.run(main(foreman))
    assert threads == {"raddle-permit"}


def test_a_slow_permit_holds_up_nothing_that_has_its_class() -> None:
    """The second item is not classed before the first has ended."""
    ended = threading.Event()

    def permit(item: int) -> str:
        assert item == 0 or ended.wait(SECONDS)
        return "a"

    with raddle.run(str, range(2), backend="threads", workers=2, permits={"a": 1}, permit=permit) as run:
        for outcome in run:
            assert outcome.ok
            ended.set()


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_stopped_run_asks_no_more(how: str) -> None:
    asked: list[int] = []
    stopped = threading.Event()

    def permit(item: int) -> str:
        asked.append(item)
        assert item < 3 or stopped.wait(SECONDS)
        return "a"

    with raddle.run(str, range(5000), backend="threads", workers=2, permits={"a": 1}, permit=permit) as run:
        outcomes = []
        for outcome in run:
            outcomes.append(outcome)
            if len(outcomes) == 1:
                getattr(run, how)()
                stopped.set()
    assert len(outcomes) == 5000
    assert len(asked) < 2500
    assert asked == list(range(len(asked)))
