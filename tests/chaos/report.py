"""What a chaos test counted, as one line of JSON for the table at the end and for the guarantees page."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def place() -> Path:
    """Where the lines go: RADDLE_CHAOS_REPORT, else build/chaos.jsonl of the repository."""
    return Path(os.environ.get("RADDLE_CHAOS_REPORT") or ROOT / "build/chaos.jsonl")


@dataclass
class Report:
    test: str
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    #: largest values and figures, which are not added up
    figures: dict[str, float] = field(default_factory=dict)
    #: a test that did not come this far has failed, and its counts say nothing
    passed: bool = False

    def add(self, **counts: int) -> None:
        self.counts.update(counts)

    def most(self, **figures: float) -> None:
        for name, value in figures.items():
            self.figures[name] = max(value, self.figures.get(name, value))

    def done(self) -> None:
        """Say that every assertion held."""
        self.passed = True

    def write(self, seconds: float, *, full: bool) -> None:
        if not self.passed:
            return
        shown = dict(self.counts) | {name: round(value, 3) for name, value in self.figures.items()}
        print(f"{self.test}: {shown}")
        if os.environ.get("RADDLE_CHAOS") != "1" and "RADDLE_CHAOS_REPORT" not in os.environ:
            return
        line = {
            "test": self.test,
            "full": full,
            "seed": self.seed,
            "seconds": round(seconds, 1),
            "python": platform.python_version(),
            "at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "counts": shown,
        }
        path = place()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
