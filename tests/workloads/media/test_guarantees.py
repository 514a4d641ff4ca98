"""Guarantees of a whole run that no part can give alone: tools that lie, hang or are ended, and two runs at once."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH119
from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import copy_of, made
from media_safety import Home, Ran, digest, hashes, leftovers, program, restored_hashes, shape, until, write

from raddle.workloads.media.state import totals

pytestmark = pytest.mark.slow  # programs and files: no Python differs from another there

HEAD = "version: 1\nsafety: {min_free: 10MB}\n"
SOUND = HEAD + "steps:\n  - audio: {to: flac}\n"
TRACKS = HEAD + "steps:\n  - keep_audio: {languages: [eng]}\n    keep_subtitles: {languages: [eng]}\n"

#: What a tool does wrong, by a word in the name of its input, in bash: `out` is the file it writes.
AGAIN = '"$ffmpeg" -nostdin -v error -y -i "file:$out"'
LIES = {
    "truncates": 'truncate -s $(( $(stat -c %s "$out") / 2 )) "$out"',
    "truncates a little": 'truncate -s -3000 "$out"',
    "drops a sound": f'{AGAIN} -map 0 -map -0:a:0 -c copy -f matroska "$out.1" && cat "$out.1" >"$out"; rm -f "$out.1"',
    "drops subtitles": f'{AGAIN} -map 0 -map -0:s -c copy -f matroska "$out.1" && cat "$out.1" >"$out"; rm -f "$out.1"',
    "drops fonts": f'{AGAIN} -map 0 -map -0:t -c copy -f matroska "$out.1" && cat "$out.1" >"$out"; rm -f "$out.1"',
    "is too short": f'{AGAIN} -map 0 -c copy -t 0.5 -f matroska "$out.1" && cat "$out.1" >"$out"; rm -f "$out.1"',
    "empties": ': >"$out"',
    "zeroes": 'head -c "$(stat -c %s "$out")" /dev/zero >"$out"',
    "writes another film": 'cat "OTHER" >"$out"',
    "complains and says 0": 'echo "[h264 @ 0x1] error while decoding MB 5 6" >&2',
    "says 1": "code=1",
    "dies": "kill -SEGV $$",
    "removes its result": 'rm -f "$out"',
    "leaves more": 'head -c 9000 /dev/zero >"$out.cover"; code=1',
    "changes the source": 'echo more >>"$work"',
    "replaces the source": 'cp "$work" "$work.new" && echo more >>"$work.new" && mv "$work.new" "$work"',
}
#: somebody else wrote there, and that is what has to stay
CHANGED = ("changes the source", "replaces the source")


def lying(other: Path) -> str:
    """The real program, then what the name of the input asks for."""
    cases = "\n".join(f"    *'/{name}.mkv') {lie} ;;" for name, lie in LIES.items())
    return f"""ffmpeg='{program("ffmpeg")}'
    'REAL' "$@"
    code=$?
    case $work in
{cases}
    esac
    exit $code
