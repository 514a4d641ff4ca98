"""What is remembered from run to run, and the settings."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raddle.errors import ConfigError
from raddle.workloads.media.batch.permits import permits_for
from raddle.workloads.media.batch.results import Result
from raddle.workloads.media.policy.values import Policy, Step, Video
from raddle.workloads.media.settings import Settings, load_settings
from raddle.workloads.media.state import State, default_state, settled_files, totals

SOME = (1, 2, 3, 4)
#: device and inode of 64 bits, a time before 1970
ODD = (2**64 - 1, 2**63, 0, -5)


def result(status: Any, path: str = "/films/a.mkv", **more: Any) -> Result:
    return Result(path=path, status=status, **more)


def state(folder: Path, digest: str = "d") -> State:
    return State(folder, policy="policy.yaml", digest=digest)


#: the user is one that the system does not know, as in many a container
NO_HOME = """
import os
from raddle.errors import ConfigError
from raddle.workloads.media.state import default_state
os.setgroups([])
os.setuid(54321)
try:
    default_state()
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without a home")
def test_without_a_home_the_state_has_to_be_named() -> None:
    environment = {name: text for name, text in os.environ.items() if name not in {"HOME", "XDG_STATE_HOME"}}
    argv = [sys.executable, "-c", NO_HOME]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120, env=environment)
    assert "name one with --state" in done.stdout


# -------------------------------------------------------------------------------------------------------- state


def test_totals_over_runs(tmp_path: Path) -> None:
    with state(tmp_path) as first:
        first.add(result("done", size_before=1000, size_after=400, seconds=2.0))
        first.add(result("failed", "/films/b.mkv", reason="broken", size_before=500, size_after=500, seconds=1.0))
        first.add(result("unchanged", "/films/c.mkv", size_before=9, size_after=9))
        first.add(result("unchanged", "/films/d.mkv", size_before=9, size_after=9, resumed=True))
        first.add(result("cancelled", "/films/e.mkv"))
    with state(tmp_path) as second:
        second.add(result("failed", "/films/b.mkv", reason="still broken"))
        second.add(result("failed", "/films/f.mkv", reason="once"))
        second.add(result("done", "/films/f.mkv", size_before=100, size_after=50, seconds=3.0))
    found = totals(tmp_path)
    assert found["runs"] == 2
    assert found["files"] == {"done": 2, "failed": 3, "unchanged": 1, "skipped": 0, "cancelled": 1, "resumed": 1}
    assert (found["bytes_before"], found["bytes_after"], found["bytes_saved"]) == (1600, 950, 650)
    assert found["saved_percent"] == 40.62
    assert [one["path"] for one in found["slowest"]] == ["/films/f.mkv", "/films/a.mkv"]
    assert [(one["path"], one["reason"], one["times"]) for one in found["failures"]] == [
        ("/films/b.mkv", "still broken", 2)
    ]
    with state(tmp_path) as third:
        third.add(result("unchanged", "/films/b.mkv"))
    assert totals(tmp_path)["failures"] == []


def test_an_outcome_is_there_at_once_whatever_happens_to_the_process(tmp_path: Path) -> None:
    with state(tmp_path) as one:
        one.add(result("done", size_before=10, size_after=4, settled=SOME))
        assert totals(tmp_path)["bytes_saved"] == 6
        assert settled_files(tmp_path, "d") == {SOME}
        with state(tmp_path) as other:  # a second process, beside the first
            other.add(result("failed", reason="x"))
            assert totals(tmp_path)["runs"] == 2


def test_settled_files_are_those_of_the_policy(tmp_path: Path) -> None:
    with state(tmp_path, "one") as first:
        first.add(result("unchanged", settled=SOME))
        first.add(result("unchanged", settled=SOME))
        first.add(result("skipped", settled=ODD))
        first.add(result("failed"))
    assert settled_files(tmp_path, "one") == {SOME, ODD}
    assert settled_files(tmp_path, "two") == frozenset()
    assert settled_files(tmp_path / "nowhere", "one") == frozenset()


def test_a_name_that_is_no_text_is_remembered(tmp_path: Path) -> None:
    with state(tmp_path) as one:
        one.add(result("failed", os.fsdecode(b"/films/\xff.mkv"), reason=os.fsdecode(b"\xff is broken")))
    failure = totals(tmp_path)["failures"][0]
    assert (failure["path"], failure["reason"]) == ("/films/\\xff.mkv", "\\xff is broken")


