"""G1 to G5 and G23: programs killed with SIGKILL at random moments, and resumed until they end."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import kit
import pytest
from world import World, live_through

if TYPE_CHECKING:
    from report import Report


@pytest.mark.timeout(3600)
@kit.counts(12, 800)
def test_kills_of_a_program_on_processes(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    items, per_world = (400, 12) if count < 100 else (3000, 40)
    live_through(count, per_world=per_world, folder=tmp_path, items=items, chance=random.Random(seed), report=report)
    assert report.counts["kills"] >= count
    report.done()


@pytest.mark.timeout(3600)
@kit.counts(5, 200)
def test_kills_of_a_program_on_threads(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    items, per_world = (400, 5) if count < 50 else (3000, 40)
    live_through(
        count,
        per_world=per_world,
        folder=tmp_path,
        items=items,
        chance=random.Random(seed),
        report=report,
        backend="threads",
    )
    report.done()


class Writing(World):
    """Also looks at the files that the items write, as they are at the moment of each death."""

    def _harass(self, program: kit.Program, kills: int) -> None:
        super()._harass(program, kills)
        program.popen.wait()
        self.whole_files()

    def whole_files(self) -> dict[int, str]:
        keys = {}
        for path in Path(self.options["out"]).glob("*.txt"):
            number, key, filling, end = path.read_text().split(" ")
            assert (int(number), filling, end) == (int(path.stem), "x" * 5000, "end\n"), f"{path.name} is torn"
            keys[int(number)] = key
        return keys


@pytest.mark.timeout(3600)
@kit.counts(5, 500)
def test_effects_outside_are_there_once(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    """G4: files by rename, and rows under the idempotency key."""
    items, per_world = (150, 5) if count < 100 else (1000, 40)
    left, number = count, 0
    while left > 0:
        folder = tmp_path / f"world-{number}"
        (folder / "out").mkdir(parents=True)
        with closing(sqlite3.connect(folder / "out.db")) as db, db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE effect (key TEXT PRIMARY KEY, number INTEGER)")
        options = {"out": str(folder / "out"), "slowest": 0.003}
        world = Writing(folder, items, random.Random(f"{seed}-{number}"), report, options=options)
        left -= world.live(min(left, per_world))
        keys = world.whole_files()
        assert sorted(keys) == list(range(items))
        with closing(sqlite3.connect(folder / "out.db")) as db:
            assert dict(db.execute("SELECT number, key FROM effect")) == keys
        report.add(files=items, torn=0, rows=items)
        number += 1
    report.done()


@pytest.mark.timeout(3600)
@kit.counts(3, 200)
def test_a_stopped_worker_that_wakes_up_again_changes_nothing(
    count: int, seed: int, tmp_path: Path, report: Report
) -> None:
    """G2, G3: SIGSTOP past the timeout, then SIGCONT."""
    chance, left, number = random.Random(seed), count, 0
    while left > 0:
        folder = tmp_path / f"world-{number}"
        folder.mkdir()
        stops = min(left, 8)
        world = Sleeping(folder, 250 * stops, chance, report, options={"timeout": 0.2, "slowest": 0.01})
        left -= world.live(stops)
        number += 1
    assert report.counts["stopped"] >= count * 0.5
    report.done()


class Sleeping(World):
    """Instead of killing, stops a worker for longer than its timeout."""

    def _harass(self, program: kit.Program, kills: int) -> None:
        kit.until(lambda: kit.size(self.log) or program.ended)
        while self.kills < kills and not program.ended:
            time.sleep(self.chance.uniform(0, 0.05))
            workers = program.workers()
            if not workers:
                continue
            pid = self.chance.choice(workers)
            if kit.send(pid, signal.SIGSTOP):
                time.sleep(0.3 + self.chance.uniform(0, 0.05))
                # raddle has killed it by now, unless it was stopped between two items: then it goes on, harmless.
                if pid in kit.descendants(program.mark):
                    kit.send(pid, signal.SIGCONT)
                    self.report.add(woken_between_items=1)
                self.report.add(stopped=1)
                self.kills += 1


@pytest.mark.timeout(3600)
@kit.counts(2, 50)
def test_a_stopped_owner_keeps_its_journal(count: int, tmp_path: Path, report: Report) -> None:
    """G3, G10: a program that is stopped, with all its workers, and wakes up later, is still the only one."""
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        options = {
            "backend": "processes",
            "items": 100,
            "journal": str(folder / "runs.db"),
            "log": str(folder / "log"),
            "acks": str(folder / "acks"),
        }
        first = kit.start("journaled", **options)
        try:
            kit.until(lambda folder=folder: kit.size(folder / "log"))
            family = [first.pid, *kit.descendants(first.mark)]
            for pid in family:
                kit.send(pid, signal.SIGSTOP)
            arguments = {"journal": options["journal"], "name": "chaos", "resume": True}
            second = kit.run("refused", arguments=arguments, log=str(folder / "ran"))
            assert second["kind"] == "JournalLocked", second
            assert f"pid {first.pid} since" in second["text"]
            assert second["touched"] == []
            for pid in family:
                kit.send(pid, signal.SIGCONT)
            assert kit.result(first)["summary"]["ok"] == 100
        finally:
            first.kill_all()
        assert kit.Executions.read(folder / "log").check() == (0, 0)
        report.add(refusals=1)
    report.done()
