"""What the original of seed 004 got wrong when it was run on real files, each case run here against `raddle media`.

The table for users is docs/explanation/media-safety.md; each of its rows names a test of this module.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

from raddle.workloads.media.clips import Attached, Clip, Sound, Text

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import built, copy_of, made
from media_safety import Home, Ran, digest, hashes, leftovers, restored_hashes, shape, until, write

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.slow  # programs and files: no Python differs from another there

HEAD = "version: 1\nsafety: {min_free: 10MB}\n"
TITLES = HEAD + "steps:\n  - clear: {titles: [video, audio]}\n"
TO_MKV = HEAD + "steps:\n  - container: {to: mkv}\n"
ENCODE = HEAD + "steps:\n  - video: {to: hevc, preset: ultrafast, threads: 1}\n"
SLOW = 'echo "frame=1"; sleep 600\n'

#: one sound, three subtitles, two attachments
ONE_SOUND = Clip(
    name="one sound.mkv",
    audio=(Sound(language="eng", default=True),),
    subtitles=(
        Text(language="eng"),
        Text(language="jpn", title="Signs", forced=True),
        Text(codec="ass", language="ger"),
    ),
    attachments=(Attached("a.ttf"), Attached("b.ttf")),
    width=64,
    height=48,
    length=1.0,
)
#: commentary first, and the wrong flags
MANY = Clip(
    name="many.mkv",
    audio=(
        Sound(language="ger", title="Kommentar", default=True),
        Sound(language="jpn"),
        Sound(language="eng", title="Director's commentary"),
        Sound(language="eng"),
    ),
    subtitles=(Text(language="ger", default=True), Text(language="jpn"), Text(language="eng"), Text(language="fre")),
    width=64,
    height=48,
    length=1.0,
)


def library(folder: Path, *clips: Clip | str) -> Path:
    """A folder `library` with these clips."""
    place = folder / "library"
    place.mkdir()
    for clip in clips:
        source = made(clip) if isinstance(clip, str) else built(clip)
        shutil.copyfile(source, place / source.name)
    return place


def run(folder: Path, policy: str, *paths: object, options: str = "", home: Home | None = None) -> Ran:
    rules = write(folder / "policy.yaml", policy)
    return (home or Home(folder / "home")).media(rules, *paths, options=options)


def kinds(path: Path, kind: str) -> list[str]:
    """Languages of the streams of a kind, in order."""
    return [stream[2] for stream in shape(path) if stream[0] == kind]


def starts(home: Home, tool: str) -> list[str]:
    return [line for line in home.told() if line.startswith("start") and f" {tool} " in line]


def begun(home: Home, process: subprocess.Popen[bytes], tools: int = 1) -> None:
    """Wait until so many tools have started."""
    assert until(lambda: len(home.told()) >= tools or process.poll() is not None)
    assert process.poll() is None, process.communicate()


# --------------------------------------------------------------------------------------------------- facts of section 0


def test_two_workers_are_two_also_on_two_cores(tmp_path: Path) -> None:
    """Each tool waits until another one is there too: with one worker nobody ever comes."""
    place, home = library(tmp_path, "full", "two"), Home(tmp_path / "home")
    meeting = home.folder / "meeting"
    meeting.mkdir()
    home.guard(
        "mkvmerge",
        before=f"""

        : >'{meeting}'/$$
        for turn in $(seq 200); do [ "$(ls '{meeting}' | wc -l)" -ge 2 ] && break; sleep 0.05; done
        [ "$(ls '{meeting}' | wc -l)" -ge 2 ] || echo "HELD alone $$" >>'{home.log}'""",
    )
    policy = HEAD + "steps:\n  - keep_audio: {languages: [eng]}\n    attachments: remove_all\n"
    ran = run(tmp_path, policy, place, options="--workers 2", home=home)
    assert ran.code == 0, ran.rows
    assert len(starts(home, "mkvmerge")) == 2
    assert not home.held()


def test_the_same_base_name_in_two_folders(tmp_path: Path) -> None:
    names = [tmp_path / "library" / each / "E01.mkv" for each in ("x", "y", "z", "a")]
    clips = [made("full"), built(ONE_SOUND), built(MANY), made("two")]
    for path, clip in zip(names, clips, strict=True):
        path.parent.mkdir(parents=True)
        shutil.copyfile(clip, path)
    policy = HEAD + "steps:\n  - audio: {to: flac}\n    clear: {titles: [video, audio]}\n"
    ran = run(tmp_path, policy, tmp_path / "library", options="-R --workers 4")
    assert ran.code == 0, ran.rows
    for path, clip in zip(names, clips, strict=True):
        old, new = shape(clip), shape(path)
        assert [(s[0], s[2]) for s in old if s[0] != "attachment"] == [
            (s[0], s[2]) for s in new if s[0] != "attachment"
        ]
        assert {s[1] for s in new if s[0] == "audio"} == {"flac"}
    assert not leftovers(tmp_path)


def test_one_file_by_three_names_is_one_job(tmp_path: Path) -> None:
    film = copy_of("full", tmp_path)
    (tmp_path / "symbolic.mkv").symlink_to(film)
    (tmp_path / "hard.mkv").hardlink_to(film)
    home = Home(tmp_path / "home")
    home.guard()
    policy = HEAD.replace("}", ", hardlinks: break}") + "steps:\n  - video: {to: hevc, preset: ultrafast}\n"
    ran = run(tmp_path, policy, tmp_path, film, tmp_path / "symbolic.mkv", options="--workers 4", home=home)
    assert ran.code == 0, ran.rows
    assert sorted({row["path"] for row in ran.rows if row["status"] == "done"}) == [str(film)]
    assert {row["status"] for row in ran.rows} == {"done", "skipped"}
    assert len(starts(home, "ffmpeg")) == 1, home.told()
    assert not home.held()


def test_four_operations_in_one_step_keep_the_subtitles(tmp_path: Path) -> None:
    place = library(tmp_path, MANY)
    policy = """languages: {audio: [eng, jpn], subtitles: [eng, jpn]}
