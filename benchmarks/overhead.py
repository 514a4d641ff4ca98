"""What one item costs when the work itself costs nothing: raddle beside what people use today.

    make bench                                        (or: python benchmarks/overhead.py --json FILE)

Every figure is the wall time of one whole call, from making the pool to having ended it, by the number of items.
The rounds are interleaved, so that a noisy minute harms all alike, and the median round counts. raddle runs with
its default settings; where a peer lives or dies by its chunksize, its default and the best of a few stand side by side.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raddle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

WORKERS = len(os.sched_getaffinity(0))
CHUNKSIZES = (32, 256, 2048, 16384)
PACKAGES = ("raddle", "joblib", "mpire")


def nothing(number: int) -> int:
    return number


def exhaust(results: Iterable[Any]) -> None:
    for _ in results:
        pass


def raddle_run(backend: str) -> Callable[[int], None]:
    def call(count: int) -> None:
        with raddle.run(nothing, range(count), backend=backend) as run:
            exhaust(run)

    return call


def thread_executor(count: int) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        exhaust(pool.map(nothing, range(count)))


def process_executor(chunksize: int) -> Callable[[int], None]:
    def call(count: int) -> None:
        with ProcessPoolExecutor(WORKERS) as pool:
            exhaust(pool.map(nothing, range(count), chunksize=chunksize))

    return call


def multiprocessing_pool(chunksize: int) -> Callable[[int], None]:
    def call(count: int) -> None:
        with multiprocessing.Pool(WORKERS) as pool:
            exhaust(pool.imap_unordered(nothing, range(count), chunksize=chunksize))

    return call


def joblib_parallel(prefer: str) -> Callable[[int], None]:
    def call(count: int) -> None:
        import joblib

        exhaust(joblib.Parallel(n_jobs=WORKERS, prefer=prefer)(joblib.delayed(nothing)(i) for i in range(count)))

    return call


def mpire_pool(start_method: str) -> Callable[[int], None]:
    def call(count: int) -> None:
        import mpire

        with mpire.WorkerPool(n_jobs=WORKERS, start_method=start_method) as pool:
            exhaust(pool.map(nothing, range(count)))

    return call


@dataclass
class Contestant:
    kind: str
    name: str
    call: Callable[[int], None]
    #: the slow ones get fewer items, so that nobody waits for minutes
    count: int
    needs: str = ""
    rounds: list[float] = field(default_factory=list)

    def run(self) -> None:
        started = time.perf_counter()
        self.call(self.count)
        self.rounds.append((time.perf_counter() - started) / self.count * 1e6)

    @property
    def installed(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None


def best_chunksize(make: Callable[[int], Callable[[int], None]], count: int) -> int:
    def seconds(chunksize: int) -> float:
        started = time.perf_counter()
        make(chunksize)(count)
        return time.perf_counter() - started

    return min(CHUNKSIZES, key=seconds)


def contestants(scale: float) -> list[Contestant]:
    many, some, few = int(400_000 * scale), int(100_000 * scale), int(20_000 * scale)
    executor_best = best_chunksize(process_executor, many)
    pool_best = best_chunksize(multiprocessing_pool, many)
    return [
        Contestant("threads", "raddle.run", raddle_run("threads"), many),
        Contestant("threads", "ThreadPoolExecutor.map", thread_executor, some),
        Contestant("threads", "joblib.Parallel", joblib_parallel("threads"), some, "joblib"),
        Contestant("threads", "mpire map", mpire_pool("threading"), many, "mpire"),
        Contestant("processes", "raddle.run", raddle_run("processes"), many),
        Contestant("processes", "ProcessPoolExecutor.map, chunksize 1 (default)", process_executor(1), few),
        Contestant(
            "processes", f"ProcessPoolExecutor.map, chunksize {executor_best}", process_executor(executor_best), many
        ),
        Contestant("processes", "Pool.imap_unordered, chunksize 1 (default)", multiprocessing_pool(1), few),
        Contestant("processes", f"Pool.imap_unordered, chunksize {pool_best}", multiprocessing_pool(pool_best), many),
        Contestant("processes", "joblib.Parallel", joblib_parallel("processes"), some, "joblib"),
        Contestant("processes", "mpire map", mpire_pool("fork"), many, "mpire"),
    ]


def machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    return {
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(),
        "workers": WORKERS,
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def table(entries: list[Contestant]) -> list[dict[str, Any]]:
    own = {entry.kind: statistics.median(entry.rounds) for entry in entries if entry.name == "raddle.run"}
    rows: list[dict[str, Any]] = []
    for entry in entries:
        micros = statistics.median(entry.rounds) if entry.rounds else None
        rows.append(
            {
                "backend": entry.kind,
                "what": entry.name,
                "items": entry.count,
                "us_per_item": micros,
                "rounds": entry.rounds,
                "raddle_time_to_theirs": own[entry.kind] / micros if micros else None,
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print("| backend | what | items | µs per item | min – max | raddle's time / theirs |")
    print("|---|---|---:|---:|---:|---:|")
    for row in rows:
        start = f"| {row['backend']} | {row['what']} | {row['items']:,} |"
        if row["us_per_item"] is None:
            print(start, "not installed | | |")
            continue
        spread = f"{min(row['rounds']):.2f} – {max(row['rounds']):.2f}"
        print(start, f"{row['us_per_item']:.2f} | {spread} | {row['raddle_time_to_theirs']:.2f} |")


@dataclass(frozen=True)
class Options:
    rounds: int
    scale: float
    json: Path | None


def parse() -> Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="rounds per contestant (default 3)")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply all item counts (default 1)")
    parser.add_argument("--json", type=Path, help="write facts and figures to this file too")
    given = parser.parse_args()
    return Options(rounds=given.rounds, scale=given.scale, json=given.json)


def main() -> None:
    options = parse()
    facts = machine()
    print(", ".join(f"{name}: {value}" for name, value in facts.items() if name != "versions"))
    print(", ".join(f"{name} {value}" for name, value in facts["versions"].items()))
    print()
    entries = contestants(options.scale)
    for _ in range(options.rounds):
        for entry in entries:
            if entry.installed:
                entry.run()
    rows = table(entries)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"options": asdict(options), "machine": facts, "rows": rows}, default=str))


if __name__ == "__main__":
    main()