def test_a_state_that_cannot_be_used_says_how_to_name_another(tmp_path: Path) -> None:
    (tmp_path / "media.db").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="--state"):
        state(tmp_path)
    with pytest.raises(ConfigError, match="--state"):
        totals(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--state"):
        state(tmp_path / "file")


def test_a_state_of_a_newer_raddle_is_left_alone(tmp_path: Path) -> None:
    with state(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "media.db", isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="newer raddle"):
        state(tmp_path)


def test_a_state_that_is_just_being_made_is_empty(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "media.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")  # as its first run begins, before there are tables
        assert totals(tmp_path)["runs"] == 0
        assert settled_files(tmp_path, "digest") == frozenset()


def test_where_the_state_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "raddle" / "media"
    monkeypatch.setenv("XDG_STATE_HOME", "relative is to be ignored")
    assert default_state() == Path.home() / ".local" / "state" / "raddle" / "media"


# ----------------------------------------------------------------------------------------------------- settings


def written(folder: Path, text: str) -> Path:
    file = folder / "media.toml"
    file.write_text(text)
    return file


def test_a_flag_beats_the_file_and_the_file_the_default(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '[weights]\nx = 1\n[processing]\nworkers = 2\n[media]\nencodes = 3\nstall_timeout = 60\nstate = "here"\n',
    )
    settings = load_settings(file).beaten_by(workers=4, encodes=None, state=None)
    assert (settings.workers, settings.encodes, settings.stall_timeout) == (4, 3, 60)
    assert settings.folder == tmp_path / "here"
    assert load_settings(file).beaten_by(state=tmp_path / "there").folder == tmp_path / "there"
    assert load_settings(None) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[processing]\nworkers = 0", "processing.workers=0: must be at least 1"),
        ("[processing]\nworkers = true", "whole number"),
        ("[processing]\nworker = 2", "did you mean 'workers'"),
        ("[media]\nstal_timeout = 2", "did you mean 'stall_timeout'"),
        ("[media]\nworkers = 2", "there is no 'workers'"),
        ("[media]\nstall_timeout = -1", "must be at least 0"),
        ("[media]\nhard_timeout = inf", "must be a finite number"),
        ('[media]\nprogress = "loud"', "there is no 'loud' among 'auto', 'live', 'line', 'compact', 'none'"),
        ("[media]\nmkvtoolnix = 1", "true or false"),
        ("media = 3", "must be a table"),
        ("[media", "is not TOML"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, text))
    assert said in str(caught.value)


def test_a_flag_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--workers=0: must be at least 1"):
        Settings().beaten_by(workers=0)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


# ------------------------------------------------------------------------------------------------------ permits


def policy(threads: int | None = None) -> Policy:
    return Policy(version=1, steps=(Step(video=Video(to="hevc", crf=20, threads=threads)),))


@pytest.mark.parametrize(
    ("cpus", "workers", "encodes", "expected"),
    [
        # cpus, flags -> files at once, light, encodes, threads of each encode
        (1, None, None, (2, 1, 1, 1)),
        (2, None, None, (4, 2, 2, 1)),
        (4, None, None, (6, 4, 2, 2)),
        (32, None, None, (40, 32, 8, 4)),
        (2, 1, None, (1, 1, 1, 2)),
        (8, 3, None, (3, 3, 2, 4)),
        (8, None, 1, (9, 8, 1, 8)),
        (8, 3, 3, (3, 3, 3, 2)),
    ],
)
def test_how_many_at_once(cpus: int, workers: int | None, encodes: int | None, expected: tuple[int, ...]) -> None:
    found = permits_for(cpus, workers=workers, encodes=encodes, policy=policy())
    assert (found.workers, found.light, found.encode, found.threads) == expected
    assert not found.warnings


@pytest.mark.parametrize(
    ("options", "expected", "said"),
    [
        ({"workers": 64}, (4, 2), "--workers=64 is taken as 4: 2 CPUs"),
        ({"encodes": 64}, (2, 4), "--encodes=64 is taken as 4: 2 CPUs"),
        ({"workers": 1, "encodes": 2}, (1, 1), "--encodes=2 is taken as 1"),
        ({"policy": policy(threads=8)}, (2, 2), "2 encodes with 8 threads each are 16 threads on 2 CPUs"),
    ],
)
def test_what_does_not_help_is_said(options: dict[str, Any], expected: tuple[int, int], said: str) -> None:
    found = permits_for(2, **{"policy": policy(), **options})
    assert (found.light, found.encode) == expected
    assert said in found.warnings[0]
