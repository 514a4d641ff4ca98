"""Reservations of disk space, over all workers."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.errors import ConfigError, ItemCancelled
from raddle.workloads.media.replace.errors import DiskFull
from raddle.workloads.media.replace.ledger import DiskLedger, Space, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Disk:
    """A disk for tests; never less than nothing is free."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self.lock = threading.Lock()

    def space(self, path: str) -> Space:
        with self.lock:
            assert self.used <= self.total
            return Space(self.total - self.used, self.total)

    def write(self, size: int) -> None:
        with self.lock:
            self.used += size
            assert self.used <= self.total, "two counted on the same bytes"


def ledger(disk: Disk, **options: float) -> DiskLedger:
    # a look so rare that only what the ledger tells wakes anybody
    return DiskLedger(space=disk.space, device=len, look=30.0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("free", "total", "pending", "min_free", "size", "found"),
    [
        (100, 100, 0, 0, 100, "fits"),
        (100, 100, 0, 0, 101, "never"),
        (100, 100, 0, 10, 91, "never"),
        (100, 100, 0, 10, 90, "fits"),
        (50, 100, 0, 0, 60, "wait"),
        (100, 100, 50, 0, 60, "wait"),
        (100, 100, 40, 0, 60, "fits"),
        (0, 100, 0, 0, 0, "fits"),
    ],
)
def test_verdicts(free: int, total: int, pending: int, min_free: int, size: int, found: str) -> None:
    assert verdict(Space(free, total), pending=pending, min_free=min_free, size=size) == found


@settings(deadline=None)
@given(st.lists(st.integers(0, 100), max_size=12), st.integers(0, 50), st.integers(50, 200))
def test_what_fits_never_exceeds_the_disk(sizes: list[int], min_free: int, total: int) -> None:
    pending = 0
    for size in sizes:
        if verdict(Space(total, total), pending=pending, min_free=min_free, size=size) == "fits":
            pending += size
    assert pending <= max(total - min_free, 0)


def test_what_never_fits_is_said_at_once() -> None:
    book = ledger(Disk(100), min_free_percent=5.0)
    with pytest.raises(DiskFull, match=r"96 bytes and 5 that stay free .* lower min_free"), book.reserve("/a", 96):
        pass
    with book.reserve("/a", 95):
        pass
    assert book.waiting() == 0


def test_it_waits_and_goes_on_by_itself() -> None:
    disk = Disk(100)
    book = ledger(disk)
    reasons: list[str] = []
    waits = threading.Event()
    got = threading.Event()

    def second() -> None:
        with book.reserve("/a", 60, on_wait=lambda reason: (reasons.append(reason), waits.set())):  # type: ignore[func-returns-value]
            got.set()

    with book.reserve("/a", 70):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        assert not got.is_set()
    thread.join(60)
    assert got.is_set()
    assert "60 bytes to write, 100 free, of which 70 are reserved" in reasons[0]


def test_other_file_systems_do_not_wait() -> None:
    book = ledger(Disk(100))
    with book.reserve("/a", 100), book.reserve("/other", 100):
        pass


def test_what_was_written_is_not_counted_twice() -> None:
    disk = Disk(100)
    book = ledger(disk)
    with book.reserve("/a", 60) as first:
        disk.write(50)
        first.written(50)
        assert first.pending == 10
        with book.reserve("/a", 40):
            pass
        first.written(70)  # larger than was thought
        assert first.pending == 0


def test_a_wait_can_be_cancelled() -> None:
    book = ledger(Disk(100))
    stop = threading.Event()
    waits = threading.Event()
    ended: list[BaseException] = []

    def second() -> None:
        try:
            with book.reserve("/a", 60, cancelled=stop.is_set, on_wait=lambda _: waits.set()):
                pass
        except ItemCancelled as error:
            ended.append(error)

    with book.reserve("/a", 70):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        stop.set()
        book.recheck()
        thread.join(60)
    assert len(ended) == 1
    assert book.waiting() == 0
    with book.reserve("/a", 100):
        pass


def test_patience_ends() -> None:
    book = ledger(Disk(100))
    with (
        book.reserve("/a", 70),
        pytest.raises(DiskFull, match=r"waited 0.01 s: make room"),
        book.reserve("/a", 60, patience=0.01),
    ):
        pass


def test_a_large_one_is_not_passed_by_for_ever() -> None:
    book = ledger(Disk(100))
    order: list[str] = []
    waits = [threading.Event(), threading.Event()]

    def take(name: str, size: int, place: int) -> None:
        with book.reserve("/a", size, on_wait=lambda _: waits[place].set()):
            order.append(name)

    with book.reserve("/a", 50):
        large = threading.Thread(target=take, args=("large", 90, 0))
        large.start()
        assert waits[0].wait(60)
        small = threading.Thread(target=take, args=("small", 20, 1))
        small.start()
        assert waits[1].wait(60)
    large.join(60)
    small.join(60)
    assert order == ["large", "small"]


def test_many_workers_never_write_more_than_there_is() -> None:
    disk = Disk(100)
    book = ledger(disk, min_free=10)
    done: list[int] = []

    def work(size: int) -> None:
        for _ in range(5):
            with book.reserve("/a", size) as mine:
                disk.write(size)
                mine.written(size)
                done.append(size)
                disk.write(-size)
                mine.written(0)

    threads = [threading.Thread(target=work, args=(size,)) for size in (30, 40, 50, 60, 70, 80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == 30
    assert book.waiting() == 0


@pytest.mark.parametrize(("least", "percent"), [(-1, 0.0), (0, 100.0), (0, -1.0)])
def test_limits_that_cannot_work(least: int, percent: float) -> None:
    with pytest.raises(ConfigError, match="min_free="):
        DiskLedger(min_free=least, min_free_percent=percent)
    with pytest.raises(ConfigError, match="size=-1"), DiskLedger().reserve("/", -1):
        pass


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("a disk cannot be mounted here: needs root")
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", folder], check=True)
        yield folder


def test_four_workers_on_a_real_small_disk(tmpfs: Path) -> None:
    book = DiskLedger(min_free=100_000, look=0.02)
    failures: list[OSError] = []

    def work(number: int) -> None:
        for turn in range(4):
            with book.reserve(str(tmpfs), 400_000) as mine:
                path = tmpfs / f"{number}-{turn}"
                try:
                    path.write_bytes(b"x" * 400_000)
                    mine.written(400_000)
                except OSError as error:
                    failures.append(error)
                path.unlink()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
