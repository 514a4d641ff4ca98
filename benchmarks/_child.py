"""A fresh interpreter for every figure, a watchdog over it, and an end to whatever it left behind.

A script makes a list of `Entry`s; `run_entry` starts the same script again for one of them, told by the environment
what to do. So no pool, thread or import of one contestant weighs on the next, and one that hangs is a row that says so.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

_MARK, _SPEC, _OUT = "BENCH_MARK", "BENCH_SPEC", "BENCH_OUT"

Figures = dict[str, Any]
Calls = dict[str, Callable[..., Figures]]


@dataclass
class Entry:
    """One contestant in one question. `call` is the name of a function of the script's `CALLS`."""

    group: str
    name: str
    call: str
    params: dict[str, Any] = field(default_factory=dict)
    #: package that must be installed
    needs: str = ""
    #: seconds until the watchdog ends it
    limit: float = 60.0
    #: rounds it takes part in; 0: all
    rounds: int = 0
    results: list[Figures] = field(default_factory=list)

    @property
    def ours(self) -> bool:
        return self.name.startswith("raddle")

    @property
    def installed(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    @property
    def trouble(self) -> str:
        """What to print in place of figures; "" if there are some."""
        if not self.installed:
            return "not installed"
        if any("error" not in one for one in self.results):
            return ""
        return str(self.results[-1]["error"]) if self.results else "not run"

    def values(self, name: str) -> list[float]:
        return [one[name] for one in self.results if one.get(name) is not None]

    def median(self, name: str) -> float | None:
        values = self.values(name)
        return statistics.median(values) if values else None


def serve(calls: Calls) -> None:
    """In the interpreter that was started for one figure: take it, hand it over, and end."""
    spec = os.environ.get(_SPEC)
    if spec is None:
        return
    del os.environ[_SPEC]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts with &
    given = json.loads(spec)
    report(calls[given["call"]](**given["params"]))
    sys.stderr.flush()
    os._exit(0)  # what a peer does at exit is not the question here, and may take seconds


def report(figures: Figures) -> None:
    """Hand over what is known. May be called again: the last one counts."""
    path = Path(os.environ[_OUT])
    part = path.with_suffix(".part")
    part.write_text(json.dumps(figures), encoding="utf-8")
    part.replace(path)


def give_up_after(seconds: float, figures: Callable[[], Figures]) -> None:
    """Report what is known by then and end. A signal and not a thread: some contestants fork."""

    def ring(*_: object) -> None:
        report(figures())
        os._exit(0)

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)


class Child:
    """A fresh interpreter that runs one entry, in a session of its own."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._folder = tempfile.TemporaryDirectory(prefix="raddle-bench-")
        self.folder = Path(self._folder.name)
        self.marked = Marked()
        self._out, self._errors = self.folder / "figures.json", self.folder / "stderr"
        environment = {
            **os.environ,
            **self.marked.environment,
            _OUT: str(self._out),
            _SPEC: json.dumps({"call": entry.call, "params": entry.params}),
            "PYTHONWARNINGS": "ignore",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }
        with self._errors.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, Path(sys.argv[0]).resolve()],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._folder.cleanup()

    def ended_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """End what is left of it, and of all that it started."""
        self.marked.kill()
        self.process.wait()

    def figures(self, *, ended: bool) -> Figures:
        if self._out.exists():
            return dict(json.loads(self._out.read_text(encoding="utf-8")))
        if not ended:
            return {"error": f"hangs (ended after {self._entry.limit:.0f} s)"}
        lines = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1][:100].replace("|", "/") if lines else "no message"
        return {"error": f"exit code {self.process.returncode}: {last}"}


def run_entry(entry: Entry, *, watch: bool = False) -> Figures:
    """Run it in a fresh interpreter. `watch`: also sum the peak memory of the processes that it starts."""
    with Child(entry) as child:
        peaks = Peaks(child.marked, child.process.pid) if watch else None
        try:
            ended = child.ended_within(entry.limit)
        finally:
            more = peaks.stop() if peaks else {}
            child.end()
        return {**child.figures(ended=ended), **more}


class Marked:
    """Processes that carry our mark in their environment: a child, and whatever it started, in whatever session."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        self.environment = {_MARK: self.mark}
        self._known: dict[int, bool] = {}

    def pids(self) -> list[int]:
        """Those alive, zombies left out."""
        needle = f"{_MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    if needle in (entry / "environ").read_bytes() and not _is_zombie(entry):
                        found.append(int(entry.name))
                except OSError:
                    continue  # it ended meanwhile, or is somebody else's
        return found

    def kill(self) -> None:
        for _ in range(20):
            pids = self.pids()
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)


def _is_zombie(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


class Peaks:
    """Highest memory of the processes that a child starts: the sum of their peaks, looked at ten times a second."""

    def __init__(self, marked: Marked, parent: int) -> None:
        self._marked, self._parent = marked, parent
        self._peaks: dict[int, float] = {}
        self._over = Event()
        self._thread = Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            for pid in self._marked.pids():
                if pid != self._parent:
                    try:
                        self._peaks[pid] = peak_mb(pid)
                    except OSError:
                        continue

    def stop(self) -> Figures:
        self._over.set()
        self._thread.join()
        return {"children_mb": sum(self._peaks.values()), "children": len(self._peaks)}


def peak_mb(pid: int | str = "self") -> float:
    """Highest resident memory so far. Not `ru_maxrss`, which remembers the program before an exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1000
    return 0.0
