"""G16: SIGINT and SIGTERM at any moment: exit codes, whole lines, a journal that goes on, and a second one kills."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from typing import TYPE_CHECKING

import kit
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from report import Report

ITEMS = 200
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def start(folder: Path, *more: str) -> kit.Program:
    words = ["map", f"{kit.PROGRAMS}:slowly", str(folder / "items.txt"), "--input", "lines", "--workers", "2"]
    options = ["--journal", str(folder / "runs.db"), "--name", "s", "--resume", "--progress", "none"]
    return kit.Program.start([sys.executable, "-m", "raddle", *words, *options, *more], cwd=folder)


def numbers(out: str) -> list[str]:
    """Return the items of the outcomes that ended; every line must be whole JSON."""
    assert out == "" or out.endswith("\n"), out[-200:]
    return [line["item"] for line in map(json.loads, out.splitlines()) if line["status"] == "ok"]


@pytest.mark.timeout(3600)
@kit.counts(12, 500)
def test_signals_at_random_moments(count: int, seed: int, tmp_path: Path, report: Report) -> None:
    chance, done, folder = random.Random(seed), 0, tmp_path / "0"
    while done < count:
        seen: set[str] = set()
        folder = tmp_path / str(done)
        folder.mkdir()
        wanted = [f"{number}" for number in range(ITEMS)]
        (folder / "items.txt").write_text("\n".join(wanted) + "\n")
        ended = False
        while not ended and done < count:
            number = chance.choice([signal.SIGINT, signal.SIGTERM])
            ran = kit.size(folder / "ran")
            program = start(folder)
            if chance.random() < 0.8:
                while kit.size(folder / "ran") == ran and not program.ended:
                    time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.5))
            sent = kit.send(program.pid, number) and not program.ended
            code, out, err = program.finish()
            program.gone()
            done += 1
            seen |= set(numbers(out))
            # While it is still importing, the interpreter itself answers, by dying of the signal (for SIGINT with its
            # own KeyboardInterrupt), and so again when all is written; a shell shows the same 130 and 143. Before that,
            # while it imports `site`, it calls a SIGINT a fatal error.
            unborn = code == 1 and "Fatal Python error: init_" in err
            assert unborn or code in (0, CODES[number], -number), f"{number.name}: exit code {code}\n{err}"
            assert code != -number or len(numbers(out)) in (0, ITEMS)
            assert unborn or code == -signal.SIGINT or "Traceback" not in err, err
            assert code != 0 or len(numbers(out)) == ITEMS
            ended = code == 0
            report.add(signals=int(sent), stopped=int(code == CODES[number]), finished=int(ended))
            report.add(while_importing=int(unborn or code == -number))
        code, out, err = start(folder).finish()
        assert (code, numbers(out)) == (0, wanted), err
        assert seen <= set(wanted)
        assert kit.rows_of(folder / "runs.db") == {"ok": ITEMS}
        report.add(resumed_to_the_end=1)
    report.done()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["processes", "threads"])
@kit.counts(2, 30)
def test_a_second_signal_kills(count: int, backend: str, tmp_path: Path, report: Report) -> None:
    for round_ in range(count):
        folder = tmp_path / str(round_)
        folder.mkdir()
        (folder / "items.txt").write_text("1\nhang\n2\n3\n")
        number = [signal.SIGINT, signal.SIGTERM][round_ % 2]
        program = start(folder, "--grace", "60", "--backend", backend, "--unordered")
        try:
            kit.until(lambda folder=folder: kit.size(folder / "runs.db-wal"))
            time.sleep(0.3)
            kit.send(program.pid, number)
            time.sleep(0.3)
            assert not program.ended, "it is to wait for the item within its grace"
            began = time.monotonic()
            kit.send(program.pid, number)
            code, out, err = program.finish()
        finally:
            program.kill_all()
        assert code == CODES[number], err
        assert "Traceback" not in err
        assert sorted(numbers(out)) == ["1", "2", "3"]
        report.add(signals=2)
        report.most(ended_after_s=time.monotonic() - began)
    report.done()
