"""What does it cost to lose nothing? Durable outcomes a second, and what an item costs that is there already.

    python benchmarks/journal.py [--folder FOLDER]

Items do nothing, so all that is measured is the engine and its journal, end to end: each outcome is committed
(`synchronous=FULL`, the default) before it is yielded, and the file is closed at the end. 'again' is the same call with
`resume=True`, when every item has its outcome. By hand: `executemany` on one table of such columns, same settings,
without an index on the id, an engine, a lock or a thread: about what SQLite can do at most.

FOLDER should be on a real disk; the file system is printed, for tmpfs makes all of this cheap.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _items
import raddle
from _common import Calls, Entry, Options, Report, chosen, measure, number, parse, ratio, serve, spread
from _peers import exhaust

if TYPE_CHECKING:
    import argparse

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def ours(folder: str, backend: str, count: int) -> dict[str, Any]:
    path = Path(fresh(folder)) / "runs.db"
    with raddle.run(_items.nothing, range(1000), backend=backend, journal=path.with_name("warm.db")) as run:
        exhaust(run)

    def once(*, resume: bool) -> float:
        began = time.perf_counter()
        options: dict[str, Any] = {"backend": backend, "journal": path, "name": "bench", "resume": resume}
        with raddle.run(_items.nothing, range(count), **options) as run:
            got = exhaust(run)
        seconds = time.perf_counter() - began
        assert run.summary.ok == got == count, run.summary
        assert run.summary.resumed == (count if resume else 0), run.summary
        return seconds

    figures = {"us": once(resume=False) / count * 1e6, "again": once(resume=True) / count * 1e6}
    return done(path.parent, figures, count)


def by_hand(folder: str, count: int, batch: int) -> dict[str, Any]:
    path = Path(fresh(folder)) / "runs.db"
    began = time.perf_counter()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute(
        "create table outcomes (position integer primary key, id blob, status integer, attempts integer, "
        "started real, seconds real, value blob) strict"
    )
    for first in range(0, count, batch):
        rows = [
            (index, digest(index), 0, 1, 0.0, 1e-6, index.to_bytes(8, "big"))
            for index in range(first, min(first + batch, count))
        ]
        connection.execute("begin immediate")
        connection.executemany("insert into outcomes values (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("commit")
    connection.close()
    seconds = time.perf_counter() - began
    connection = sqlite3.connect(path)
    began = time.perf_counter()
    known = {row[0] for row in connection.execute("select id from outcomes")}
    assert all(digest(index) in known for index in range(count))
    again = time.perf_counter() - began
    return done(path.parent, {"us": seconds / count * 1e6, "again": again / count * 1e6}, count)


def digest(index: int) -> bytes:
    return hashlib.blake2b(index.to_bytes(8, "big"), digest_size=16).digest()


def disk_cache(folder: str, count: int) -> dict[str, Any]:
    import diskcache

    folder = fresh(folder)
    cached = diskcache.Cache(folder).memoize()(_items.nothing)
    return done(Path(folder), twice(cached, count), count)


def joblib_memory(folder: str, count: int) -> dict[str, Any]:
    import joblib

    folder = fresh(folder)
    return done(Path(folder), twice(joblib.Memory(folder, verbose=0).cache(_items.nothing), count), count)


def twice(cached: Any, count: int) -> dict[str, Any]:
    marks = [time.perf_counter()]
    for _ in range(2):
        for index in range(count):
            cached(index)
        marks.append(time.perf_counter())
    return {"us": (marks[1] - marks[0]) / count * 1e6, "again": (marks[2] - marks[1]) / count * 1e6}


def fresh(folder: str) -> str:
    return tempfile.mkdtemp(dir=folder)


def done(folder: Path, figures: dict[str, Any], count: int) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "warm" not in path.name)
    shutil.rmtree(folder)
    return {**figures, "bytes": size / count}


CALLS: Calls = {"ours": ours, "by_hand": by_hand, "disk_cache": disk_cache, "joblib_memory": joblib_memory}

# --------------------------------------------------------------------------------------------------------- the script


def contestants(options: Options, folder: str) -> list[Entry]:
    many, few = options.pick(300_000, 5_000), options.pick(2_000, 100)

    def entry(name: str, call: str, count: int, needs: str = "", **params: Any) -> Entry:
        return Entry("journal", name, call, {"folder": folder, "count": count, **params}, needs, 120)

    return [
        entry("raddle threads", "ours", many, backend="threads"),
        entry("raddle processes", "ours", many, backend="processes"),
        entry("by hand, 1,000 rows a commit", "by_hand", many, batch=1000),
        entry("by hand, 1 row a commit", "by_hand", few, batch=1),
        entry("diskcache memoize", "disk_cache", few, "diskcache"),
        entry("joblib.Memory", "joblib_memory", few, "joblib"),
    ]


def file_system(folder: Path) -> str:
    """Return the type of the file system that the folder is on."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, name, *_ = line.split()
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, name
    return kind


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the files are written")


def main() -> None:
    options = parse(__doc__, rounds=3, extra=add_options)
    report = Report("Durable outcomes", options)
    with tempfile.TemporaryDirectory(prefix="raddle-bench-", dir=options.extra.folder) as folder:
        entries = chosen(contestants(options, folder), options)
        measure(entries, options)
        kind = file_system(Path(folder))
    best = min((e.median("us") or 1e9 for e in entries if e.ours), default=None)
    rows = []
    for entry in entries:
        micros = entry.median("us")
        rows.append(
            (
                entry.name,
                f"{entry.params['count']:,}",
                number(micros and 1e6 / micros, "{:,.0f}") or entry.trouble,
                number(micros),
                spread(entry.values("us")),
                ratio(best, micros),
                number(entry.median("again")),
                number(entry.median("bytes"), "{:.0f}"),
            )
        )
        if entry.ours and micros:
            rate = 1e6 / micros
            report.goal(
                f"durable outcomes a second, {entry.name}", ">= 150,000", rate, met=rate >= 150_000, form="{:,.0f}"
            )
    head = ("what", "items", "durable outcomes a second", "µs per item", "min – max", "raddle's best time / theirs")
    note = f"File system: {kind}. SQLite {sqlite3.sqlite_version}, synchronous=FULL for raddle and by hand."
    report.table((*head, "again, µs per item", "bytes per item"), rows, note=f"{note} CPUs: {os.cpu_count()}.")
    report.end(entries)


if __name__ == "__main__":
    serve(CALLS)
    main()
