"""The memory guard on real worker processes: each test is a program of its own, so that only its memory counts.

The limit of the first tests is the caller's own (`memory="600MB"`); the last one is a real cgroup, where the machine
lets us make one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

MIB = 1 << 20

#: what all programs share: an item writes down when it had its memory, and gives it back at the end
PRELUDE = """
import json, os, sys, time
import raddle

LOG = sys.argv[1]

def note(*what):
    with open(LOG, "a") as log:
        log.write(json.dumps(what) + "\\n")

def take(megabytes, seconds, steps=1, nap=0.0):
    held = []
    for step in range(steps):
        held.append(bytearray(os.urandom(1) * (megabytes * 1_000_000 // steps)))
        time.sleep(nap)
    time.sleep(seconds)
    return sum(map(len, held))

def tell(run, **more):
    print(json.dumps({
        "outcomes": [[o.item, o.status, o.error.type if o.error else None, str(o.error or "")] for o in run],
        "ok": run.summary.ok, "crashed": run.summary.crashed, "lost": run.summary.workers_lost,
        "peak": run.summary.memory_peak, **more,
    }))
"""


def program(tmp_path: Path, code: str, *, prefix: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[Any]]:
    """Run `code`; return what it printed and what its items noted."""
    script, log = tmp_path / "program.py", tmp_path / "log"
    script.write_text(PRELUDE + textwrap.dedent(code))
    log.touch()
    result = subprocess.run(
        [*prefix, sys.executable, "-W", "error", script, log], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found, [json.loads(line) for line in log.read_text().splitlines()]


def most_at_once(notes: list[Any]) -> int:
    """Return how many items ran at once, from ["start" or "end", item, time]; a killed one has no end."""
    ends = {(item, pid) for what, item, pid, _ in notes if what == "end"}
    changes = sorted(
        (at, 1 if what == "start" else -1) for what, item, pid, at in notes if what == "end" or (item, pid) in ends
    )
    level = highest = 0
    for _, change in changes:
        level += change
        highest = max(highest, level)
    return highest


def test_what_does_not_fit_together_does_not_run_together(tmp_path: Path) -> None:
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            take(200, 0.4)
            note("end", item, os.getpid(), time.monotonic())

        with raddle.run(work, range(8), backend="processes", workers=4, memory="600MB") as run:
            tell(run)
        """,
    )
    assert found["ok"] == 8
    assert len({item for what, item, _, _ in notes if what == "end"}) == 8
    assert 1 <= most_at_once(notes) <= 3, "never all four"
    assert 0.3 < found["peak"] < 1.2


def test_without_a_limit_they_do(tmp_path: Path) -> None:
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            take(20, 0.6)
            note("end", item, os.getpid(), time.monotonic())

        with raddle.run(work, range(8), backend="processes", workers=4, memory=None) as run:
            tell(run)
        """,
    )
    assert found["ok"] == 8
    assert most_at_once(notes) == 4
    assert found["peak"] == 0


def test_an_item_that_fits_nowhere_is_killed_twice_and_the_others_end_ok(tmp_path: Path) -> None:
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            if item == 3:
                take(2000, 0, steps=100, nap=0.02)
            else:
                take(10, 0.05)
            note("end", item, os.getpid(), time.monotonic())

        with raddle.run(work, range(12), backend="processes", workers=4, memory="500MB") as run:
            tell(run)
        """,
    )
    bad = [outcome for outcome in found["outcomes"] if outcome[1] != "ok"]
    assert [outcome[:3] for outcome in bad] == [[3, "crashed", "raddle.errors.OutOfMemory"]]
    assert "twice" in bad[0][3]
    assert "memory was short" in bad[0][3]
    assert (found["ok"], found["crashed"], found["lost"]) == (11, 1, 2)
    # what was killed ran twice, and alone the second time
    begun = [at for what, item, _, at in notes if (what, item) == ("start", 3)]
    assert len(begun) == 2
    ended = {(item, pid): at for what, item, pid, at in notes if what == "end"}
    for what, item, pid, at in notes:
        if what == "start" and item != 3 and (item, pid) in ended:
            after_it = at > begun[1] and ended[item, pid] > at
            assert ended[item, pid] <= begun[1] or after_it


def test_a_big_item_that_fits_alone_ends_ok(tmp_path: Path) -> None:
    """Four that grow slowly to 280 MB in 500 MB: nobody can know it in time, so some are killed once, none twice."""
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            take(280, 0.1, steps=28, nap=0.04)
            note("end", item, os.getpid(), time.monotonic())

        with raddle.run(work, range(4), backend="processes", workers=4, memory="500MB") as run:
            tell(run)
        """,
    )
    assert found["ok"] == 4, found
    starts = [item for what, item, _, _ in notes if what == "start"]
    assert max(starts.count(item) for item in range(4)) <= 2


def test_a_kill_for_memory_uses_up_no_retry_and_touches_no_timeout(tmp_path: Path) -> None:
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            take(2000 if item == 0 else 5, 0, steps=100, nap=0.02 if item == 0 else 0)

        with raddle.run(work, range(3), backend="processes", workers=2, memory="400MB", retry=5, timeout=30) as run:
            tell(run)
        """,
    )
    assert (found["ok"], found["crashed"]) == (2, 1), found
    assert len([item for _, item, _, _ in notes if item == 0]) == 2