""".replace("OTHER", str(other))


@dataclass(frozen=True)
class Tried:
    folder: Path
    before: dict[bytes, str]
    ran: Ran
    home: Home


@pytest.fixture(scope="module", params=["ffmpeg", "mkvmerge"])
def lied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    root = tmp_path_factory.mktemp(request.param)
    folder = root / "library"
    folder.mkdir()
    for name in [*LIES, "honest"]:
        copy_of("full", folder, f"{name}.mkv")
    home = Home(root / "home")
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    home.guard(request.param, before=lying(made("two")))
    before = hashes(folder)
    policy = write(root / "policy.yaml", SOUND if request.param == "ffmpeg" else TRACKS)
    return Tried(folder, before, home.media(policy, folder, options="--workers 2"), home)


@pytest.mark.parametrize("name", LIES)
def test_a_tool_that_lies(name: str, lied: Tried) -> None:
    path = lied.folder / f"{name}.mkv"
    row = lied.ran.row(path)
    if name == "complains and says 0" and "mkvmerge" in str(lied.folder):
        assert row["status"] in {"failed", "done"}, "mkvmerge complains on stdout only"
        return
    assert row["status"] == "failed", row
    assert row["reason"]
    assert "\n" not in row["reason"]
    if name in CHANGED:
        assert path.read_bytes().endswith(b"more\n"), "what somebody else wrote stays"
        assert path.read_bytes()[:-5] == made("full").read_bytes()
    else:
        assert digest(path) == lied.before[path.name.encode()]
    assert path.name not in restored_hashes(lied.folder)


def test_lies_as_a_whole(lied: Tried) -> None:
    assert lied.ran.row(lied.folder / "honest.mkv")["status"] == "done"
    assert lied.ran.code == 1
    assert len(lied.ran.rows) == len(LIES) + 1
    assert not leftovers(lied.folder)
    assert not lied.home.litter()
    assert set(hashes(lied.folder)) == set(lied.before)


# ------------------------------------------------------------------------------------------------------------- timeouts


@pytest.mark.parametrize(
    ("options", "behaviour"),
    [
        pytest.param("--stall-timeout 1", "echo frame=1; sleep 600", id="silent"),
        pytest.param(
            "--stall-timeout 1",
            "while :; do echo frame=1; echo progress=continue; sleep 0.1; done",
            id="stands still",
        ),
        pytest.param("--stall-timeout 1", "trap '' TERM; (trap '' TERM; sleep 600); sleep 600", id="ignores TERM"),
        pytest.param(
            "--hard-timeout 2",
            'n=0; while :; do n=$((n+1)); echo "frame=$n"; echo progress=continue; sleep 0.1; done',
            id="goes on for ever",
        ),
    ],
)
def test_a_tool_that_hangs(options: str, behaviour: str, tmp_path: Path) -> None:
    folder, home = tmp_path / "library", Home(tmp_path / "home")
    folder.mkdir()
    film = copy_of("full", folder)
    home.guard("ffmpeg", before=behaviour)
    ran = home.media(write(tmp_path / "policy.yaml", SOUND), folder, options=options)
    assert ran.code == 1
    assert ran.row(film)["status"] == "failed"
    assert ran.seconds < 90, ran.seconds
    assert until(lambda: not home.children()), home.children()
    assert hashes(folder, ours=True) == {b"full.mkv": digest(made("full"))}


# --------------------------------------------------------------------------------------------------------------- policy


def test_a_result_that_is_too_large_is_thrown_away(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    film = copy_of("full", folder)
    rules = write(tmp_path / "policy.yaml", SOUND.replace("{min", "{reject_larger_than: 50%, min"))
    ran = Home(tmp_path / "home").media(rules, folder)
    assert ran.code == 0
    assert ran.row(film)["status"] == "skipped"
    assert "reject_larger_than" in ran.row(film)["reason"]
    assert hashes(folder, ours=True) == {b"full.mkv": digest(made("full"))}


def test_room_that_there_will_never_be(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    film = copy_of("full", folder)
    rules = write(tmp_path / "policy.yaml", SOUND.replace("10MB", "900TB"))
    ran = Home(tmp_path / "home").media(rules, folder)
    assert ran.code == 1
    assert ran.row(film)["status"] == "failed"
    assert "min_free" in ran.row(film)["reason"]
    assert hashes(folder, ours=True) == {b"full.mkv": digest(made("full"))}


@pytest.mark.parametrize("policy", ["version: 1\nsteps:\n  - keep_audoi: {languages: [eng]}\n", "version: 2\n", "{"])
def test_a_policy_that_is_wrong_is_refused_before_any_file(policy: str, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    copy_of("full", folder)
    ran = Home(tmp_path / "home").media(write(tmp_path / "policy.yaml", policy), folder)
    assert ran.code == 2
    assert not ran.out
    assert "policy.yaml" in ran.err
    assert hashes(folder, ours=True) == {b"full.mkv": digest(made("full"))}


def test_a_dry_run_tells_and_touches_nothing(tmp_path: Path) -> None:
    folder, home = tmp_path / "library", Home(tmp_path / "home")
    folder.mkdir()
    for clip in ("full", "plain", "mp4"):
        copy_of(clip, folder)
    home.guard()
    marks = {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in [folder, *folder.iterdir()]}
    rules = write(tmp_path / "policy.yaml", TRACKS.replace("[eng]", "[eng, und]"))
    ran = home.media(rules, folder, options="--dry-run")
    assert ran.code == 0
    assert ran.statuses() == {"full.mkv": "planned", "plain.mkv": "unchanged", "mp4.mp4": "unchanged"}
    assert ran.row(folder / "full.mkv")["changes"]
    assert {path: (path.stat().st_ino, path.stat().st_ctime_ns) for path in [folder, *folder.iterdir()]} == marks
    assert not home.told()


# ------------------------------------------------------------------------------------------------------ several at once


@pytest.mark.parametrize("states", ["one", pytest.param("two")])
def test_two_runs_at_once_over_the_same_folder(states: str, tmp_path: Path) -> None:
    """With one state each file is done once. With two they cannot know of each other: still nothing is lost."""
    folder, home = tmp_path / "library", Home(tmp_path / "home")
    folder.mkdir()
    for number in range(6):
        copy_of("full", folder, f"{number:02}.mkv")
    if states == "one":
        home.guard()
    rules = write(tmp_path / "policy.yaml", TRACKS)
    words = ["run", "--json", "--progress", "none", "--workers", "2"]
    began = time.monotonic()
    processes = [
        home.start(*words, "--state", tmp_path / (f"state {number}" if states == "two" else "state"), rules, folder)
        for number in range(2)
    ]
    runs = []
    for process in processes:
        with process:
            runs.append(home.end(process, began=began))
    assert not home.held(), home.held()
    done = [row["path"] for ran in runs for row in ran.rows if row["status"] == "done"]
    assert len(done) == len(set(done)) == 6, (runs[0].code, runs[1].code, runs[0].err, runs[1].err)
    for path in sorted(folder.glob("*.mkv")):
        assert [stream[2] for stream in shape(path) if stream[0] == "subtitle"] == ["eng", "eng"]
    assert all(digest(made("full")) in kept for kept in restored_hashes(folder).values())
    assert len(restored_hashes(folder)) == 6
    assert not leftovers(folder)
    for ran in runs:
        assert all(row["reason"] for row in ran.rows if row["status"] in {"failed", "skipped"})
        if ran.code == 2:
            assert "state" in ran.err or "journal" in ran.err


def test_after_a_kill_exactly_the_rest_is_done(tmp_path: Path) -> None:
    folder, home = tmp_path / "library", Home(tmp_path / "home")
    folder.mkdir()
    for number in range(6):
        copy_of("full", folder, f"{number}.mkv")
    home.guard(before="case $work in */[45].mkv) sleep 600;; esac")
    rules = write(tmp_path / "policy.yaml", SOUND)
    words = ["run", "--json", "--progress", "none", "--workers", "2", rules, folder]
    old = digest(made("full"))
    with home.start(*words) as process:
        noted = home.folder / "state/raddle/media"
        assert until(lambda: totals(noted)["files"]["done"] == 4 and len(home.told()) >= 6)
        process.kill()
        process.communicate()
    assert until(lambda: not home.children()), home.children()
    done = {name for name, mark in hashes(folder).items() if mark != old and b".raddle-" not in name}
    assert done == {b"0.mkv", b"1.mkv", b"2.mkv", b"3.mkv"}
    home.guard()
    told = len(home.told())
    ran = home.media(rules, folder, options="--resume --workers 2")
    assert ran.code == 0
    assert len(ran.rows) == 6, "all are in the report"
    worked = {Path(line.split()[-1]).name for line in home.told()[told:]}
    assert worked == {"4.mkv", "5.mkv"}
    resumed = {os.path.basename(row["path"]) for row in ran.rows if row.get("resumed")}
    assert resumed == {"0.mkv", "1.mkv", "2.mkv", "3.mkv"}
    assert not leftovers(folder)


def test_a_file_that_was_changed_since_is_not_taken_for_done(tmp_path: Path) -> None:
    folder, home = tmp_path / "library", Home(tmp_path / "home")
    folder.mkdir()
    film = copy_of("full", folder)
    rules = write(tmp_path / "policy.yaml", SOUND)
    assert home.media(rules, folder).statuses() == {"full.mkv": "done"}
    shutil.copyfile(made("full"), film)
    again = home.media(rules, folder, options="--resume")
    assert again.statuses() == {"full.mkv": "done"}
    assert {stream[1] for stream in shape(film) if stream[0] == "audio"} == {"flac"}
    other = write(tmp_path / "other.yaml", TRACKS)
    assert home.media(other, folder, options="--resume").statuses() == {"full.mkv": "done"}, (
        "another policy, other work"
    )
