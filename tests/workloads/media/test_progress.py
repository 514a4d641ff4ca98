"""The line that tells how a run stands."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from media_command import CLEAR, ENCODE, argv, library, policy, run, watched

from raddle.workloads.media.batch.results import Result, printable, size_text
from raddle.workloads.media.batch.watching import Watch, describe, length_text


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))


@pytest.mark.parametrize(
    ("view", "counts", "said"),
    [
        ("compact", {"done": 3}, "Processing: 3/10 files [2 active]"),
        ("compact", {"done": 2, "failed": 1}, "Processing: 3/10 files [2 active, 1 failed]"),
        (
            "line",
            {"done": 2, "failed": 1, "unchanged": 1},
            "4/10 files · 2 active · 1 failed · 1 unchanged · 30.0 files/min · 12 s left · 1.5 MB saved",
        ),
    ],
)
def test_what_the_line_says(view: str, counts: dict[str, int], said: str) -> None:
    found = describe(view, Counter(counts), total=10, active=2, rate=0.5, eta=12.0, saved=1_500_000)
    assert found == said


def test_a_library_that_grows_says_so() -> None:
    found = describe("line", Counter(done=1), total=1, active=0, rate=None, eta=None, saved=-2000)
    assert found == "1/1 files · 0 active · 0 failed · 2.0 kB more"


@pytest.mark.parametrize(("seconds", "said"), [(0.44, "0.4 s"), (12, "12 s"), (185, "3:05 min"), (7389, "2:03:09 h")])
def test_lengths_of_time(seconds: float, said: str) -> None:
    assert length_text(seconds) == said


@pytest.mark.parametrize(("size", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (-2e12, "-2.0 TB")])
def test_sizes(size: float, said: str) -> None:
    assert size_text(size) == said


def test_what_could_move_the_cursor_is_written_out() -> None:
    assert printable("a\x1b[2J\n\udcffé\u202e") == "a\\x1b[2J\\n\\xffé\\u202e"


class Written(io.StringIO):
    """A stream that tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Semaphore(0)

    def flush(self) -> None:
        self.came.release()


@pytest.mark.parametrize("in_place", [True, False])
def test_the_line_is_painted_in_place_or_written_now_and_then(in_place: bool) -> None:
    stream = Written()
    with Watch(stream, "compact", 2, lambda: 1, in_place=in_place, every=0.01) as watch:
        assert stream.came.acquire(timeout=120)
        watch.add(Result(path="a", status="done"))
        watch.say("a word")
        assert all(stream.came.acquire(timeout=120) for _ in range(3))
        watch.add(Result(path="b", status="failed"))
    text = stream.getvalue()
    assert ("\r\x1b[K" in text) == in_place
    assert "Processing: 0/2 files [1 active]" in text
    assert "a word\n" in text
    assert text.endswith("Processing: 2/2 files [0 active, 1 failed]\n")


def test_somebody_who_stops_looking_does_no_harm() -> None:
    stream = Written()
    with Watch(stream, "line", 2, lambda: 1, every=0.01) as watch:
        stream.close()
        watch.say("nobody hears this")
        watch.add(Result(path="a", status="done"))


def test_nothing_but_the_result_goes_to_standard_output(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "plain")
    asked = policy(tmp_path, CLEAR)
    done = run("run", asked, films, "--json", "--workers", "99")
    assert all(line.startswith("{") for line in done.stdout.splitlines())
    assert "--workers=99 is taken as" in done.stderr
    assert "2/2 files · 0 active · 0 failed" in done.stderr
    assert run("run", asked, films, "--progress", "none").stderr == ""
    assert run("run", asked, films, "--progress", "compact").stderr == "Processing: 2/2 files [0 active]\n"


@pytest.mark.parametrize(
    ("view", "said"),
    [("auto", rb"0/2 files \xc2\xb7 2 active \xc2\xb7 0 failed"), ("live", rb"00-plain.mkv: \d+ %  encode")],
)
def test_on_a_terminal(tmp_path: Path, view: str, said: bytes) -> None:
    config, _, environment = watched(tmp_path, "slow", FAKE_SECONDS="1")
    films = library(tmp_path / "films", "plain", "plain")
    words = argv("run", policy(tmp_path, ENCODE), films, "--config", config, "--progress", view, "--encodes", "2")
    ours, theirs = pty.openpty()
    env = {**os.environ, **environment, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=env)
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        seen += part
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0, out
    assert re.search(said, seen), seen
    assert b"\x1b" not in out
    assert out.startswith(b"2 files: 2 done")
