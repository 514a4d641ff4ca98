"""`raddle exec` with real programs over real files: killed, resumed, interrupted, beside GNU parallel."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

RADDLE = [sys.executable, "-m", "raddle", "exec"]
WORKERS = 3
#: notes when it starts and ends; names, not paths, so that a line is written in one go
SCRIPT = 'echo "start {/}" >> log; sleep 0.05; sha256sum "{}"; echo "end {/}" >> log'


@pytest.fixture(scope="module")
def images(data: Path) -> list[Path]:
    found = sorted(path for path in (data / "images").rglob("*") if path.is_file())
    assert len(found) >= 10
    return found


@pytest.fixture
def many(images: list[Path], tmp_path: Path) -> list[Path]:
    """40 real images under names of their own, one of which is no text."""
    folder = tmp_path / "images"
    folder.mkdir()
    names = [f"{number} {path.name}".encode() for number, path in zip(range(39), images * 8, strict=False)]
    found = [folder / os.fsdecode(name) for name in (*names, b"\xff.jpg")]
    for path, image in zip(found, images * 8, strict=False):
        path.symlink_to(image)
    return found


def write_list(file: Path, paths: list[Path]) -> None:
    file.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))


def count(folder: Path, word: str) -> Counter[str]:
    log = folder / "log"
    text = log.read_bytes().decode("utf-8", "surrogateescape") if log.exists() else ""
    return Counter(line.removeprefix(f"{word} ") for line in text.splitlines() if line.startswith(f"{word} "))


def arguments(*more: str) -> list[str]:
    options = ["-j", str(WORKERS), "--journal", "runs.db", "--name", "hash", "--resume", "-a", "list"]
    return [*RADDLE, *options, *more, "--", "sh", "-c", SCRIPT]


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def descendants_alive(marker: str) -> list[int]:
    """Return the processes whose environment has the marker, zombies left out."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and marker.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def kill_in_the_middle(folder: Path, marker: str, after: int) -> None:
    """Start, wait until so many jobs have ended, kill -9, and wait until nothing of it is left."""
    environment = {**os.environ, "RADDLE_TEST_MARK": marker}
    before = count(folder, "end").total()
    with subprocess.Popen(arguments(), cwd=folder, env=environment, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: count(folder, "end").total() >= before + after or process.poll() is not None)
        process.kill()
    wait_for(lambda: not descendants_alive(marker))


def check(folder: Path, paths: list[Path], kills: int) -> None:
    done = subprocess.run(arguments("--json"), cwd=folder, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["item"] for record in records] == [str(path) for path in paths]
    for record, path in zip(records, paths, strict=True):
        # sha256sum marks a line whose file name it has to escape
        assert record["stdout"].removeprefix("\\").split()[0] == hashlib.sha256(path.read_bytes()).hexdigest()
    started, ended = count(folder, "start"), count(folder, "end")
    assert set(ended) == {path.name for path in paths}
    # Exactly once, but for what was in flight at a kill: at most one for each worker.
    assert sum(times - 1 for times in started.values()) <= kills * WORKERS
    again = subprocess.run(arguments("--json"), cwd=folder, capture_output=True, check=False, timeout=120)
    assert count(folder, "start") == started
    assert all(json.loads(line)["resumed"] for line in again.stdout.splitlines())


def test_killed_and_resumed_with_other_input(tmp_path: Path, many: list[Path]) -> None:
    new, *old = many
    write_list(tmp_path / "list", old)
    kill_in_the_middle(tmp_path, f"exec-{os.getpid()}-{tmp_path}", after=12)
    assert 12 <= count(tmp_path, "end").total() < len(old)
    # What GNU parallel --joblog --resume gets wrong: a line inserted above, and others in another order.
    changed = [new, *reversed(old)]
    write_list(tmp_path / "list", changed)
    check(tmp_path, changed, kills=1)


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_killed_many_times(tmp_path: Path, many: list[Path]) -> None:
    for seed in range(25):
        chance, folder = random.Random(seed), tmp_path / str(seed)
        folder.mkdir()
        paths, kills = list(many), chance.randrange(1, 5)
        for number in range(kills):
            chance.shuffle(paths)
            write_list(folder / "list", paths)
            kill_in_the_middle(folder, f"exec-{os.getpid()}-{seed}-{number}", after=chance.randrange(10))
        check(folder, paths, kills)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_lets_jobs_end(tmp_path: Path, number: signal.Signals) -> None:
    script = "touch {}; sleep 0.5; echo {}"
    command = [*RADDLE, "-j2", "--grace", "20", "--", "sh", "-c", script, ":::", *map(str, range(9))]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for((tmp_path / "1").exists)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert out == b"0\n1\n"
    assert f"{number.name}: starting nothing more; what runs has 20 s to end".encode() in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


@pytest.mark.parametrize("how", ["twice", "grace"])
def test_second_signal_or_the_end_of_grace_kills_jobs(tmp_path: Path, how: str) -> None:
    marker = f"exec-{os.getpid()}-{how}"
    script = "touch {}; trap '' TERM INT; (sleep 600; touch late) & wait"
    grace = "60" if how == "twice" else "0.3"
    command = [*RADDLE, "-j2", "--grace", grace, "--", "sh", "-c", script, ":::", "0", "1"]
    environment = {**os.environ, "RADDLE_TEST_MARK": marker}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for((tmp_path / "1").exists)
        process.send_signal(signal.SIGINT)
        if how == "twice":
            assert process.stderr is not None
            said = b""
            while b"Once more" not in said:
                said += process.stderr.readline()
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    wait_for(lambda: not descendants_alive(marker))
    assert not (tmp_path / "late").exists()


def test_standard_input_that_stays_open_does_not_hold_back_the_end(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*RADDLE, "echo"], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"a\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"a\n"  # at once, though the input goes on
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_retry_from_the_journal(tmp_path: Path) -> None:
    script = "echo {} >> ran; test {} != b -o -e good"
    command = [*RADDLE, "--journal", "runs.db", "--name", "job", "--", "sh", "-c", script, ":::", "a", "b", "c"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, timeout=120).returncode == 1
    (tmp_path / "good").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    retry = [sys.executable, "-m", "raddle", "runs", "retry", "job", "--journal", str(tmp_path / "runs.db")]
    done = subprocess.run(retry, cwd=elsewhere, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted((tmp_path / "ran").read_text().split()) == ["a", "b", "b", "c"]


@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
def test_the_same_output_as_gnu_parallel(tmp_path: Path, many: list[Path]) -> None:
    write_list(tmp_path / "list", many)
    words = ["-a", "list", "-j2", "echo", "{}", "{.}", "{/}", "{//}", "{/.}", "{#}"]
    theirs = subprocess.run(["parallel", "-k", *words], cwd=tmp_path, capture_output=True, check=True, timeout=120)
    ours = subprocess.run([*RADDLE, *words], cwd=tmp_path, capture_output=True, check=True, timeout=120)
    assert ours.stdout == theirs.stdout
