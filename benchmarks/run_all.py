"""Run all benchmarks in order, and write one report.

    make bench       (python benchmarks/run_all.py [SCRIPT ...] [--quick] [--out REPORT.md] [--json REPORT.json])

The tables appear on standard output as they come. The goals that are met and missed are listed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import machine, versions

HERE = Path(__file__).resolve().parent
SCRIPTS = ("overhead", "efficiency", "stream", "journal", "stop", "faults", "startup", "auto", "commands")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help=f"default: {' '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: shows that they work, not how fast")
    parser.add_argument("--no-peers", action="store_true", help="raddle alone")
    parser.add_argument("--full", action="store_true", help="also ten million items")
    parser.add_argument("--rounds", type=int, help="rounds per contestant, instead of each script's own number")
    parser.add_argument("--out", type=Path, help="write the report to this file too (Markdown)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    given = parser.parse_args()
    unknown = set(given.scripts) - set(SCRIPTS)
    if unknown:
        parser.error(f"SCRIPT={', '.join(sorted(unknown))}: choose from {' '.join(SCRIPTS)}")
    return given


def flags(given: argparse.Namespace) -> list[str]:
    found = [f"--{name.replace('_', '-')}" for name in ("quick", "no_peers", "full") if getattr(given, name)]
    return [*found, "--rounds", str(given.rounds)] if given.rounds else found


def run(script: str, options: list[str], folder: Path) -> tuple[str, dict[str, Any] | None]:
    """Run one script, print what it prints, and return it with its figures; None if it broke."""
    figures = folder / f"{script}.json"
    argv = [sys.executable, str(HERE / f"{script}.py"), *options, "--json", str(figures)]
    lines = []
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment) as child:
        assert child.stdout
        for line in child.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if child.returncode:
        lines.append(f"\n**{script}.py ended with exit code {child.returncode}.**\n\n")
        print(lines[-1])
    if not figures.exists():
        return "".join(lines), None
    found = dict(json.loads(figures.read_text(encoding="utf-8")))
    return "".join(lines), {**found, "exit_code": child.returncode}


def facts() -> str:
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{', '.join(f'{name}: {value}' for name, value in machine().items())}\n\n{packages}\n"


def goals(found: dict[str, dict[str, Any]]) -> str:
    lines = ["## Goals", "", "| goal | measured | wanted | |", "|---|---:|---:|---|"]
    for figures in found.values():
        for goal in figures["goals"]:
            met = "met" if goal["met"] else "**missed**"
            lines.append(f"| {goal['what']} | {goal['measured']} | {goal['goal']} | {met} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    given = parse()
    began = time.perf_counter()
    head = f"# Benchmarks of {time.strftime('%Y-%m-%d')}\n\n{facts()}"
    print(head)
    texts, found, broken = [head], {}, []
    with tempfile.TemporaryDirectory(prefix="raddle-bench-") as folder:
        for script in given.scripts or SCRIPTS:
            text, figures = run(script, flags(given), Path(folder))
            texts.append(text)
            if figures is None or figures["exit_code"]:
                broken.append(script)
            if figures is not None:
                found[script] = figures
    texts.append(f"{goals(found)}\n{(time.perf_counter() - began) / 60:.0f} minutes in all.\n")
    print(texts[-1])
    if given.out:
        given.out.write_text("\n".join(texts), encoding="utf-8")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    if broken:
        raise SystemExit(f"no figures, or not all: {', '.join(broken)}")


if __name__ == "__main__":
    main()
