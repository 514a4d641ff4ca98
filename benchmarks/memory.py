"""Memory over a lazy source: `python benchmarks/memory.py [ITEMS]`, 2 process workers, default settings.

Prints the program's resident memory on the way, and at the end the peak of the program and of its largest worker.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import raddle

if TYPE_CHECKING:
    from collections.abc import Iterator


def source(items: int) -> Iterator[bytes]:
    """Yield distinct items of 200 bytes."""
    for number in range(items):
        yield b"%0200d" % number


def work(item: bytes) -> int:
    return len(item)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1e3


def main() -> None:
    items = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    before = resident_mb()
    began = time.perf_counter()
    with raddle.run(work, source(items), backend="processes", workers=2) as run:
        for outcome in run:
            if (outcome.position + 1) % (items // 5 or 1) == 0:
                print(f"{outcome.position + 1:>12,} items  {resident_mb():6.1f} MB")
    seconds = time.perf_counter() - began
    print(f"{run.summary.ok:,} ok in {seconds:.1f} s: {seconds / items * 1e6:.2f} µs per item")
    peaks = f"{peak_mb(resource.RUSAGE_SELF):.1f} MB (worker: {peak_mb(resource.RUSAGE_CHILDREN):.1f} MB)"
    print(f"before: {before:.1f} MB, peak: {peaks}")


if __name__ == "__main__":
    main()
