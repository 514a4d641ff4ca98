"""What the benchmarks share beside `_child`: options, interleaved rounds, tables, and goals."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _child import Calls, Child, Entry, give_up_after, peak_mb, run_entry, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "WORKERS",
    "Calls",
    "Child",
    "Entry",
    "Options",
    "Report",
    "by_group",
    "chosen",
    "give_up_after",
    "machine",
    "measure",
    "number",
    "parse",
    "peak_mb",
    "ratio",
    "run_entry",
    "say",
    "serve",
    "spread",
    "versions",
]

WORKERS = len(os.sched_getaffinity(0))
PACKAGES = ("raddle", "joblib", "mpire", "pebble", "distributed", "ray", "aiometer", "diskcache", "numpy")


# ------------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True)
class Options:
    quick: bool
    peers: bool
    full: bool
    rounds: int
    only: str
    json: Path | None
    #: what the script itself asked for
    extra: argparse.Namespace

    def pick(self, usual: Any, quick: Any) -> Any:
        return quick if self.quick else usual

    def few(self, rounds: int) -> Options:
        """Return the same with at most so many rounds."""
        return replace(self, rounds=min(self.rounds, rounds))


def parse(doc: str | None, *, rounds: int, extra: Callable[[argparse.ArgumentParser], object] | None = None) -> Options:
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, not how fast")
    parser.add_argument("--no-peers", action="store_true", help="raddle alone")
    parser.add_argument("--full", action="store_true", help="also what takes long: see README.md")
    parser.add_argument("--rounds", type=int, help=f"rounds per contestant (default {rounds})")
    parser.add_argument("--only", default="", help="contestants whose group or name contains this")
    parser.add_argument("--json", type=Path, help="write facts, figures and goals to this file too")
    if extra:
        extra(parser)
    given = parser.parse_args()
    return Options(
        quick=given.quick,
        peers=not given.no_peers,
        full=given.full,
        rounds=given.rounds or (1 if given.quick else rounds),
        only=given.only,
        json=given.json,
        extra=given,
    )


# -------------------------------------------------------------------------------------------------------- rounds


def chosen(entries: Sequence[Entry], options: Options) -> list[Entry]:
    text = options.only.lower()
    return [
        entry
        for entry in entries
        if (options.peers or entry.ours or entry.name.startswith("bare"))
        and text in f"{entry.group} {entry.name}".lower()
    ]


def measure(entries: Sequence[Entry], options: Options, *, watch: bool = False) -> None:
    """Run all, round by round (A B C A B C), so that a noisy minute harms all alike."""
    for number in range(options.rounds):
        for entry in entries:
            if entry.installed and (not entry.rounds or number < entry.rounds):
                say(f"round {number + 1} of {options.rounds}: {entry.group}, {entry.name}")
                entry.results.append(run_entry(entry, watch=watch))


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


# -------------------------------------------------------------------------------------------------------- reports


@dataclass(frozen=True)
class Goal:
    what: str
    goal: str
    measured: str
    met: bool


@dataclass
class Report:
    """Tables as Markdown on standard output while they come, and all of it as JSON at the end."""

    title: str
    options: Options
    tables: list[dict[str, Any]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        print(f"## {self.title}\n")
        print(", ".join(f"{name}: {value}" for name, value in machine().items()))
        if self.options.quick:
            print("\n**--quick: these figures only show that the script works.**")
        print(flush=True)

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "", note: str = "") -> None:
        if title:
            print(f"### {title}\n")
        print("| " + " | ".join(head) + " |")
        print("|---" + "|---:" * (len(head) - 1) + "|")
        for row in rows:
            print("| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |")
        print(f"\n{note}\n" if note else "", flush=True)
        self.tables.append({"title": title, "head": list(head), "rows": [list(row) for row in rows], "note": note})

    def goal(self, what: str, goal: str, measured: float | None, *, met: bool, form: str = "{:.2f}") -> None:
        if measured is not None:
            self.goals.append(Goal(what, goal, form.format(measured), met))

    def end(self, entries: Sequence[Entry] = ()) -> None:
        for goal in self.goals:
            print(f"- {'met' if goal.met else '**missed**'}: {goal.what}: {goal.measured} (goal {goal.goal})")
        load = os.getloadavg()[0]
        print(f"\n{time.perf_counter() - self.began:.0f} s; load average at the end {load:.2f}.\n", flush=True)
        if self.options.json:
            everything = {
                "title": self.title,
                "machine": {**machine(), "versions": versions()},
                "tables": self.tables,
                "goals": [vars(goal) for goal in self.goals],
                "entries": [vars(entry) for entry in entries],
            }
            self.options.json.write_text(json.dumps(everything, default=str, indent=1), encoding="utf-8")
        broken = [entry.name for entry in entries if entry.ours and entry.installed and entry.trouble]
        if broken:
            raise SystemExit(f"no figures for: {', '.join(broken)}")


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "CPU": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "workers": WORKERS,
        "load average": round(os.getloadavg()[0], 2),
        "Linux": platform.release(),
        "Python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def number(value: float | None, form: str = "{:.2f}") -> str:
    return "" if value is None else form.format(value)


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    return f"{form.format(min(values))} – {form.format(max(values))}" if values else ""


def ratio(ours: float | None, theirs: float | None) -> str:
    return number(ours / theirs) if ours and theirs else ""


def by_group(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    for group in dict.fromkeys(entry.group for entry in entries):
        yield group, [entry for entry in entries if entry.group == group]
