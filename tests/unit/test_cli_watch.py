"""`raddle runs watch`."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import raddle
from raddle._model import Status
from raddle.cli import _watch, main
from raddle.cli._watched import Busy, Look, Pace, Watched, busy
from raddle.errors import ConfigError, JournalDamaged, JournalError
from raddle.journal.history import Bucket, History, Lease
from raddle.progress.stats import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COLOUR = re.compile(rb"\x1b\[[0-9;]*3[0-9][0-9;]*m")


class Gate:
    """Four items: three end at once, the last one comes when it is let in, and waits until it is let out."""

    def __init__(self) -> None:
        self.let_in = threading.Event()
        self.inside = threading.Event()
        self.let_out = threading.Event()

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[int]:
        yield from range(3)
        assert self.let_in.wait(60)
        yield 3

    def __call__(self, n: int) -> int:
        if n == 1:
            raise ValueError(f"n={n}\x1b[2J")
        if n == 3:
            self.inside.set()
            assert self.let_out.wait(60)
        return n


@contextmanager
def half_done(journal: Path) -> Iterator[tuple[Gate, Iterator[raddle.Outcome]]]:
    """A run of 4 items in this process: 3 have ended, 1 is under way."""
    gate = Gate()
    run = raddle.run(gate, gate, backend="threads", workers=2, journal=journal, name="half", retry=0)
    with run:
        try:
            outcomes = iter(run)
            assert [next(outcomes).position for _ in range(3)] == [0, 1, 2]
            gate.let_in.set()
            assert gate.inside.wait(60)
            yield gate, outcomes
        finally:
            gate.let_in.set()
            gate.let_out.set()


def watched(path: Path, name: str = "half") -> Watched:
    run = History(path).run(name)
    assert run is not None
    return Watched(History(path), run)


def test_a_run_is_seen_as_it_stands_and_as_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with half_done(path) as (gate, outcomes):
        view = watched(path)
        created = History(path).runs()[0].created
        look = view.look(created + 4)
        seen = look.snapshot
        assert (look.state, look.ended, seen.ok, seen.failed, seen.total, seen.running) == (
            "running",
            False,
            2,
            1,
            4,
            1,
        )
        assert seen.rate == pytest.approx(3 / 4, rel=0.5)  # the first bucket begins with the run
        assert seen.eta == pytest.approx(1 / (seen.rate or 0))
        assert seen.problems == ("item 1 1 failed: ValueError: n=1 [2J",)
        assert [(each.worker in {"thread-0", "thread-1"}, each.items, each.attempt) for each in look.workers] == [
            (True, 1, 1)
        ]
        again = view.look(created + 8)
        assert again.snapshot.elapsed == pytest.approx(8)
        gate.let_out.set()
        assert len(list(outcomes)) == 1
    last = view.look(created + 9)
    assert (last.state, last.ended, last.all_ok, last.snapshot.done) == ("ended", True, False, 4)
    assert last.workers == ()
    assert "4 done · 3 ok · 1 failed" in _watch.lines(last)[0]


def test_a_run_that_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with raddle.run(abs, range(100), backend="serial", journal=path, name="s") as run:
        outcomes = iter(run)
        next(outcomes)
        run.cancel("enough")
        list(outcomes)
    look = watched(path, "s").look(0.0)
    assert (look.state, look.ended, look.all_ok, look.snapshot.stopping) == ("stopped", True, False, "enough")


def test_another_file_in_its_place(tmp_path: Path) -> None:
    for name in ("one.db", "two.db"):
        list(raddle.run(abs, range(3), backend="serial", journal=tmp_path / name, name="half"))
    view = watched(tmp_path / "one.db")
    assert view.look(0.0).all_ok
    (tmp_path / "two.db").rename(tmp_path / "one.db")
    with pytest.raises(ConfigError, match=r"another file has taken its place; watch again"):
        view.look(1.0)
    (tmp_path / "one.db").unlink()
    with pytest.raises(JournalError, match="does not exist"):
        view.look(2.0)


KILLED = """
import sys, time, raddle
def item(n):
    if n:
        print("ready", flush=True)
        time.sleep(600)
run = raddle.run(item, range(2), backend="threads", workers=1, journal=sys.argv[1], name="killed")
for _ in run:
    pass