def test_threads_are_only_held_back(tmp_path: Path) -> None:
    found, _ = program(
        tmp_path,
        """
        def work(item):
            take(60, 0.3)

        with raddle.run(work, range(6), backend="threads", workers=6, memory="150MB") as run:
            tell(run)
        """,
    )
    assert (found["ok"], found["lost"]) == (6, 0)


@pytest.mark.parametrize("given", ["much", "0", "4"])
def test_a_limit_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, given: str) -> None:
    found, notes = program(
        tmp_path,
        f"""
        try:
            raddle.run(note, range(3), memory={given!r})
        except raddle.ConfigError as error:
            print(json.dumps({{"said": str(error)}}))
        """,
    )
    assert "4GiB" in found["said"]
    assert notes == []


# ------------------------------------------------------------------------------------------------------ real cgroup


def own_group() -> tuple[Path, str]:
    """Return the folder of our own memory cgroup, and the name of the file that limits it.

    Skips where there is none to be made.
    """
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes"
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max"
    pytest.skip("no cgroup has a memory controller here")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A cgroup of 512 MiB below our own."""
    parent, limit = own_group()
    group = parent / f"raddle-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(512 * MIB))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no cgroup can be made here: {error}")
    yield group
    for _ in range(100):  # its last process may still be on its way out
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{group} cannot be removed: processes are left")


def test_in_a_real_cgroup_the_kernel_never_has_to_kill(tmp_path: Path, cgroup: Path) -> None:
    found, notes = program(
        tmp_path,
        """
        def work(item):
            note("start", item, os.getpid(), time.monotonic())
            take(900 if item == 2 else 150, 0.1, steps=300 if item == 2 else 40, nap=0.02)
            note("end", item, os.getpid(), time.monotonic())

        with raddle.run(work, range(6), backend="processes", workers=4) as run:  # memory="auto"
            tell(run)
        """,
        prefix=("sh", "-c", f'echo $$ > {cgroup}/cgroup.procs && exec "$@"', "sh"),
    )
    bad = [outcome for outcome in found["outcomes"] if outcome[1] != "ok"]
    assert [outcome[:3] for outcome in bad] == [[2, "crashed", "raddle.errors.OutOfMemory"]]
    assert found["ok"] == 5
    assert 0.5 < found["peak"] <= 1.01
    assert most_at_once(notes) <= 3
    kills = (cgroup / "memory.oom_control", cgroup / "memory.events")
    text = "".join(path.read_text() for path in kills if path.exists())
    assert "oom_kill 0" in text


def test_in_a_real_cgroup_a_kill_by_the_kernel_costs_that_item_alone(tmp_path: Path, cgroup: Path) -> None:
    """Faster than anybody can look: the kernel is first."""
    found, _ = program(
        tmp_path,
        """
        def work(item):
            take(2000 if item == 2 else 20, 0.05)

        with raddle.run(work, range(8), backend="processes", workers=2) as run:
            tell(run)
        """,
        prefix=("sh", "-c", f'echo $$ > {cgroup}/cgroup.procs && exec "$@"', "sh"),
    )
    bad = [outcome for outcome in found["outcomes"] if outcome[1] != "ok"]
    assert [outcome[:2] for outcome in bad] == [[2, "crashed"]]
    assert bad[0][2] in {"raddle.errors.WorkerCrashed", "raddle.errors.OutOfMemory"}
    assert found["ok"] == 7
