"""Start programs, find all that came of them, kill them, and read what they left behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROGRAMS = Path(__file__).with_name("programs.py")
MARK = "RADDLE_CHAOS_MARK"
STATUSES = ("ok", "failed", "timed_out", "crashed", "cancelled")


def counts(short: int, full: int) -> pytest.MarkDecorator:
    """Give a test its `count`: the short one always, the full one with RADDLE_CHAOS=1 (times RADDLE_CHAOS_SHARE)."""
    share = float(os.environ.get("RADDLE_CHAOS_SHARE", "1"))
    shared = max(short, round(full * share))
    return pytest.mark.parametrize(
        "count", [short, pytest.param(shared, marks=pytest.mark.chaos)], ids=[f"{short}", f"full-{shared}"]
    )


def until(condition: Callable[[], Any], seconds: float = 60.0, what: str = "it") -> Any:
    """Wait for something that another process does; return what `condition` said."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come true within {seconds} s"
        time.sleep(0.002)
    return found


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def descendants(mark: str) -> dict[int, int]:
    """Return pid -> parent pid of every living process that was started under `mark`, whatever became of its parents.

    The mark is in the environment, which children inherit over fork, exec and setsid.
    """
    wanted = f"{MARK}={mark}".encode()
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names only
        if not name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile, or belongs to somebody else
            if wanted in Path(f"/proc/{name}/environ").read_bytes():
                state, parent = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:2]
                if state not in "ZX":
                    found[int(name)] = int(parent)
    return found


