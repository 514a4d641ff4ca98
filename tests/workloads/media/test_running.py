"""Running a program: progress, complaints, standing still, taking too long."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import raddle
from raddle.errors import ConfigError
from raddle.workloads.media.tools.commands import Command
from raddle.workloads.media.tools.reading import Lines, Progress
from raddle.workloads.media.tools.running import run_commands, run_tool

FAKES = Path(__file__).with_name("fake_tools")


def fake(behaviour: str, *rest: object) -> list[str]:
    return [sys.executable, "-S", str(FAKES / "tool.py"), behaviour, *map(str, rest)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_good_one_tells_how_far_it_is(tmp_path: Path) -> None:
    parts: list[float] = []
    result = run_tool(fake("good", 8, tmp_path / "out"), duration=8.0, on_progress=parts.append, stall=30)
    assert result.ok
    assert (result.code, result.reason, result.errors, result.message) == (0, "", (), "")
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert (tmp_path / "out").read_bytes() == b"result"


def test_errors_on_stderr_count_even_with_exit_code_0() -> None:
    result = run_tool(fake("complains"))
    assert (result.code, result.ok) == (0, False)
    assert "error while decoding" in result.message


def test_no_more_than_the_tail_of_a_flood_is_kept() -> None:
    result = run_tool(fake("floods"))
    assert result.code == 3
    assert result.error_count == 20_000
    assert len(result.errors) == 40
    assert result.errors[-1].startswith("line 19999 ")
    assert max(map(len, result.errors)) <= 500


@pytest.mark.parametrize("behaviour", ["sleeps", "stands"])
def test_what_stands_still_is_ended(behaviour: str) -> None:
    result = run_tool(fake(behaviour), stall=1.0)
    assert (result.code, result.reason, result.ok) == (None, "stalled", False)
    assert result.seconds < 60
    assert "got no further" in result.message


def test_what_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    told = tmp_path / "child"
    result = run_tool(fake("stubborn", told), stall=1.0, grace=0.2)
    assert result.reason == "stalled"
    wait_for_end(int(told.read_text()))


def test_the_hard_limit() -> None:
    result = run_tool(fake("stands"), stall=None, hard=0.5, grace=0.2)
    assert (result.code, result.reason) == (None, "timeout")
    assert "took too long" in result.message


def test_a_file_that_grows_is_progress(tmp_path: Path) -> None:
    assert run_tool(fake("writes", tmp_path / "out"), stall=1.2, watch=str(tmp_path / "out")).ok


def test_mkvmerge_says_1_for_warnings() -> None:
    result = run_tool([str(FAKES / "mkvmerge")])
    assert (result.code, result.warnings, result.ok) == (1, ("odd header",), True)
    result = run_tool([str(FAKES / "mkvmerge"), "2"])
    assert not result.ok
    result = run_tool(fake("warns"))
    assert (result.code, result.ok) == (1, False), "1 means a failure for all others"


def test_mkvtoolnix_complains_on_stdout() -> None:
    result = run_tool(fake("refuses"))
    assert result.errors == ("The file could not be opened",)


def test_a_program_that_is_not_there_is_a_failure() -> None:
    result = run_tool(["/nowhere/ffmpeg", "-version"])
    assert result.code == 127
    assert "not found" in result.message


def test_an_exception_of_the_listener_ends_the_program() -> None:
    def burst(part: float) -> None:
        raise LookupError(f"part={part}")

    with pytest.raises(LookupError, match="part="):
        run_tool(fake("good", 8, os.devnull), duration=8.0, on_progress=burst)


def test_commands_share_one_progress_and_stop_at_the_first_failure(tmp_path: Path) -> None:
    parts: list[float] = []
    one = Command(tuple(fake("good", 8, tmp_path / "a")), "ffmpeg", 0.5, 8.0)
    two = Command(tuple(fake("good", 4, tmp_path / "b")), "ffmpeg", 0.5, 4.0)
    assert run_commands([one, two], staged=str(tmp_path / "b"), on_progress=parts.append).ok
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert 0.5 in parts
    bad = Command(tuple(fake("complains")), "ffmpeg", 0.5)
    never = Command(tuple(fake("good", 4, tmp_path / "c")), "ffmpeg", 0.5)
    assert not run_commands([bad, never], staged=str(tmp_path / "c")).ok
    assert not (tmp_path / "c").exists()


def test_a_run_that_is_killed_takes_the_program_with_it(tmp_path: Path) -> None:
    told = tmp_path / "child"

    def work(path: Path) -> None:
        run_tool(fake("stubborn", path), stall=None, grace=0.2)

    with raddle.run(work, [told], backend="threads", grace=0.5) as run:
        watcher = threading.Thread(target=kill_when_there, args=(run, told))
        watcher.start()
        (outcome,) = run
        watcher.join()
    assert not outcome.ok
    wait_for_end(int(told.read_text()))


def kill_when_there(run: Any, path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        os.sched_yield()
    run.kill()


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 60
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive(pid)


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="stall=0: give seconds above 0"):
        run_tool(["true"], stall=0)
    with pytest.raises(ConfigError, match="nothing to run"):
        run_commands([], staged="x")


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # one of its own: others make files in theirs
    run_tool(["true"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "moved", "fraction"),
    [
        (["frame=1", "frame=1"], [True, False], 0.0),
        (["out_time_us=5000000"], [True], 0.5),
        (["out_time_us=-20000", "out_time_us=N/A"], [True, True], 0.0),
        (["out_time_us=20000000"], [True], 1.0),
        (["out_time_us=5000000", "out_time_us=4000000"], [True, True], 0.5),
        (["speed=1.0x", "speed=2.0x", "bitrate=1"], [False, False, False], 0.0),
        (["progress=end"], [False], 1.0),
        (["#GUI#progress 10%", "#GUI#progress 10%"], [True, False], 0.1),
        (["#GUI#warning x", "#GUI#error y", "#GUI#end"], [False, False, False], 0.0),
    ],
)
def test_progress(lines: list[str], moved: list[bool], fraction: float) -> None:
    progress = Progress(10.0)
    assert [progress.take(line) for line in lines] == moved
    assert progress.fraction == fraction


def test_lines_are_put_together_from_parts() -> None:
    lines = Lines()
    assert [lines.feed(part) for part in (b"ab", b"c\nd", b"\r\n\n", b"\xff\n")] == [[], ["abc"], ["d"], ["\ufffd"]]
    assert lines.feed(b"x" * 100_000) == []
    assert [len(line) for line in lines.end()] == [500]