steps:
  - keep_audio: {languages: [eng, jpn]}
    keep_subtitles: {languages: [eng, jpn]}
    order: [video, audio, audio_commentary, subtitle]
    defaults: {audio: preferred, subtitle: preferred}
"""
    assert run(tmp_path, HEAD + policy, place).code == 0
    path = place / "many.mkv"
    assert kinds(path, "audio") == ["eng", "jpn", "eng"]
    assert kinds(path, "subtitle") == ["eng", "jpn"]
    assert [stream[4] for stream in shape(path) if stream[0] == "audio"] == [True, False, False]
    assert digest(built(MANY)) in restored_hashes(place)["many.mkv"]


@pytest.mark.parametrize("on_error", ["skip", "stop"])
def test_corrupt_input_is_failed_whatever_the_mode(on_error: str, tmp_path: Path) -> None:
    place = library(tmp_path, "full", "two")
    bad = place / "a bad one.mkv"
    bad.write_bytes(made("full").read_bytes()[:60_000])
    before = digest(bad)
    ran = run(tmp_path, f"on_error: {on_error}\n" + TITLES, place, options="--workers 2")
    assert ran.code == 1
    assert ran.row(bad)["status"] == "failed"
    assert ran.row(bad)["reason"]
    assert len(ran.rows) == 3, "every file is in the report"
    assert digest(bad) == before
    if on_error == "skip":
        assert ran.row(place / "full.mkv")["status"] == "done"


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_the_flag_decides_what_happens_next_and_not_what_counts(on_error: str, tmp_path: Path) -> None:
    place = library(tmp_path, "full")
    for number in range(6):
        (place / f"bad {number}.mkv").write_bytes(b"no film at all")
    ran = run(tmp_path, TITLES, place, options=f"--on-error {on_error} --workers 1")
    assert ran.code == 1
    assert len(ran.rows) == 7, "those that were not begun are told too"
    statuses = [row["status"] for row in ran.rows]
    assert "failed" in statuses
    assert ("cancelled" in statuses) == (on_error == "fail")
    assert ran.row(place / "full.mkv")["status"] == ("done" if on_error == "skip" else "cancelled")


def test_a_neighbour_with_the_name_of_the_result_is_not_lost(tmp_path: Path) -> None:
    place = library(tmp_path, "avi", "full")
    (place / "full.mkv").rename(place / "avi.mkv")
    before = hashes(place)
    ran = run(tmp_path, TO_MKV, place)
    assert ran.code == 1
    row = ran.row(place / "avi.avi")
    assert row["status"] == "failed"
    assert "avi.mkv" in row["reason"]
    assert ran.row(place / "avi.mkv")["status"] == "unchanged"
    assert hashes(place) == before


def test_two_inputs_with_one_result_are_refused(tmp_path: Path) -> None:
    place = library(tmp_path, "avi", "mov")
    (place / "mov.mov").rename(place / "avi.mov")
    before = hashes(place)
    ran = run(tmp_path, TO_MKV, place, options="--workers 2")
    assert ran.code == 1
    assert "failed" in ran.statuses().values()
    kept = restored_hashes(place)
    there = set(hashes(place).values()) | {mark for marks in kept.values() for mark in marks}
    assert set(before.values()) <= there, "neither of both is lost"
    assert len([path for path in place.iterdir() if path.is_file()]) == 2


def test_transcoding_keeps_all_subtitles_and_attachments(tmp_path: Path) -> None:
    place = library(tmp_path, ONE_SOUND)
    assert run(tmp_path, ENCODE, place).code == 0
    old, new = shape(built(ONE_SOUND)), shape(place / "one sound.mkv")
    assert new[0][1] == "hevc"
    assert [stream[:2] + stream[-1:] for stream in new[1:]] == [stream[:2] + stream[-1:] for stream in old[1:]]


@pytest.mark.parametrize(
    ("number", "whole_group", "times"),
    [
        pytest.param(signal.SIGINT, False, 1, id="SIGINT"),
        pytest.param(signal.SIGINT, True, 1, id="SIGINT to the group"),
        pytest.param(signal.SIGTERM, False, 1, id="SIGTERM"),
        pytest.param(signal.SIGTERM, True, 1, id="SIGTERM to the group"),
        pytest.param(signal.SIGINT, True, 5, id="SIGINT without patience"),
    ],
)
def test_stopping(number: signal.Signals, *, whole_group: bool, times: int, tmp_path: Path) -> None:
    place = library(tmp_path, "full", "two", "plain", "hevc")
    before, home = hashes(place), Home(tmp_path / "home")
    home.guard(before=SLOW)
    rules = write(tmp_path / "policy.yaml", ENCODE.replace("hevc", "h264") + "    audio: {to: flac}\n")
    process = home.start("run", "--json", "--progress", "none", "--workers", 2, rules, place)
    with process:
        begun(home, process, 2)
        began = time.monotonic()
        for _ in range(times):
            (os.killpg if whole_group else os.kill)(process.pid, number)
            time.sleep(0.03 if times > 1 else 0)
        ran = home.end(process, began=began)
    # one that comes when all is said and done ends what is left of the interpreter: the shell sees 130 as well
    assert ran.code == 128 + number or (times > 1 and ran.code == -number)
    assert ran.summary["exit_code"] == 128 + number
    assert ran.seconds < 90, "the tools would have slept for ten minutes"
    assert sorted(ran.statuses()) == ["full.mkv", "hevc.mkv", "plain.mkv", "two.mkv"], "every file is in the report"
    assert set(ran.statuses().values()) == {"cancelled"}
    assert hashes(place, ours=True) == before, "nothing half, nothing left"
    assert until(lambda: not home.children()), home.children()
    home.guard()
    again = home.media(rules, place, options="--resume --workers 2")
    assert again.code == 0
    assert set(again.statuses().values()) <= {"done", "unchanged"}, "what was interrupted did not count as done"
    assert "done" in again.statuses().values()


def test_killed(tmp_path: Path) -> None:
    place = library(tmp_path, "full", "two", "mp4", "plain")
    before, home = hashes(place), Home(tmp_path / "home")
    home.guard(before='head -c 5000 /dev/zero >"$out"\n' + SLOW)
    rules = write(tmp_path / "policy.yaml", HEAD + "steps:\n  - audio: {to: flac}\n")
    with home.start("run", "--json", "--progress", "none", "--workers", 2, rules, place) as process:
        begun(home, process, 2)
        assert until(lambda: len(leftovers(place)) >= 2)
        process.kill()
        process.communicate()
    assert until(lambda: not home.children()), home.children()
    assert hashes(place).items() >= before.items()
    home.guard()
    again = home.media(rules, place, options="--resume --workers 2")
    assert again.code == 0, again.rows
    assert sorted(again.statuses()) == ["full.mkv", "mp4.mp4", "plain.mkv", "two.mkv"], "four files are four"
    assert not leftovers(place)
    assert not home.held()


@pytest.mark.parametrize(
    ("clip", "share"),
    [
        ("full", 0.5),
        *((clip, share) for clip in ("ts", "avi") for share in (0.5, 0.9)),
    ],
)
def test_a_file_that_is_cut_off_does_not_pass_as_good(clip: str, share: float, tmp_path: Path) -> None:
    place = library(tmp_path, clip)
    film = next(place.iterdir())
    whole = film.read_bytes()
    film.write_bytes(whole[: int(len(whole) * share) // 188 * 188 + 100])
    before, home = digest(film), Home(tmp_path / "home")
    ran = run(
        tmp_path,
        TITLES.replace("video, audio", "video") + "    container: {to: mkv}\n    audio: {to: flac}\n",
        place,
        home=home,
    )
    assert ran.code == 1
    assert ran.row(film)["status"] == "failed"
    assert digest(film) == before
    checked = home.run("check", film, "--json")
    assert checked.code == 1
    assert not leftovers(place)
    assert not restored_hashes(place)


# ----------------------------------------------------------------------------------------------- the rest of the report


def test_nothing_to_do_writes_nothing(tmp_path: Path) -> None:
    place, home = library(tmp_path, "plain", "two", "mp4"), Home(tmp_path / "home")
    home.guard()
    marks = {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in [place, *place.iterdir()]}
    policy = HEAD + "steps:\n" + 3 * "  - keep_audio: {languages: [und, eng, jpn]}\n"
    ran = run(tmp_path, policy, place, home=home)
    assert ran.code == 0
    assert set(ran.statuses().values()) == {"unchanged"}
    assert {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in marks} == marks
    assert not home.told(), "no program was given a file"


def test_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    place, home = library(tmp_path, "full", "avi"), Home(tmp_path / "home")
    home.guard()
    policy = TO_MKV + "    clear: {titles: [video, audio]}\n    audio: {to: aac}\n"
    assert set(run(tmp_path, policy, place, home=home).statuses().values()) == {"done"}
    told, before = len(home.told()), hashes(place)
    again = run(tmp_path, policy, place, home=home)
    assert again.code == 0
    assert set(again.statuses().values()) == {"unchanged"}
    assert len(home.told()) == told
    assert hashes(place) == before


def test_capital_suffixes_are_found(tmp_path: Path) -> None:
    place = library(tmp_path, "full")
    (place / "full.mkv").rename(place / "A.MKV")
    ran = run(tmp_path, TITLES, place)
    assert ran.code == 0
    assert ran.statuses() == {"A.MKV": "done"}
    assert [path.name for path in place.iterdir() if path.is_file()] == ["A.MKV"]


def test_a_relative_path_is_as_good(tmp_path: Path) -> None:
    place = library(tmp_path, "full")
    rules = write(tmp_path / "policy.yaml", TITLES)
    ran = Home(tmp_path / "home").media(rules, "library", cwd=tmp_path)
    assert ran.code == 0
    assert ran.statuses() == {"full.mkv": "done"}
    assert shape(place / "full.mkv") != shape(made("full"))


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(TITLES, id="edit"),
        pytest.param(ENCODE, id="encode"),
        pytest.param(TO_MKV + "    attachments: remove_all\n", id="remux"),
    ],
)
def test_mode_and_times_are_kept_and_the_trash_is_honoured(policy: str, tmp_path: Path) -> None:
    place = library(tmp_path, "full")
    film = place / "full.mkv"
    film.chmod(0o664)
    os.utime(film, ns=(10**18, 10**18 + 123_456_789))
    old = digest(film)
    home = Home(tmp_path / "home")
    assert run(tmp_path, policy, place, home=home).code == 0
    facts = film.stat()
    assert facts.st_mode & 0o7777 == 0o664
    assert facts.st_mtime_ns == 10**18 + 123_456_789
    assert digest(film) != old
    assert restored_hashes(place) == {"full.mkv": {old}}
    assert home.run("restore", film).code == 0
    assert digest(film) == old
    assert film.stat().st_mtime_ns == 10**18 + 123_456_789
    assert sorted(path.name for path in place.iterdir()) == ["full.mkv"]


def test_a_failed_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    place, home = library(tmp_path, "full", "mp4"), Home(tmp_path / "home")
    home.guard(before='head -c 9000 /dev/zero >"$out"; exit 1')
    before = hashes(place, ours=True)
    ran = run(tmp_path, HEAD + "steps:\n  - audio: {to: flac}\n", place, home=home)
    assert ran.code == 1
    assert set(ran.statuses().values()) == {"failed"}
    assert hashes(place, ours=True) == before
    assert sorted(path.name for path in place.iterdir()) == ["full.mkv", "mp4.mp4"]


def test_further_runs_never_overwrite_an_original(tmp_path: Path) -> None:
    place, home = library(tmp_path, "full"), Home(tmp_path / "home")
    film = place / "full.mkv"
    seen = [digest(film)]
    for policy in (TITLES, HEAD + "steps:\n  - attachments: remove_all\n", HEAD + "steps:\n  - audio: {to: flac}\n"):
        assert run(tmp_path, policy, place, home=home).code == 0
        assert restored_hashes(place) == {"full.mkv": set(seen)}
        seen.append(digest(film))
    for expected in reversed(seen[:-1]):
        assert home.run("restore", film).code == 0
        assert digest(film) == expected


def test_what_is_not_named_stays(tmp_path: Path) -> None:
    """The original moved commentary and changed two default flags for a policy that filters subtitles."""
    place = library(tmp_path, MANY)
    assert run(tmp_path, HEAD + "steps:\n  - keep_subtitles: {languages: [eng, jpn]}\n", place).code == 0
    old = [stream for stream in shape(built(MANY)) if stream[0] != "subtitle" or stream[2] in {"eng", "jpn"}]
    assert list(shape(place / "many.mkv")) == old


def test_a_change_of_the_container_alone_happens(tmp_path: Path) -> None:
    place = library(tmp_path, "mp4")
    ran = run(tmp_path, TO_MKV, place)
    assert ran.code == 0
    assert ran.row(place / "mp4.mp4")["target"] == str(place / "mp4.mkv")
    assert (place / "mp4.mkv").read_bytes()[:4] == b"\x1a\x45\xdf\xa3"
    assert [path.name for path in place.iterdir() if path.is_file()] == ["mp4.mkv"]


def test_a_policy_that_cannot_be_met_is_a_failure(tmp_path: Path) -> None:
    """The original counted it as a successful no-op."""
    place = library(tmp_path, "two")
    before = hashes(place)
    ran = run(tmp_path, HEAD + "steps:\n  - keep_audio: {languages: [fre]}\n", place)
    assert ran.code == 1
    assert ran.statuses() == {"two.mkv": "failed"}
    assert "fre" in ran.rows[0]["reason"]
    assert hashes(place) == before


def test_a_rule_that_says_no_encoding_is_heard(tmp_path: Path) -> None:
    place = library(tmp_path, "plain")
    policy = ENCODE + "    rules:\n      - {when: {exists: {type: video}}, then: {skip_video: true}}\n"
    ran = run(tmp_path, policy, place)
    assert ran.code == 0
    assert ran.statuses() == {"plain.mkv": "unchanged"}
    assert digest(place / "plain.mkv") == digest(made("plain"))


def test_it_runs_without_being_set_up_first(tmp_path: Path) -> None:
    """No init, no scan, no database: the original skipped files that were not scanned, with exit code 0."""
    place, home = library(tmp_path, "full"), Home(tmp_path / "home")
    shutil.rmtree(home.folder / "state")
    assert run(tmp_path, TITLES, place, home=home).statuses() == {"full.mkv": "done"}


def test_the_document_tells_of_these_tests(root: Path) -> None:
    text = (root / "docs/explanation/media-safety.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    here = {name for name in globals() if name.startswith("test_")} - {"test_the_document_tells_of_these_tests"}
    elsewhere = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert here <= named, f"not in the document: {sorted(here - named)}"
    assert not [name for name in named if f"def {name}(" not in elsewhere], "a test that is not there"
