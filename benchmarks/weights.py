"""How fast is `raddle weights`? Rows a second from file to results, and milliseconds and kilobytes a page.

    python benchmarks/weights.py [--users N] [--rows N] [--folder FOLDER]

Rows: a CSV file of made-up people (`raddle weights sample`: six sources, pounds, outliers, gaps, broken rows) is read,
filtered, stored (SQLite) and written (Parquet) by `raddle weights run --no-pages`, a fresh process each time, start-up
included, with one worker and with two; its peak memory is what the kernel says of it. Beside it the slow sequential
loop that the seeds describe, by hand: csv.DictReader, the same rules as plain Python one user after another, a JSON
file; with fewer users, since it takes long.

Pages: the same chart of the same 40 users by raddle, and as plotly's go.Figure with write_html, with plotly.js inlined
(its default) and beside it. And 10,000 pages by `raddle weights run`, all of it: the time that pages add.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _common import Options, Report, number, parse, ratio, say

if TYPE_CHECKING:
    import argparse

#: users of the peer's loop, and of the page comparison
PEER_USERS, PAGE_USERS = 200, 40


def main() -> None:
    options = parse(__doc__, rounds=3, extra=arguments)
    report = Report("weights", options)
    users = options.extra.users or options.pick(10_000, 300)
    with tempfile.TemporaryDirectory(dir=options.extra.folder) as name:
        folder = Path(name)
        file = folder / "rows.csv"
        raddle("sample", str(users), "-o", str(file), "--rows-per-user", str(options.extra.rows))
        for kernel in (False, True):  # the first use of the kernels compiles them, once per installation
            say(f"warm-up {kernel}")
            raddle("run", str(file), "-o", str(folder / "warm"), "--no-pages", "--workers", "2", "--progress", "none")
        few = folder / "few.csv"
        raddle("sample", str(PEER_USERS), "-o", str(few), "--rows-per-user", str(options.extra.rows))
        rows(report, options, folder, file, few)
        pages(report, options, folder, file)
    report.end()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=0, help="default 10,000")
    parser.add_argument("--rows", type=int, default=100, help="per user, about")
    parser.add_argument("--folder", type=Path, default=None, help="for files; default: the system's temporary folder")


# --------------------------------------------------------------------------------------------------------------- rows


def rows(report: Report, options: Options, folder: Path, file: Path, few: Path) -> None:
    runs: dict[str, list[dict[str, Any]]] = {"1": [], "2": [], "by hand": []}
    for turn in range(options.rounds):
        for workers in ("1", "2"):
            say(f"round {turn + 1} of {options.rounds}: {workers} workers")
            out = folder / f"out{workers}"
            argv = [
                "run",
                str(file),
                "-o",
                str(out),
                "--no-pages",
                "--workers",
                workers,
                "--progress",
                "none",
                "--json",
            ]
            runs[workers].append(raddle(*argv))
        if options.peers:
            say(f"round {turn + 1} of {options.rounds}: by hand")
            runs["by hand"].append(child(by_hand_source(few)))
    table = []
    best = {name: min(got, key=lambda run: run["wall"]) for name, got in runs.items() if got}
    speed = {name: run["rows"] / run["wall"] for name, run in best.items()}
    for name, run in best.items():
        told = "a sequential loop by hand" if name == "by hand" else f"raddle, {name} worker{'s' * (name != '1')}"
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in run.get("seconds", {}).items())
        table.append(
            [
                told,
                f"{run['rows']:,}",
                number(run["wall"]),
                f"{speed[name]:,.0f}",
                f"{run['peak_mb']:.0f}",
                ratio(speed[name], speed.get("by hand")),
                steps,
            ]
        )
    report.table(
        ["who", "rows", "s", "rows/s", "peak MB", "times the loop", "steps (s)"],
        table,
        title="From file to results, without pages",
        note="The best of the rounds; a fresh process each, its start and imports included.",
    )
    one, two = speed["1"], speed["2"]
    report.goal("rows/s with one worker", "at least 300,000", one, met=one >= 300_000, form="{:,.0f}")
    report.goal("two workers by one", "at least 1.6", two / one, met=two / one >= 1.6)
    peak = max(best["1"]["peak_mb"], best["2"]["peak_mb"])
    report.goal("peak memory, MB", "under 700", peak, met=peak < 700, form="{:.0f}")


def by_hand_source(file: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), "--by-hand", str(file)]


def by_hand(file: str) -> None:
    """Be the peer: read all rows, filter user by user in plain Python, write JSON. Says its rows on standard output."""
    import csv
    from datetime import UTC, datetime

    import numpy as np

    from raddle.workloads.weights.ingest.units import V2_KG, unit_code
    from raddle.workloads.weights.rules import load_rules
    from raddle.workloads.weights.values import Chunk

    grouped: dict[str, list[tuple[int, int, float, int, str]]] = {}
    count = 0
    with open(file, newline="", encoding="utf-8") as lines:  # noqa: PTH123 - as one writes it by hand
        for line, row in enumerate(csv.DictReader(lines), 2):
            count = line - 1
            try:
                when = datetime.fromisoformat(row["effectiveDateTime"])
                when = when if when.tzinfo else when.replace(tzinfo=UTC)
                value, unit = float(row["weight"]), unit_code(row["unit"])
            except ValueError:
                continue
            if not 0 < value * V2_KG[unit] <= 1000:
                continue
            said = (int(when.timestamp() * 1e6), line, value, unit, row["source_type"])
            grouped.setdefault(row["user_id"], []).append(said)
    rules = load_rules("v2", "balanced")
    results: dict[str, list[Any]] = {}
    for user, own in grouped.items():
        own.sort()
        names = sorted({row[4] for row in own})
        chunk = Chunk(
            users=(user,),
            starts=np.array([0, len(own)]),
            line=np.array([row[1] for row in own]),
            file=np.zeros(len(own), dtype=np.int64),
            time=np.array([row[0] for row in own]),
            value=np.array([row[2] for row in own]),
            unit=np.array([row[3] for row in own], dtype=np.uint8),
            source=np.array([names.index(row[4]) for row in own]),
            source_names=tuple(names),
            height_m=np.full(1, np.nan),
            unused=np.zeros(1, dtype=np.int64),
        )
        filtered = rules.begin(chunk, fast=False).whole()
        results[user] = [
            {"line": line, "weight": weight, "stage": stage, "values": values}
            for line, weight, stage, values in zip(
                chunk.line.tolist(),
                filtered.weight.tolist(),
                filtered.stage.tolist(),
                filtered.out.T.tolist(),
                strict=True,
            )
        ]
    Path(file).with_suffix(".json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    print(json.dumps({"rows_read": count, "seconds": {}}))


# -------------------------------------------------------------------------------------------------------------- pages


def pages(report: Report, options: Options, folder: Path, file: Path) -> None:
    argv = [sys.executable, str(Path(__file__).resolve()), "--pages", str(folder), str(file)]
    got = [child(argv) for _ in range(options.rounds)]
    names = list(got[0]["pages"])
    best = {name: min((run["pages"][name] for run in got), key=lambda figures: figures[0]) for name in names}
    table = [
        [name, number(ms), number(kb, "{:,.0f}"), ratio(best["raddle"][0], ms), ratio(best["raddle"][1], kb)]
        for name, (ms, kb) in best.items()
    ]
    report.table(
        ["who", "CPU ms a page", "kB a page", "raddle by theirs, time", "size"], table, title=f"{PAGE_USERS} pages"
    )
    ms, kb = best["raddle"]
    report.goal("CPU ms a page", "at most 1.5", ms, met=ms <= 1.5)
    report.goal("kB a page", "at most 90", kb, met=kb <= 90, form="{:.0f}")
    whole = [
        raddle("run", str(file), "-o", str(folder / "pages"), "--workers", "2", "--progress", "none", "--json")
        for _ in range(min(2, options.rounds))
    ]
    first = min(whole, key=lambda run: run["seconds"]["pages"])
    seconds, drawn = first["seconds"]["pages"], first["drawn"]
    share = f"{drawn:,} pages in {seconds:.1f} s, the whole run {first['wall']:.1f} s, peak {first['peak_mb']:.0f} MB"
    print(f"By `raddle weights run` with 2 workers: {share}.\n")
    if drawn >= 10_000:
        report.goal(f"s for {drawn:,} pages", "at most 20", seconds, met=seconds <= 20, form="{:.1f}")


def chart(shown: Any) -> Any:
    """Return a figure as one makes it by hand: the panels that a page of raddle has, the four of the original."""
    import numpy as np
    from plotly.subplots import make_subplots

    from raddle.workloads.weights.values import FIELDS

    when = shown.time.astype("datetime64[us]")
    taken = shown.stage <= 1
    said = dict(zip(FIELDS, shown.out, strict=True))
    figure = make_subplots(rows=4, cols=1, shared_xaxes=True)
    for source, name in enumerate(shown.source_names):
        own = taken & (shown.source == source)
        hover = [f"{name}<br>filtered {kg:.2f} kg" for kg in said["filtered_weight"][own]]
        figure.add_scatter(x=when[own], y=shown.weight[own], mode="markers", name=name, text=hover, row=1, col=1)
    why = [
        f"expected {kg:.1f} kg, {off:+.1f}" for kg, off in zip(said["filtered_weight"], said["innovation"], strict=True)
    ]
    out = np.flatnonzero(~taken)
    figure.add_scatter(
        x=when[out], y=shown.weight[out], mode="markers", name="rejected", text=[why[at] for at in out], row=1, col=1
    )
    line, sigma = said["filtered_weight"][taken], said["sigma"][taken]
    figure.add_scatter(x=when[taken], y=line + 2 * sigma, mode="lines", name="upper", row=1, col=1)
    figure.add_scatter(x=when[taken], y=line - 2 * sigma, mode="lines", fill="tonexty", name="lower", row=1, col=1)
    figure.add_scatter(x=when[taken], y=line, mode="lines", name="filtered weight", row=1, col=1)
    figure.add_scatter(x=when[taken], y=7 * said["trend"][taken], mode="lines", name="trend", row=2, col=1)
    figure.add_bar(x=when, y=said["innovation"], name="innovation", row=3, col=1)
    for name in FIELDS[-5:]:
        figure.add_scatter(x=when, y=said[name], mode="lines", name=name, row=4, col=1)
    figure.update_layout(title=shown.id, height=900)
    return figure


def compare_pages(folder: str, file: str) -> None:
    """Be the page comparison: draw the pages of some users three ways; say ms of CPU and kB a page."""

    from raddle.workloads.weights.arrange import arrange
    from raddle.workloads.weights.ingest.intake import ingest
    from raddle.workloads.weights.options import ReadOptions
    from raddle.workloads.weights.pages.page import user_page
    from raddle.workloads.weights.rules import load_rules
    from raddle.workloads.weights.values import Neighbours, person

    scratch = Path(folder) / "scratch"
    scratch.mkdir(exist_ok=True)
    with (scratch / "rejects.csv").open("w") as rejects:
        chunk = next(iter(ingest([Path(file)], ReadOptions(), rejects=rejects, scratch=scratch).chunks()))
    rules = load_rules("v2", "balanced")
    chunk = arrange(chunk, by_time=True).chunk
    filtered = rules.begin(chunk, fast=False).whole()
    people = [
        person(chunk, filtered, at, rules=rules.name, facts=rules.facts)
        for at in range(min(PAGE_USERS, len(chunk.users)))
    ]
    target = scratch / "page.html"

    def ours(at: int) -> None:
        target.write_bytes(user_page(people[at], Neighbours("a.html", "b.html"), mark="mark"))

    def theirs(at: int, library: str) -> None:
        chart(people[at]).write_html(target, include_plotlyjs=library or True)

    ways = {
        "raddle": ours,
        "plotly, go.Figure and write_html": lambda at: theirs(at, ""),
        "the same, plotly.js beside it": lambda at: theirs(at, "directory"),
    }
    told = {}
    for name, draw in ways.items():
        draw(0)
        began = time.process_time()
        size = 0
        for at in range(len(people)):
            draw(at)
            size += target.stat().st_size
        told[name] = ((time.process_time() - began) / len(people) * 1e3, size / len(people) / 1e3)
    print(json.dumps({"rows_read": 0, "seconds": {}, "pages": told}))


# ------------------------------------------------------------------------------------------------------------ children


def raddle(*arguments: str) -> dict[str, Any]:
    return child([sys.executable, "-m", "raddle", "weights", *arguments])


def child(argv: list[str]) -> dict[str, Any]:
    """Run a program; return what it printed as JSON, its wall seconds and its own peak memory."""
    began = time.perf_counter()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with exit code {process.returncode}")
    told = json.loads(text) if text.startswith("{") else {}
    return {
        "wall": wall,
        "peak_mb": usage.ru_maxrss * 1024 / 1e6,
        "rows": told.get("rows_read", 0),
        "seconds": told.get("seconds", {}),
        "drawn": told.get("pages", {}).get("drawn", 0) if isinstance(told.get("pages"), dict) else 0,
        "pages": told.get("pages", {}),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--by-hand"]:
        by_hand(sys.argv[2])
    elif sys.argv[1:2] == ["--pages"]:
        compare_pages(*sys.argv[2:])
    else:
        main()