"""


def test_a_run_that_is_killed_is_seen_as_interrupted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.db"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert main(["runs", "watch", "killed", "--journal", str(path), "--once"]) == 0
        out = capsys.readouterr().out
        assert out.startswith("killed: 1 of 2 (50 %)")
        assert "thread-0: 1 item for" in out
        child.kill()
    assert main(["runs", "watch", "killed", "--journal", str(path)]) == 1
    out = capsys.readouterr().out
    assert f"stopped: interrupted: process {child.pid} on" in out
    assert out.count("\n") == 1


@pytest.mark.parametrize(("items", "code"), [(range(1), 0), (range(2), 1)])
def test_the_exit_code_says_how_it_ended(tmp_path: Path, items: range, code: int) -> None:
    list(raddle.run(Gate(), items, backend="serial", journal=tmp_path / "runs.db", name="r", retry=0))
    assert main(["runs", "watch", "--journal", str(tmp_path / "runs.db")]) == code


# ------------------------------------------------------------------------------------------------- looking again


class Scripted:
    """Answers looks in turn; moves the clock."""

    def __init__(self, *answers: Look | Exception, took: float = 0.0) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.took = took
        self.slept: list[float] = []
        self.shown: list[Look] = []

    def look(self, now: float) -> Look:
        self.now += self.took
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def follow(self, interval: float) -> Look:
        return _watch.follow(
            self,  # type: ignore[arg-type]
            self.shown.append,
            interval,
            wall=lambda: self.now,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def at(done: int, *, state: str = "running") -> Look:
    return Look(state, Snapshot(name="x", ok=done, total=9, ended=state != "running"), ())


BUSY = JournalError("busy")


def test_a_journal_that_is_busy_for_a_moment() -> None:
    end = at(9, state="ended")
    script = Scripted(at(1), BUSY, BUSY, at(5), end)
    assert script.follow(2.0) is end
    assert [look.snapshot.done for look in script.shown] == [1, 5, 9]
    assert script.slept == [2.0] * 4


@pytest.mark.parametrize(
    ("answers", "shown"),
    [
        ([BUSY], 0),
        ([at(1), *[BUSY] * 9], 1),
        ([at(1), JournalDamaged("broken")], 1),
        ([at(1), ConfigError("replaced")], 1),
    ],
)
def test_a_journal_that_stays_away(answers: list[Look | Exception], shown: int) -> None:
    script = Scripted(*answers)
    with pytest.raises((JournalError, ConfigError)):
        script.follow(2.0)
    assert len(script.shown) == shown
    assert script.now <= 18


def test_looking_takes_a_tenth_of_the_time_at_most() -> None:
    script = Scripted(at(1), at(2), at(9, state="ended"), took=3.0)
    script.follow(0.5)
    assert script.slept == [30.0, 30.0]


def test_pace() -> None:
    buckets = [Bucket(float(start), 4.0, 10, 2) for start in range(100, 140, 4)]
    pace = Pace(buckets, 120, 140.0)
    assert pace.rate(140.0) == pytest.approx(3.0)  # of the last three buckets
    for second in range(1, 30):
        pace.add(120 + 7 * second, 140.0 + second)
    assert pace.rate(169.0) == pytest.approx(7.0)
    assert pace.rate(183.0) == pytest.approx(70 / 24)  # nothing new came since
    assert Pace([], 0, 5.0).rate(6.0) is None


def test_workers_and_what_they_have() -> None:
    leases = [Lease("w-0", 90.0, 3, 1), Lease("w-0", 95.0, 5, 2), Lease("w-1", 80.0, 1, 1)]
    assert busy(leases, 100.0) == (Busy("w-1", 20.0, 1, 1), Busy("w-0", 10.0, 8, 2))


def test_many_workers_and_a_low_terminal() -> None:
    from rich.console import Console

    look = Look("running", Snapshot(name="x", workers=64), busy([Lease(f"w-{n}", 0.0, 1, 1) for n in range(64)], 5.0))
    assert _watch.lines(look)[-1] == "and 56 more workers"
    console = Console(width=40, height=12, force_terminal=True)
    with console.capture() as capture:
        console.print(_watch.painted(look, 12))
    assert "and 62 more workers" in capture.get()
    assert len(capture.get().splitlines()) <= 12


def test_all_ok_needs_all() -> None:
    assert at(9, state="ended").all_ok
    assert not at(9, state="interrupted").all_ok
    assert not Look("ended", Snapshot(ok=8, crashed=1, ended=True), ()).all_ok
    assert Status("ok") is Status.OK


# -------------------------------------------------------------------------------------------------- on a terminal


def on_a_terminal(path: Path, until: bytes, number: int, **environment: str) -> tuple[int, bytes]:
    """Watch on a terminal until it shows something, then send a signal; return the exit code and all output."""
    ours, theirs = pty.openpty()
    names = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    child = subprocess.Popen(
        [sys.executable, "-m", "raddle", "runs", "watch", "--journal", str(path), "--interval", "0.1"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=names | {"TERM": "xterm-256color", "COLUMNS": "60", "LINES": "24"} | environment,
    )
    os.close(theirs)
    shown, sent = b"", False
    try:
        while piece := _read(ours):
            shown += piece
            if until in shown and not sent:
                sent = True
                child.send_signal(number)
    finally:
        os.close(ours)
        child.kill() if not sent else None
    return child.wait(60), shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # how Linux tells that the other side is closed
        return b""


@pytest.mark.parametrize(
    ("number", "code", "environment"),
    [(signal.SIGINT, 130, {}), (signal.SIGTERM, 143, {"NO_COLOR": "1"})],
)
def test_on_a_terminal_and_no_longer(tmp_path: Path, number: int, code: int, environment: dict[str, str]) -> None:
    path = tmp_path / "runs.db"
    with half_done(path) as (gate, outcomes):
        found, shown = on_a_terminal(path, b"2 ok", number, **environment)
        assert found == code
        assert (COLOUR.search(shown) is None) is ("NO_COLOR" in environment)
        assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1  # the cursor is back
        gate.let_out.set()
        assert [outcome.status for outcome in outcomes] == [Status.OK]  # the run did not notice
