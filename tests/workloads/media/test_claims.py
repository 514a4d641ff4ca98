"""One writer for each file, among threads and processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from raddle.errors import ConfigError
from raddle.workloads.media.replace.claims import claim

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from raddle.workloads.media.replace.claims import claim
with claim(sys.argv[1], 1, 2) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def test_a_second_claim_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = str(tmp_path / "state" / "claims")
    with claim(folder, 1, 2) as first, claim(folder, 1, 2) as second, claim(folder, 1, 3) as other:
        assert (first, second, other) == (True, False, True)
    with claim(folder, 1, 2) as again:
        assert again
    assert not any((tmp_path / "state" / "claims").iterdir())


def test_an_exception_ends_the_claim(tmp_path: Path) -> None:
    with pytest.raises(LookupError), claim(str(tmp_path), 1, 2):
        raise LookupError
    with claim(str(tmp_path), 1, 2) as again:
        assert again


def test_other_processes_count_and_a_killed_one_does_not(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"True\n"
        with claim(str(tmp_path), 1, 2) as mine:
            assert not mine
        child.send_signal(signal.SIGKILL)
        child.wait()
        with claim(str(tmp_path), 1, 2) as mine:
            assert mine


def test_never_two_at_once(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(200):
            with claim(str(tmp_path), 7, 7) as mine:
                if mine:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match=r"state folder=.* cannot be made .*: name another"),
        claim(str(tmp_path / "file" / "claims"), 1, 2),
    ):
        pass