def send(pid: int, number: int) -> bool:
    """Signal one process; whether it was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@dataclass
class Program:
    """A child program with all its descendants."""

    popen: subprocess.Popen[str]
    mark: str

    @classmethod
    def start(cls, argv: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Program:
        mark = uuid.uuid4().hex
        popen = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {}), MARK: mark},
            start_new_session=True,
        )
        STARTED.append(program := cls(popen, mark))
        return program

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def ended(self) -> bool:
        return self.popen.poll() is not None

    def zygotes(self) -> list[int]:
        return [pid for pid, parent in descendants(self.mark).items() if parent == self.pid]

    def workers(self) -> list[int]:
        family = descendants(self.mark)
        zygotes = {pid for pid, parent in family.items() if parent == self.pid}
        return [pid for pid, parent in family.items() if parent in zygotes]

    def kill_all(self) -> None:
        """End whatever is left, without ceremony."""
        for pid in (self.pid, *descendants(self.mark)):
            send(pid, signal.SIGKILL)

    def finish(self, seconds: float = 120.0) -> tuple[int, str, str]:
        """Wait for the end: exit code, standard output, standard error."""
        try:
            out, err = self.popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            out, err = self.popen.communicate()
            raise AssertionError(f"the program hung for {seconds} s\n{out[-2000:]}\n{err[-4000:]}") from None
        return self.popen.returncode, out, err

    def gone(self) -> float:
        """Wait until no descendant lives; return how long that took, from now."""
        began = time.monotonic()
        while left := descendants(self.mark):
            took = time.monotonic() - began
            if took > 60:
                shown = {pid: _command(pid) for pid in left}
                self.kill_all()
                raise AssertionError(f"still alive after {took:.2f} s: {shown}")
            time.sleep(0.002)
        return time.monotonic() - began


#: by the test at hand; the fixture `_none_left` ends them
STARTED: list[Program] = []


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    return ""


def start(name: str, *, life: int = 0, cwd: Path | None = None, **options: Any) -> Program:
    """Start a program of `programs.py` with JSON options."""
    argv = [sys.executable, str(PROGRAMS), name, json.dumps(options)]
    return Program.start(argv, cwd=cwd, env={"RADDLE_CHAOS_LIFE": str(life)})


def result(program: Program, seconds: float = 60.0) -> dict[str, Any]:
    """Wait for a program that ends well; return what its last line says."""
    code, out, err = program.finish(seconds)
    assert code == 0, f"exit code {code}\n{out[-2000:]}\n{err[-4000:]}"
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def run(name: str, *, seconds: float = 60.0, cwd: Path | None = None, **options: Any) -> dict[str, Any]:
    return result(start(name, cwd=cwd, **options), seconds)


# -------------------------------------------------------------------------------------------------- what was left


@dataclass(slots=True)
class Execution:
    """One call of the function for one item."""

    life: int
    attempt: int
    pid: int
    began: float
    key: str
    ended: float | None = None


@dataclass
class Executions:
    """The log that `programs.noted` writes: what really ran, whoever was killed meanwhile."""

    of: dict[int, list[Execution]] = field(default_factory=dict)
    #: items that began while another call for the same item (or key) was still under way
    overlaps: list[str] = field(default_factory=list)
    #: (lane, number, life) in the order in which they began
    lanes: list[tuple[int, int, int]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Executions:
        log = cls()
        if not path.exists():
            return log
        for line in path.read_text().splitlines():
            what, *words = line.split()
            number, life, attempt, pid = map(int, words[:4])
            if what == "S":
                log.of.setdefault(number, []).append(Execution(life, attempt, pid, float(words[4]), words[5]))
                log.lanes.append((int(words[6]), number, life))
            elif what == "E":
                log.of[number][-1].ended = float(words[4])
            else:
                log.overlaps.append(line)
        return log

    def check(self) -> tuple[int, int]:
        """Assert that no item ran twice at once, under one idempotency key; return how many ran again after a call
        that had not ended, and after one that had (and whose outcome was not committed yet)."""
        assert not self.overlaps, f"two at a time: {self.overlaps[:5]}"
        under_way = ended = 0
        for number, calls in self.of.items():
            assert len({call.key for call in calls}) == 1, f"item {number} has several idempotency keys"
            for before, after in pairwise(calls):
                assert before.ended is None or before.ended <= after.began, f"item {number} ran twice at once"
                under_way += before.ended is None
                ended += before.ended is not None
        return under_way, ended

    def again_by_life(self) -> Counter[int]:
        """Return how many items had to run again because of what happened in each life of the program."""
        return Counter(call.life for calls in self.of.values() for call in calls[:-1])

    def again_within_life(self) -> Counter[int]:
        """Return how many calls in each life were for an item that the same life had called before."""
        pairs = (pair for calls in self.of.values() for pair in pairwise(calls))
        return Counter(after.life for before, after in pairs if before.life == after.life)

    def in_order(self) -> None:
        """Assert that within each lane no item began before an earlier one had ended for good."""
        highest: dict[int, int] = {}
        for lane, number, _ in self.lanes:
            assert number >= highest.get(lane, -1), f"lane {lane}: item {number} began after {highest[lane]}"
            highest[lane] = number


@dataclass(frozen=True, slots=True)
class Ack:
    """One outcome that a consumer was given."""

    life: int
    position: int
    number: int
    status: str
    resumed: bool
    at: float


def acknowledged(path: Path) -> list[Ack]:
    if not path.exists():
        return []
    rows = (line.split() for line in path.read_text().splitlines())
    return [Ack(int(r[0]), int(r[1]), int(r[2]), r[3], r[4] == "1", float(r[5])) for r in rows]


def totals_add_up(summary: Mapping[str, Any], items: int | None = None) -> None:
    """G5: outcomes of all kinds are the items that were admitted; nothing is forgotten."""
    assert sum(summary[status] for status in STATUSES) == summary["admitted"], summary
    if items is not None:
        assert summary["admitted"] == items, summary


def rows_of(journal: Path) -> Counter[str]:
    """Return how many outcomes of each status a journal of one run over different items holds, after a look at its
    health. With plain SQL, so that it is not raddle that says how raddle did."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        twice = db.execute("SELECT min(position) FROM outcome GROUP BY run_id, item_id HAVING count(*) > 1").fetchall()
        assert not twice, f"recorded twice: {twice[:5]}"
        return Counter(dict(db.execute("SELECT status, count(*) FROM outcome GROUP BY status").fetchall()))
