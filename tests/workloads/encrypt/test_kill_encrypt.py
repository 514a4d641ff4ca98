"""kill -9 in the middle of batches of real files, each resumed: all there, whole, and bit for bit what went in."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.workloads.encrypt.age import Keys
from raddle.workloads.encrypt.keys import read_identities
from raddle.workloads.encrypt.sealing import open_bytes

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from command_parts import argv, key, process, run, tree

if TYPE_CHECKING:
    from collections.abc import Callable

KILLS = [pytest.param(3, id="3"), pytest.param(30, id="30", marks=pytest.mark.chaos)]


def count(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def killed_at(words: list[object], out: Path, files: int) -> bool:
    """Run the command and kill it when so many files are there; False if it was faster."""
    with subprocess.Popen(argv(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as program:
        while program.poll() is None and count(out) < files:
            time.sleep(0.002)  # looked at from outside: there is no event to wait for
        program.kill()
        code = program.wait()
        assert code in {0, -9}, program.stderr and program.stderr.read()
    return code == -9


def kill_and_resume(words: list[object], out: Path, total: int, kills: int, check: Callable[[], None]) -> str:
    seed = int(os.environ.get("RADDLE_SEED", "0"))
    rng = random.Random(seed)
    moments = sorted(rng.randrange(1, total) for _ in range(kills))
    hit, seen = 0, 0
    for moment in moments:
        hit += killed_at(words, out, max(moment, seen + 1))
        check()  # whenever it died, what has a name is whole
        seen = count(out)
    process(*words)
    check()
    assert count(out) == total
    return f"seed={seed}: {hit} of {kills} kills hit a batch of {total} files at {moments}"


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize("how", ["seal", pytest.param("seal on processes", marks=pytest.mark.slow)])
@pytest.mark.timeout(900)
def test_sealing(how: str, kills: int, tmp_path: Path, data: Path) -> None:
    file, recipient = key(tmp_path)
    source = tree(data)
    identity = Keys(read_identities(file))
    out, journal = tmp_path / "out", tmp_path / "runs.db"
    words: list[object] = ["seal", f"{data}/.", "--recursive", "-o", out, "-r", recipient, "--journal", journal]
    words += ["--resume", "--workers", 2, *(["--backend", "processes"] if "processes" in how else [])]

    known: set[str] = set()

    def whole() -> None:
        for name, sealed in tree(out).items():
            if name not in known:
                assert name.endswith(".age")
                assert open_bytes(sealed, identity) == source[name.removesuffix(".age")]
                known.add(name)

    print(kill_and_resume(words, out, len(source), kills, whole))
    run("open", f"{out}/.", "--recursive", "-o", tmp_path / "back", "-i", file)
    assert tree(tmp_path / "back") == source
    assert not list(tmp_path.glob("*.published"))


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(900)
def test_opening(kills: int, tmp_path: Path, data: Path) -> None:
    file, recipient = key(tmp_path)
    source = tree(data / "furniture")
    run("seal", f"{data / 'furniture'}/.", "--recursive", "-o", tmp_path / "sealed", "-r", recipient)
    out = tmp_path / "out"
    words: list[object] = ["open", f"{tmp_path / 'sealed'}/.", "--recursive", "-o", out, "-i", file]
    words += ["--journal", tmp_path / "runs.db", "--resume", "--workers", 2]

    def whole() -> None:
        assert all(content == source[name] for name, content in tree(out).items())

    print(kill_and_resume(words, out, len(source), kills, whole))
    assert tree(out) == source


@pytest.mark.slow
@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(900)
def test_sketching(kills: int, tmp_path: Path, data: Path) -> None:
    pytest.importorskip("cv2", reason="the extra `encrypt` is not installed")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    good = sorted((data / "images/good").iterdir())
    for each in range(40):
        (pictures / f"{each:02}{good[each % len(good)].suffix}").write_bytes(good[each % len(good)].read_bytes())
    words: list[object] = ["sketch", f"{pictures}/.", "--recursive", "--workers", 2, "--size", "300x300", "-o"]
    process(*words, tmp_path / "whole")
    expected = tree(tmp_path / "whole")
    out = tmp_path / "out"

    def whole() -> None:
        assert all(content == expected[name] for name, content in tree(out).items())

    words += [out, "--journal", tmp_path / "runs.db", "--resume"]
    print(kill_and_resume(words, out, len(expected), kills, whole))
    assert tree(out) == expected
