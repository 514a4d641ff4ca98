"""The other commands, and what all of them refuse."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import copy_of
from media_command import CLEAR, ENCODE, KEEP_ENGLISH, library, policy, rows, run, start, tree, watched

from raddle.journal.history import History
from raddle.workloads.media.cli import app
from raddle.workloads.media.probe import probe

COMMANDS = ("run", "inspect", "check", "report", "restore", "sample")


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    text = run(command, "--help").stdout
    assert f"raddle media {command}" in text
    assert "Example:" in text
    assert "Exit codes: 0" in text
    assert "  --help" in text or "-h" in text


def test_the_commands_are_listed_without_loading_anything_heavy() -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f"  {command} " in listed for command in COMMANDS)


# --------------------------------------------------------------------------------------------- what is refused


def test_a_policy_with_mistakes_touches_nothing_and_names_the_lines(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two")
    asked = policy(tmp_path, "keep_audoi: {languages: [eng]}", "video: {to: hefc, crf: 20}")
    done = run("run", asked, films, code=2)
    assert "line 3" in done.stderr
    assert "keep_audio" in done.stderr
    assert "line 4" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "xdg").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--workers", "0"], "--workers=0: must be at least 1"),
        (["--stall-timeout", "-1"], "--stall-timeout=-1.0: must be at least 0"),
        (["--config", "none.toml"], "cannot be read"),
        (["--on-error", "explode"], "--on-error"),
        (["--progress", "loud"], "--progress"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, words: list[str], said: str) -> None:
    asked = policy(tmp_path, CLEAR)
    assert said in run("run", asked, tmp_path, *words, code=2).stderr


def test_a_path_that_is_not_there_is_a_failure_of_its_own(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "plain")
    found, summary = rows("run", policy(tmp_path, KEEP_ENGLISH), films, tmp_path / "no.mkv", code=1)
    assert found["no.mkv"]["reason"] == "is not there"
    assert (summary["unchanged"], summary["failed"]) == (1, 1)


def test_a_failure_is_called_so_once(tmp_path: Path) -> None:
    (tmp_path / "bad.mkv").touch()
    told = run("run", policy(tmp_path, CLEAR), tmp_path / "bad.mkv", code=1).stdout
    assert "1 failed" in told
    assert told.rpartition("failed:\n")[2].startswith(f"  {tmp_path / 'bad.mkv'}: path=")


def test_an_empty_folder_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    assert "0 files: no video files here" in run("run", policy(tmp_path, CLEAR), tmp_path / "films").stdout


def test_an_empty_folder_has_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    shown = run("inspect", tmp_path / "films")
    assert shown.stdout == ""
    assert "no video files here" in shown.stderr


def test_the_state_in_the_file_is_used_and_a_flag_beats_it(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two")
    config = tmp_path / "media.toml"
    config.write_text('[media]\nstate = "told"\nencodes = 1\n[processing]\nworkers = 2\n')
    asked = policy(tmp_path, KEEP_ENGLISH)
    rows("run", asked, films, "--config", config)
    assert (tmp_path / "told" / "media.db").exists()
    rows("run", asked, films, "--config", config, "--state", tmp_path / "flag")
    assert (tmp_path / "flag" / "media.db").exists()
    assert json.loads(run("report", "--config", config, "--json").stdout)["runs"] == 1
    assert not (tmp_path / "xdg").exists()


def test_a_run_is_remembered_for_those_who_look_in(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "plain")
    (films / "bad.mkv").write_bytes(b"x" * 1000)
    (films / "01-plain.mkv").rename(os.fsdecode(os.fsencode(films) + b"/\xff.mkv"))
    journal = tmp_path / "runs.db"
    asked = policy(tmp_path, KEEP_ENGLISH)
    words = ["run", asked, films, "--state", tmp_path / "state", "--journal", journal]
    _, summary = rows(*words, "--name", "films", code=1)
    assert (summary["done"], summary["unchanged"], summary["failed"]) == (1, 1, 1)
    told = History(journal).run("films")
    assert told is not None
    counts = {status.value: count for status, count in History(journal).counts(told.id).items()}
    assert (told.state, counts) == ("ended", {"ok": 2, "failed": 1})
    (group,) = History(journal).failures(told.id)
    assert group.example_label == "bad.mkv"
    rows(*words, code=1)
    assert sorted(run.name for run in History(journal).runs()) == ["films", "media"]


def test_a_journal_that_cannot_be_touches_no_file(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two")
    before = tree(films)
    (tmp_path / "notes.txt").write_text("no database")
    asked = policy(tmp_path, KEEP_ENGLISH)
    words = ["run", asked, films, "--state", tmp_path / "state", "--journal", tmp_path / "notes.txt"]
    assert "notes.txt" in run(*words, code=2).stderr
    assert "--dry-run" in run(*words[:-1], tmp_path / "new.db", "--dry-run", code=2).stderr
    assert tree(films) == before
    assert (tmp_path / "notes.txt").read_text() == "no database"


# -------------------------------------------------------------------------------------------- inspect and check


def test_inspect_as_a_table_and_as_json(tmp_path: Path) -> None:
    film = copy_of("full", tmp_path)
    text = run("inspect", film).stdout
    assert "full.mkv: mkv" in text.splitlines()[0]
    assert sum(line.startswith("  ") for line in text.splitlines()) == len(probe(film).streams)
    (told,) = [json.loads(line) for line in run("inspect", film, "--json").stdout.splitlines()]
    assert (told["status"], told["container"], len(told["chapters"])) == ("ok", "mkv", 3)
    assert [stream["index"] for stream in told["streams"]] == list(range(len(told["streams"])))
    assert told["streams"][1]["language"] == "eng"
    (tmp_path / "broken.mkv").write_bytes(b"x" * 1000)
    both = run("inspect", tmp_path, "--json", code=1).stdout.splitlines()
    assert [json.loads(line)["status"] for line in both] == ["unreadable", "ok"]


@pytest.mark.parametrize("level", ["packets", "decode"])
def test_check_finds_what_is_damaged(tmp_path: Path, level: str) -> None:
    films = library(tmp_path / "films", "full", "plain")
    assert "2 files checked" in run("check", films, "--level", level, "--progress", "none").stdout
    whole = (films / "00-full.mkv").read_bytes()
    (films / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (films / "empty.mkv").touch()
    done = run("check", films, "--level", level, "--json", code=1)
    *told, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(one["path"]).name: one["status"] for one in told} == {
        "00-full.mkv": "ok",
        "01-plain.mkv": "ok",
        "cut.mkv": "damaged",
        "empty.mkv": "unreadable",
    }
    assert all(one["problems"] for one in told if one["status"] != "ok")
    assert last["summary"] == {"files": 4, "ok": 2, "damaged": 1, "unreadable": 1, "cancelled": 0, "level": level}
    assert "cut.mkv: damaged" in run("check", films, code=1).stdout


# ------------------------------------------------------------------------------- report, restore, sample


def test_report_before_and_after_runs(tmp_path: Path) -> None:
    assert run("report").stdout == "0 runs; nothing to report yet\n"
    films = library(tmp_path / "films", "two", "plain")
    (films / "broken.mkv").write_bytes(b"x")
    asked = policy(tmp_path, KEEP_ENGLISH)
    _, first = rows("run", asked, films, code=1)
    rows("run", asked, films, code=1)
    told = json.loads(run("report", "--json").stdout)
    assert (told["runs"], told["files"]["done"], told["files"]["failed"]) == (2, 1, 2)
    assert told["bytes_saved"] == first["bytes_saved"] > 0
    text = run("report").stdout
    assert text.startswith("2 runs, the first at ")
    assert "broken.mkv: " in text
    assert "(2 times)" in text


def test_restore_lists_and_puts_back(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "full")
    before = {path.name: path.read_bytes() for path in films.iterdir()}
    rows("run", policy(tmp_path, KEEP_ENGLISH), films)
    listed = [json.loads(line) for line in run("restore", films, "--list", "--json").stdout.splitlines()]
    assert sorted((Path(one["path"]).name, one["size"]) for one in listed) == [
        (name, len(before[name])) for name in sorted(before)
    ]
    assert len(run("restore", films / "00-two.mkv", "--list").stdout.splitlines()) == 1
    assert "restored" in run("restore", films / "00-two.mkv").stdout
    (films / "01-full.mkv").write_bytes(b"mine now")
    assert "changed after" in run("restore", films, code=1).stdout
    run("restore", films, "--force")
    assert {path.name: path.read_bytes() for path in films.glob("*.mkv")} == before
    assert "no original of it is in the trash" in run("restore", films / "none.mkv", code=2).stderr


def test_sample_makes_a_library_that_check_finds_whole(tmp_path: Path) -> None:
    made = run("sample", tmp_path / "library", "--count", "5").stdout.splitlines()
    assert len(made) == 5
    assert all(Path(path).is_file() for path in made)
    assert "5 ok" in run("check", tmp_path / "library", "-R", "--progress", "none").stdout
    assert made[0] in run("sample", tmp_path / "library", "--count", "5", code=2).stderr


# ------------------------------------------------------------------------------------------------------- limits


def test_a_program_that_gets_no_further_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _, environment = watched(tmp_path, "hang")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    films = library(tmp_path / "films", "plain", "two")
    asked = policy(tmp_path, ENCODE)
    stalled, _ = rows("run", asked, films / "00-plain.mkv", "--config", config, "--stall-timeout", "1", code=1)
    assert "got no further" in stalled["00-plain.mkv"]["reason"]
    late, _ = rows("run", asked, films / "01-two.mkv", "--config", config, "--hard-timeout", "1", code=1)
    assert "took too long" in late["01-two.mkv"]["reason"]


def test_a_full_disk_is_waited_for_and_a_signal_ends_the_wait(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two")
    disk = os.statvfs(films)
    free = disk.f_bavail * disk.f_frsize + (1 << 28)
    if free >= disk.f_blocks * disk.f_frsize:
        pytest.skip("the disk is nearly empty")
    asked = policy(tmp_path, KEEP_ENGLISH, safety=f"{{min_free: {free}B}}")
    process = start("run", asked, films, "--json", "--state", tmp_path / "state")
    try:
        assert process.stderr is not None
        assert "waits for room" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert json.loads(out.splitlines()[0])["status"] == "cancelled"
