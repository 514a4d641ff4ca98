"""Runs of a policy through the command: how files end, what is written, and what is not."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import copy_of
from media_command import (
    CLEAR,
    ENCODE,
    KEEP_ENGLISH,
    library,
    most_at_once,
    policy,
    read_rows,
    rows,
    run,
    start,
    tree,
    watched,
)

from raddle.workloads.media.probe import probe
from raddle.workloads.media.replace.names import TRASH, main_temporary


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if main_temporary(path.name) is not None]


# ------------------------------------------------------------------------------------------------ how files end


def test_each_status_is_told_with_its_reason(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "plain", "silent")
    (films / "broken.mkv").write_bytes(b"no video at all" * 100)
    (films / "empty.mkv").touch()
    os.link(copy_of("full", films, "linked.mkv"), tmp_path / "second name.mkv")
    (films / "same.mkv").symlink_to("00-two.mkv")
    before = tree(films)
    asked = policy(tmp_path, KEEP_ENGLISH)
    found, summary = rows("run", asked, films, code=1)
    ended = {name: row["status"] for name, row in found.items()}
    assert ended == {
        "00-two.mkv": "done",
        "01-plain.mkv": "unchanged",
        "02-silent.mkv": "unchanged",
        "broken.mkv": "failed",
        "empty.mkv": "failed",
        "linked.mkv": "skipped",
        "same.mkv": "skipped",
    }
    assert "further names" in found["linked.mkv"]["reason"]
    assert "same file" in found["same.mkv"]["reason"]
    assert all(row["reason"] for name, row in found.items() if name != "00-two.mkv")
    assert {name for name, old in before.items() if tree(films).get(name) != old} == {"00-two.mkv", "same.mkv"}
    assert (summary["done"], summary["unchanged"], summary["skipped"], summary["failed"]) == (1, 2, 2, 2)
    assert summary["exit_code"] == 1
    assert not leftovers(films)


def test_a_row_says_what_was_done(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two")
    file = films / "00-two.mkv"
    size = file.stat().st_size
    found, summary = rows("run", policy(tmp_path, KEEP_ENGLISH), films)
    row = found["00-two.mkv"]
    assert row["changes"] == ["remove audio 1 (jpn, aac stereo)"] or "jpn" in row["changes"][0]
    assert row["steps"] == [{"step": 1, "method": "remux", "changes": row["changes"]}]
    assert len(row["streams_before"]) == len(row["streams_after"]) + 1
    assert (row["size_before"], row["size_after"]) == (size, file.stat().st_size)
    assert row["verify"] == {"level": "packets", "result": "ok"}
    assert (row["attempts"], row["resumed"]) == (1, False)
    assert row["seconds"] > 0
    assert summary["bytes_saved"] == size - file.stat().st_size
    assert [stream.language for stream in probe(file).of("audio")] == ["eng"]


def test_a_second_run_changes_nothing_and_a_resumed_one_opens_nothing(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "full", "plain")
    asked = policy(tmp_path, KEEP_ENGLISH, "defaults: {audio: preferred}")
    _, first = rows("run", asked, films)
    assert first["done"] >= 2
    before = tree(films)
    found, second = rows("run", asked, films)
    assert (second["unchanged"], second["done"]) == (3, 0)
    assert not any(row["resumed"] for row in found.values())
    found, third = rows("run", asked, films, "--resume")
    assert all(row["resumed"] and row["status"] == "unchanged" and not row["streams_before"] for row in found.values())
    assert third["resumed"] == 3
    assert tree(films) == before


def test_resume_knows_the_file_not_its_name_and_the_policy_not_its_text(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "plain")
    asked = policy(tmp_path, KEEP_ENGLISH)
    rows("run", asked, films)
    asked.write_text(f"# a comment\n{asked.read_text()}")
    (films / "00-two.mkv").rename(films / "moved.mkv")
    shutil.copyfile(films / "moved.mkv", films / "copied.mkv")
    found, _ = rows("run", asked, films, "--resume")
    assert {name: row["resumed"] for name, row in found.items()} == {
        "01-plain.mkv": True,
        "moved.mkv": True,
        "copied.mkv": False,
    }
    found, _ = rows("run", policy(tmp_path, CLEAR), films, "--resume")
    assert not any(row["resumed"] for row in found.values())


def test_resume_tries_what_failed_again(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "plain")
    (films / "late.mkv").touch()
    asked = policy(tmp_path, KEEP_ENGLISH)
    rows("run", asked, films, code=1)
    copy_of("two", films, "late.mkv")
    found, _ = rows("run", asked, films, "--resume")
    assert (found["late.mkv"]["status"], found["00-plain.mkv"]["resumed"]) == ("done", True)


# ------------------------------------------------------------------------------------------------ several steps


def test_steps_build_on_each_other_and_the_original_is_the_first_one(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    original = copy_of("avi", films).read_bytes()
    asked = policy(tmp_path, "container: {to: mkv}", "audio: {to: aac, bitrate: 96k}", "clear: {titles: [video]}")
    found, _ = rows("run", asked, films)
    row = found["avi.avi"]
    assert (row["status"], Path(row["target"])) == ("done", films / "avi.mkv")
    assert [step["step"] for step in row["steps"]] == [1, 2]
    assert [path.name for path in films.iterdir() if path.name != TRASH] == ["avi.mkv"]
    assert [path.read_bytes() for path in films.glob(f"{TRASH}/*/*")] == [original]
    assert probe(films / "avi.mkv").of("audio")[0].codec == "aac"
    run("restore", films / "avi.mkv")
    assert [path.name for path in films.iterdir()] == ["avi.avi"]
    assert (films / "avi.avi").read_bytes() == original


@pytest.mark.parametrize("names", [("avi", "mov"), ("avi", "plain")])
def test_two_files_never_meet_under_one_name(tmp_path: Path, names: tuple[str, str]) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in names:
        copy_of(name, films, f"a.{'mkv' if name == 'plain' else name}")
    before = tree(films)
    found, summary = rows("run", policy(tmp_path, "container: {to: mkv}"), films, code=1)
    assert tree(films) == before
    refused = [row for row in found.values() if row["status"] == "failed"]
    assert len(refused) == summary["failed"] == (2 if "mov" in names else 1)
    assert all("a.mkv" in row["reason"] and "move" in row["reason"] for row in refused)


def test_a_name_that_is_taken_by_a_file_that_is_not_of_the_run(tmp_path: Path) -> None:
    film = copy_of("avi", tmp_path, "a.avi")
    (tmp_path / "a.mkv").write_text("mine")
    found, _ = rows("run", policy(tmp_path, "container: {to: mkv}"), film, code=1)
    assert "a.mkv" in found["a.avi"]["reason"]
    assert (tmp_path / "a.mkv").read_text() == "mine"


# ------------------------------------------------------------------------------------------- what is not written


def test_a_dry_run_writes_nothing_and_says_what_would_change_and_why(tmp_path: Path) -> None:
    films = library(tmp_path / "films", "two", "avi", "plain")
    (films / "01-avi.mkv").rename(films / "a.avi")
    (films / "empty.mkv").touch()
    left = films / ".x.mkv.raddle-abcdefgh.tmp"
    left.write_text("of a killed run")
    asked = policy(tmp_path, f"{{{KEEP_ENGLISH}, container: {{to: mkv}}}}")
    before = tree(tmp_path)
    found, summary = rows("run", asked, films, "--dry-run", code=1)
    assert {name: row["status"] for name, row in found.items()} == {
        "00-two.mkv": "planned",
        "a.avi": "planned",
        "02-plain.mkv": "unchanged",
        "empty.mkv": "failed",
    }
    assert Path(found["a.avi"]["target"]) == films / "a.mkv"
    assert summary["planned"] == 2
    assert len(found["00-two.mkv"]["streams_after"]) == 2
    text = run("run", asked, films, "--dry-run", code=1).stdout
    assert "remove audio 1" in text
    assert "a.avi -> " in text
    assert tree(tmp_path) == before
    assert not (tmp_path / "xdg").exists()


def test_a_file_that_is_as_it_shall_be_costs_no_writing(tmp_path: Path) -> None:
    films = library(tmp_path / "films", *["full"] * 8)
    asked = policy(tmp_path, KEEP_ENGLISH)
    rows("run", asked, films)
    stamps = {path: path.stat().st_mtime_ns for path in (films, *films.iterdir())}
    read_self = (
        "import sys\nfrom raddle.workloads.media.cli import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(open('/proc/self/io').read().split('wchar: ')[1].split()[0], file=sys.stderr)"
    )
    words = ["run", str(asked), str(films), "--json", "--progress", "none"]
    done = subprocess.run([sys.executable, "-c", read_self, *words], capture_output=True, text=True, check=True)
    _, summary = read_rows(done.stdout)
    assert summary["unchanged"] == 8
    size = sum(path.stat().st_size for path in films.glob("*.mkv"))
    own = int(done.stderr) - len(done.stdout.encode())  # rows of the state are left: pages of 4 KiB
    assert own < 200_000 < size
    assert {path: path.stat().st_mtime_ns for path in (films, *films.iterdir())} == stamps


# ------------------------------------------------------------------------------------------------- when it fails


@pytest.mark.parametrize(
    ("mode", "flag", "stops"),
    [("skip", None, False), ("stop", None, True), ("stop", "skip", False), ("skip", "fail", True)],
)
def test_on_error_decides_what_comes_next_and_never_what_counts(
    tmp_path: Path, mode: str, flag: str | None, stops: bool
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "00-broken.mkv").write_bytes(b"nothing")
    library(films, *["two"] * 12)
    asked = policy(tmp_path, KEEP_ENGLISH, on_error=mode)
    words = ["--on-error", flag] if flag else []
    found, summary = rows("run", asked, films, "--workers", "1", *words, code=1)
    assert found["00-broken.mkv"]["status"] == "failed"
    assert len(found) == 13
    assert summary["failed"] == 1
    assert (summary["cancelled"] > 0) == stops
    assert summary["done"] + summary["cancelled"] == 12


def test_what_the_program_complained_about_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, _, environment = watched(tmp_path, "complain")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    films = library(tmp_path / "films", "two")
    before = tree(films)
    asked = policy(tmp_path, KEEP_ENGLISH)
    found, _ = rows("run", asked, films, "--config", config, code=1)
    assert found["00-two.mkv"]["stderr"][-1] == "Conversion failed!"
    text = run("run", asked, films, "--config", config, code=1).stdout
    assert "    | Conversion failed!" in text
    assert tree(films) == before
    totals = json.loads(run("report", "--config", config, "--json").stdout)
    assert [one["times"] for one in totals["failures"]] == [2]


def test_a_result_that_is_too_large_is_not_taken_and_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, log, environment = watched(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    films = library(tmp_path / "films", "plain")
    before = tree(films)
    big = "video: {to: h264, bitrate: 20M, max_height: 64}"
    asked = policy(tmp_path, big, safety="{reject_larger_than: 10%}")
    found, summary = rows("run", asked, films, "--config", config)
    assert found["00-plain.mkv"]["status"] == "skipped"
    assert "reject_larger_than" in found["00-plain.mkv"]["reason"]
    assert (tree(films), summary["bytes_saved"]) == (before, 0)
    begun = log.read_text().count("begin")
    again, _ = rows("run", asked, films, "--config", config, "--resume")
    assert again["00-plain.mkv"]["resumed"]
    assert log.read_text().count("begin") == begun


def test_a_file_that_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    from raddle.workloads.media.replace.claims import claim
    from raddle.workloads.media.state import claims_folder

    films = library(tmp_path / "films", "two", "full")
    facts = (films / "00-two.mkv").stat()
    with claim(claims_folder(tmp_path / "state"), facts.st_dev, facts.st_ino) as mine:
        assert mine
        found, _ = rows("run", policy(tmp_path, KEEP_ENGLISH), films, "--state", tmp_path / "state")
    assert {name: row["status"] for name, row in found.items()} == {"00-two.mkv": "skipped", "01-full.mkv": "done"}


def test_a_file_that_changed_while_it_waited_is_looked_at_again(tmp_path: Path) -> None:
    config, log, environment = watched(tmp_path, "slow", FAKE_SECONDS="1")
    films = library(tmp_path / "films", "two", "two")
    words = ("run", policy(tmp_path, KEEP_ENGLISH), films, "--config", config, "--workers", "1", "--json")
    process = start(*words, environment=environment)
    deadline = time.monotonic() + 60
    while "begin" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)  # a process that works is only seen from outside
    copy_of("full", tmp_path).replace(films / "01-two.mkv")
    out, err = process.communicate(timeout=120)
    found, _ = read_rows(out)
    assert process.returncode == 0, err
    assert [row["status"] for row in found.values()] == ["done", "done"]
    assert len(found["01-two.mkv"]["streams_before"]) == 10
    assert probe(films / "01-two.mkv").of("subtitle")


# ------------------------------------------------------------------------------------------ two kinds of permits


@pytest.mark.parametrize(("encodes", "most"), [(1, 1), (2, 2)])
def test_encodes_and_light_work_have_permits_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encodes: int, most: int
) -> None:
    config, log, environment = watched(tmp_path, "slow", FAKE_SECONDS="0.5")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    films = library(tmp_path / "films", *["full"] * 3, *["plain"] * 3)
    # "full" has a title and is small enough: light; "plain" is encoded
    asked = policy(tmp_path, f"{{skip_if: {{exists: {{type: subtitle}}}}, {ENCODE}}}", CLEAR)
    _, summary = rows("run", asked, films, "--config", config, "--workers", "2", "--encodes", encodes)
    assert summary["done"] == 6
    assert most_at_once(log, "encode") == most
    assert 1 <= most_at_once(log, "light") <= 2


# ------------------------------------------------------------------------------------------------------ stopping


@pytest.mark.parametrize(
    ("program", "how", "code"),
    [
        ("hang", signal.SIGINT, 130),
        pytest.param("hang", signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param("stubborn", signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_the_programs_and_every_file_is_told(
    tmp_path: Path, program: str, how: signal.Signals, code: int
) -> None:
    config, log, environment = watched(tmp_path, program)
    films = library(tmp_path / "films", *["plain"] * 8)
    before = tree(films)
    asked = policy(tmp_path, ENCODE)
    words = ("run", asked, films, "--config", config, "--json", "--encodes", "2")
    process = start(*words, environment=environment)
    try:
        deadline = time.monotonic() + 60
        while log.read_text().count("begin") < 2 and time.monotonic() < deadline:
            time.sleep(0.05)  # a process that works is only seen from outside
        process.send_signal(how)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, err
    found, summary = read_rows(out)
    assert len(found) == summary["cancelled"] == 8
    assert summary["exit_code"] == code
    assert tree(films) == before
    assert not leftovers(films)
    for line in log.read_text().splitlines():
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[-1]), 0)
    found, _ = rows("run", asked, films, "--state", tmp_path / "state", "--resume")
    assert all(row["status"] == "done" for row in found.values())


@pytest.mark.chaos
def test_after_kill_9_the_next_run_sweeps_and_goes_on(tmp_path: Path) -> None:
    config, log, environment = watched(tmp_path, "slow", FAKE_SECONDS="0.2")
    films = library(tmp_path / "films", *["two"] * 10)
    asked = policy(tmp_path, KEEP_ENGLISH)
    process = start("run", asked, films, "--config", config, environment=environment)
    while log.read_text().count("end") < 3:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    found, summary = rows("run", asked, films, "--state", tmp_path / "state", "--resume")
    assert summary["failed"] == 0
    assert summary["done"] >= 1
    assert len(found) == 10
    assert summary["resumed"] >= 1
    assert not leftovers(films)
    assert all([s.language for s in probe(path).of("audio")] == ["eng"] for path in films.glob("*.mkv"))


# -------------------------------------------------------------------------------------------------------- names


def test_names_that_are_no_text_are_told_and_come_through(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    raw = os.fsencode(films) + b"/caf\xe9 \n\x1b[31m.mkv"
    shutil.copyfile(copy_of("two", tmp_path), raw)
    asked = policy(tmp_path, KEEP_ENGLISH)
    text = run("run", asked, films, "--dry-run").stdout
    assert "caf\\xe9 \\n\\x1b[31m.mkv: planned" in text
    found, _ = rows("run", asked, films)
    ((name, row),) = found.items()
    assert name == "caf\\xe9 \\n\\x1b[31m.mkv"
    assert base64.b64decode(row["path_base64"]) == raw
    assert row["status"] == "done"
    again, _ = rows("run", asked, films, "--resume")
    assert again[name]["resumed"]
