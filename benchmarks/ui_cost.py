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


def watch(url: str) -> None:
    """Do what the open page of the latest run does: listen, and ask for the rest as often as run.js does."""
    newest, due = "", dict.fromkeys(_ASKED, 0.0)
    with urllib.request.urlopen(f"{url}api/events", timeout=60) as answer:
        print("listening", flush=True)
        for line in answer:
            if not line.startswith(b"data:"):
                continue
            print("event", flush=True)
            going = [each["uid"] for each in json.loads(line[5:])["runs"] if each["state"] == "running"]
            if not going:
                continue
            if going[0] != newest:  # its page is opened
                newest, due = going[0], dict.fromkeys(_ASKED, 0.0)
            for path, seconds in _ASKED.items():
                if time.monotonic() >= due[path]:
                    urllib.request.urlopen(f"{url}api/journals/0/runs/{newest}/{path}", timeout=60).read()
                    print("answer", flush=True)
                    due[path] = time.monotonic() + seconds


@contextlib.contextmanager
def watcher(url: str, said: list[str]) -> Iterator[None]:
    """A process that watches, as a browser is one; at the end `said` has what it got."""
    with subprocess.Popen([sys.executable, __file__, "--watch", url], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        try:
            assert program.stdout.readline()
            yield
        finally:
            program.terminate()
            said += program.stdout.read().split()


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
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--watch", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch:
        watch(given.watch)
        return
    alone, watched, pages, said = [], [], [], list[str]()
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "runs.db"
        run(journal, 1000, "warm")
        with page(journal) as (url, pid):
            print(f"{given.items:,} items, {given.turns} turns")
            for turn in range(given.turns):
                for looked in (False, True) if turn % 2 == 0 else (True, False):
                    name = f"{turn}-{looked}"
                    if not looked:
                        alone.append(run(journal, given.items, name))
                        continue
                    with watcher(url, said):
                        before = cpu_of(pid)
                        watched.append(run(journal, given.items, name))
                        pages.append(cpu_of(pid) - before)
                print(f"turn {turn + 1}: {told(alone[-1])} alone, {told(watched[-1])} watched, page {pages[-1]:.2f} s")
    print(f"wall time, watched / alone: {spread([w.wall / a.wall for w, a in zip(watched, alone, strict=True)])}")
    print(f"CPU time of the run, the same: {spread([w.cpu / a.cpu for w, a in zip(watched, alone, strict=True)])}")
    part = statistics.median(page / cost.cpu for page, cost in zip(pages, watched, strict=True))
    print(f"CPU time of the page, as a part of the run's: {part:.2%} (goal: below 3 %)")
    events, answers = (said.count(word) / given.turns for word in ("event", "answer"))
    print(f"a watched run got {events:.1f} events and {answers:.1f} answers")


def spread(ratios: list[float]) -> str:
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"median {middle:.3f}, quartiles {low:.3f} to {high:.3f}"


def told(cost: Cost) -> str:
    return f"{cost.wall:.2f} s ({cost.cpu:.2f} s of CPU)"


if __name__ == "__main__":
    main()
