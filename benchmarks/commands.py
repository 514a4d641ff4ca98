"""What does one command cost? `raddle exec` beside GNU parallel, xargs, and a thread pool of `subprocess.run`.

    python benchmarks/commands.py

The command is `echo`, once for each of 2,000 lines, two at a time. A figure is the wall time of the whole program by
the number of commands, its own start included. All lines must come out; where the order is kept, it is checked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from _common import WORKERS, Calls, Entry, Options, Report, chosen, measure, number, parse, ratio, serve, spread

# ---------------------------------------------------------------------------------------------- in a fresh interpreter


def shell(argv: list[str], count: int, *, ordered: bool) -> dict[str, Any]:
    lines = [f"line-{index}" for index in range(count)]
    text = "".join(line + "\n" for line in lines).encode()
    Path("lines").write_bytes(text)
    argv = [sys.executable if word == "PYTHON" else word for word in argv]
    began = time.perf_counter()
    with Path("lines").open("rb") as source:
        found = subprocess.run(argv, stdin=source, capture_output=True, check=False)
    seconds = time.perf_counter() - began
    printed = found.stdout.decode().splitlines()
    assert found.returncode == 0, f"exit code {found.returncode}: {found.stderr.decode()[-200:]}"
    assert (printed if ordered else sorted(printed)) == (lines if ordered else sorted(lines)), "lines are missing"
    return {"ms": seconds / count * 1e3}


def threads(count: int) -> dict[str, Any]:
    def one(index: int) -> bytes:
        return subprocess.run(["echo", f"line-{index}"], capture_output=True, check=True).stdout

    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        assert len(list(pool.map(one, range(count)))) == count
    return {"ms": (time.perf_counter() - began) / count * 1e3}


CALLS: Calls = {"shell": shell, "threads": threads}

# --------------------------------------------------------------------------------------------------------- the script


def contestants(options: Options) -> list[Entry]:
    count = options.pick(2000, 50)
    two = str(WORKERS)
    raddle = ["PYTHON", "-m", "raddle", "exec", "-j", two]
    parallel = ["parallel", "--will-cite", "-j", two]

    def entry(name: str, argv: list[str], *, ordered: bool = False, rounds: int = 0) -> Entry:
        params = {"argv": argv, "count": count, "ordered": ordered}
        return Entry("commands", name, "shell", params, "", 90, rounds)

    return [
        entry("raddle exec (keeps the order)", [*raddle, "--", "echo", "{}"], ordered=True),
        entry("raddle exec --journal", [*raddle, "--journal", "runs.db", "--", "echo", "{}"], ordered=True),
        entry("xargs -P", ["xargs", "-P", two, "-n1", "echo"]),
        Entry("commands", "ThreadPoolExecutor + subprocess.run", "threads", {"count": count}, "", 90),
        entry("GNU parallel -k (keeps the order)", [*parallel, "-k", "echo"], ordered=True, rounds=1),
        entry("GNU parallel --joblog", [*parallel, "--joblog", "log", "echo"], rounds=1),
    ]


def main() -> None:
    options = parse(__doc__, rounds=3)
    report = Report(f"Commands, {WORKERS} at a time", options)
    entries = chosen(contestants(options), options)
    missing = [entry for entry in entries if entry.params.get("argv") and not program_of(entry)]
    measure([entry for entry in entries if entry not in missing], options)
    ours = next((entry.median("ms") for entry in entries if entry.ours), None)
    rows = []
    for entry in entries:
        found = entry.median("ms")
        shown = "not installed" if entry in missing else number(found) or entry.trouble
        rows.append((entry.name, shown, spread(entry.values("ms")), ratio(ours, found)))
    report.table(("what", "ms per command", "min – max", "raddle exec's time / theirs"), rows)
    peer = next((entry.median("ms") for entry in entries if entry.name.startswith("GNU parallel -k")), None)
    if ours and peer:
        report.goal("ms per command, raddle exec", f"<= {peer:.2f} (GNU parallel -k)", ours, met=ours <= peer)
    report.end(entries)


def program_of(entry: Entry) -> str | None:
    name = entry.params["argv"][0]
    return sys.executable if name == "PYTHON" else shutil.which(name)


if __name__ == "__main__":
    serve(CALLS)
    main()
