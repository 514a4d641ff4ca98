"""What an open page costs a run: 100,000 items with a watcher and without, by turns.

`raddle ui` runs in a process of its own, and a client reads its events as an open page does: the stream, and what the
page asks for every two or three seconds. The machine's processors are shared by all, so that this is what a run loses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import raddle

if TYPE_CHECKING:
    from collections.abc import Iterator

#: what the page of a run asks for while it goes on, and at most how often, in seconds
_ASKED = {"activity": 2.0, "problems": 3.0, "items?order=newest&limit=50": 2.0}


def work(item: int) -> int:
    """Take about 50 µs."""
    return sum(range(item % 7 + 2000))


class Cost(NamedTuple):
    """Seconds."""

    wall: float
    cpu: float


def run(journal: Path, items: int, name: str) -> Cost:
    """Return what a run cost."""
    began = time.perf_counter()
    before = _cpu()
    with raddle.run(work, range(items), backend="processes", workers=2, journal=journal, name=name) as going:
        for _ in going:
            pass
    return Cost(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    """Return the CPU time of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def cpu_of(pid: int) -> float:
    """Return the CPU time of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Watcher(threading.Thread):
    """Does what the open page of a run does: it listens, and asks for the rest as often as run.js does."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.name = name
        self.events = 0
        self._ended = threading.Event()

    def run(self) -> None:
        base, due = "", dict.fromkeys(_ASKED, 0.0)
        with urllib.request.urlopen(f"{self.url}api/events", timeout=60) as answer:
            for line in answer:
                if self._ended.is_set():
                    return
                if not line.startswith(b"data:"):
                    continue
                self.events += 1
                found = [each["uid"] for each in json.loads(line[5:])["runs"] if each["name"] == self.name]
                base = f"{self.url}api/journals/0/runs/{found[0]}" if found else base
                for path, seconds in _ASKED.items() if base else ():
                    if time.monotonic() >= due[path]:
                        urllib.request.urlopen(f"{base}/{path}", timeout=60).read()
                        due[path] = time.monotonic() + seconds

    def stop(self) -> None:
        # The end of the run is an event too, so that it sees this.
        self._ended.set()
        self.join(10)


@contextlib.contextmanager
def page(journal: Path) -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "raddle", "ui", str(journal), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            yield program.stdout.readline().split()[1], program.pid
        finally:
            program.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    alone, watched, pages, events = [], [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "runs.db"
        run(journal, 1000, "warm")
        with page(journal) as (url, pid):
            print(f"{given.items:,} items, {given.turns} turns")
            for turn in range(given.turns):
                for looked in (False, True) if turn % 2 == 0 else (True, False):
                    name = f"{turn}-{looked}"
                    before, watcher = cpu_of(pid), Watcher(url, name) if looked else None
                    if watcher:
                        watcher.start()
                    (watched if looked else alone).append(run(journal, given.items, name))
                    if watcher:
                        watcher.stop()
                        pages.append(cpu_of(pid) - before)
                        events += watcher.events
                print(f"turn {turn + 1}: {told(alone[-1])} alone, {told(watched[-1])} watched, page {pages[-1]:.2f} s")
    extra = [page / cost.cpu for page, cost in zip(pages, watched, strict=True)]
    walls = [cost.wall / base.wall for cost, base in zip(watched, alone, strict=True)]
    print(
        f"wall time: median ratio {statistics.median(walls):.3f}, best to best "
        f"{min(cost.wall for cost in watched) / min(cost.wall for cost in alone):.3f}"
    )
    print(
        f"CPU time of the run: best to best {min(cost.cpu for cost in watched) / min(cost.cpu for cost in alone):.3f}; "
        f"of the page, as a part of the run's: {statistics.median(extra):.2%} (goal: below 3 %); {events} events"
    )


def told(cost: Cost) -> str:
    return f"{cost.wall:.2f} s ({cost.cpu:.2f} s of CPU)"


if __name__ == "__main__":
    main()
