"""Input that is damaged, no video, strangely named, or no file at all: a clear outcome each, and nothing harmed."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH118
from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

from raddle.workloads.media.clips import Clip, Sound

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import built, copy_of, made
from media_safety import Home, Ran, digest, hashes, leftovers, program, raw_path, restored_hashes, shape, write

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow  # programs and files: no Python differs from another there

#: something to do in every good file here
POLICY = """
version: 1
safety: {min_free: 10MB, verify: LEVEL}
steps:
  - clear: {titles: [video, audio], title: true}
    container: {to: mkv}
"""
LARGE = {"width": 320, "height": 240, "length": 4.0, "title": "x", "video_title": "x"}
LARGE_MKV = Clip(name="large.mkv", audio=(Sound(title="x"),), **LARGE)  # type: ignore[arg-type]
LARGE_MP4 = Clip(name="large.mp4", container="mp4", audio=(Sound(title="x"),), **LARGE)  # type: ignore[arg-type]
KIB64 = 1 << 16


def policy(folder: Path, level: str = "packets") -> Path:
    return write(folder / "policy.yaml", POLICY.replace("LEVEL", level))


def zeroed(whole: bytes) -> bytes:
    assert len(whole) > 2 * KIB64, "too small a clip"
    middle = len(whole) // 2
    return whole[: middle - KIB64 // 2] + bytes(KIB64) + whole[middle + KIB64 // 2 :]


def flipped(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :]


def picture() -> bytes:
    argv = [program("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x48", "-frames:v", "1"]
    return subprocess.run([*argv, "-f", "mjpeg", "-"], capture_output=True, check=True, timeout=120).stdout


@dataclass(frozen=True)
class Case:
    name: str
    content: Callable[[], bytes]
    status: str
    #: a part of the reason
    says: str = ""


#: a flipped byte in a picture is seen by decoding only: at worst the streams are copied as they are
DAMAGED = (
    Case("cut in half.mkv", lambda: made("full").read_bytes()[: made("full").stat().st_size // 2], "failed", "cut off"),
    Case("cut at 99.mkv", lambda: made("full").read_bytes()[:-1500], "failed", "damaged"),
    Case("cut in half.mp4", lambda: made("mp4").read_bytes()[: made("mp4").stat().st_size // 2], "failed", "moov"),
    Case("zeroed block.mkv", lambda: zeroed(built(LARGE_MKV).read_bytes()), "failed", "damaged"),
    Case("flipped byte.mkv", lambda: flipped(built(LARGE_MKV).read_bytes()), "done|failed"),
    Case("header only.mkv", lambda: made("full").read_bytes()[:4096], "failed", "header"),
    Case("header only.mp4", lambda: made("mp4").read_bytes()[:32], "failed", "header"),
    Case("empty.mkv", bytes, "failed", "empty"),
    Case("one byte.mp4", lambda: b"\0", "failed", "not a video"),
    Case("text.mkv", lambda: b"Dear diary,\n" * 200, "failed", "not a video"),
    Case("picture.mp4", picture, "failed", "not a video"),
    Case("zeros.avi", lambda: bytes(100_000), "failed", "not a video"),
    Case("matroska.avi", lambda: made("full").read_bytes(), "done"),
    Case("mp4 named.mkv", lambda: made("mp4").read_bytes(), "done"),
    Case("good.mkv", lambda: made("full").read_bytes(), "done"),
)


@dataclass(frozen=True)
class Tried:
    folder: Path
    before: dict[bytes, str]
    ran: Ran
    home: Home


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    root = tmp_path_factory.mktemp("damaged")
    folder = root / "library"
    folder.mkdir()
    for case in DAMAGED:
        (folder / case.name).write_bytes(case.content())
    before, home = hashes(folder), Home(root / "home")
    return Tried(folder, before, home.media(policy(root), folder, options="--workers 2"), home)


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: case.name)
def test_content(case: Case, damaged: Tried) -> None:
    path = damaged.folder / case.name
    row = damaged.ran.row(path)
    assert row["status"] in case.status.split("|"), row
    old = damaged.before[case.name.encode()]
    if row["status"] == "done":
        result = Path(row.get("target") or path)
        assert old in restored_hashes(damaged.folder)[case.name], "the original is in the trash"
        assert shape(result)
        assert result.read_bytes()[:4] == b"\x1a\x45\xdf\xa3", "it is Matroska now"
    else:
        assert digest(path) == old
        assert case.says in row["reason"], row["reason"]
        assert "\n" not in row["reason"]


def test_damage_as_a_whole(damaged: Tried) -> None:
    assert damaged.ran.code == 1, "some failed"
    assert len(damaged.ran.rows) == len(DAMAGED)
    assert not leftovers(damaged.folder)
    assert not damaged.home.litter()
    assert not damaged.home.children()


def test_only_good_files_are_worth_an_exit_code_of_0(tmp_path: Path) -> None:
    copy_of("full", tmp_path)
    assert Home(tmp_path / "home").media(policy(tmp_path), tmp_path / "full.mkv").code == 0


def test_decoding_sees_what_packets_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "zeroed.mp4").write_bytes(zeroed(built(LARGE_MP4).read_bytes()))
    (folder / "good.mp4").write_bytes(built(LARGE_MP4).read_bytes())
    before = hashes(folder)
    ran = Home(tmp_path / "home").media(policy(tmp_path, "decode"), folder)
    assert ran.code == 1
    assert ran.statuses() == {"zeroed.mp4": "failed", "good.mp4": "done"}
    assert digest(folder / "zeroed.mp4") == before[b"zeroed.mp4"]
    assert sorted(path.name for path in folder.glob("*.*") if path.is_file()) == ["good.mkv", "zeroed.mp4"]


# ---------------------------------------------------------------------------------------------------------------- names

NAMES = (
    b"plain.mkv",
    b"SHOUTING.MKV",
    b"with space and 'quotes' and \"more\".mkv",
    b"-rf.mkv",
    b"--help.mkv",
    b"new\nline.mkv",
    b"tab\tand\x1b[31mred.mkv",
    b"%d %s %(name)s.mkv",
    b"{} {0} {path}.mkv",
    b"[a-z]*?.mkv",
    b"$(touch owned) `touch owned` ; touch owned.mkv",
    b"@list.mkv",
    b"=1.mkv",
    b"file:name.mkv",
    b"http:name.mkv",
    b"#hash & ampersand|pipe.mkv",
    b"back\\slash.mkv",
    "été 映画 🎬.mkv".encode(),
    "e\u0301 decomposed.mkv".encode(),
    b"not utf-8 \xff\xfe.mkv",
    b"x" * 246 + b".mkv",
    "ü".encode() * 123 + b".mkv",
    b".hidden.mkv",
    b"two.dots.mp4.mkv",
    b"trailing space .mkv",
)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    root = tmp_path_factory.mktemp("named")
    folder = root / "library"
    folder.mkdir()
    for name in NAMES:
        shutil.copyfile(os.fsencode(made("full")), os.path.join(os.fsencode(folder), name))
    before, home = hashes(folder), Home(root / "home")
    return Tried(folder, before, home.media(policy(root), folder, options="--workers 2"), home)


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name[:30])[2:-1])
def test_name(name: bytes, named: Tried) -> None:
    path = os.path.join(os.fsencode(named.folder), name)
    row = named.ran.row(path)
    assert row["status"] == "done", row
    assert digest(path) != named.before[name]
    assert len(shape(path)) == len(shape(made("full"))), "every stream is there"


def test_names_as_a_whole(named: Tried) -> None:
    assert named.ran.code == 0
    assert set(hashes(named.folder)) == set(NAMES), "no file more or less"
    assert not leftovers(named.folder)
    assert all(len(line.encode("utf-8", "surrogateescape")) < 100_000 for line in named.ran.out.splitlines())
    assert "\x1b" not in named.ran.out


def test_names_given_relative_to_the_working_folder(tmp_path: Path) -> None:
    names = [b"-rf.mkv", b"--help.mkv", b"@list.mkv", b"file:name.mkv", b"not utf-8 \xff.mkv"]
    for name in names:
        shutil.copyfile(os.fsencode(made("full")), os.path.join(os.fsencode(tmp_path), name))
    ran = Home(tmp_path / "home").media(policy(tmp_path), *names, cwd=tmp_path)
    assert ran.code == 0
    assert {raw_path(row) for row in ran.rows} == set(names)
    assert {row["status"] for row in ran.rows} == {"done"}


def test_names_that_the_file_system_refuses(tmp_path: Path) -> None:
    long, deep = tmp_path / ("x" * 300 + ".mkv"), Path(tmp_path, *["y" * 200] * 25, "a.mkv")
    good = copy_of("full", tmp_path)
    ran = Home(tmp_path / "home").media(policy(tmp_path), long, deep, tmp_path / "not there.mkv", good)
    assert ran.code == 1
    for path, says in ((long, "too long"), (deep, "too long"), (tmp_path / "not there.mkv", "not there")):
        row = ran.row(path)
        assert row["status"] == "failed"
        assert says in row["reason"].lower()
    assert ran.row(good)["status"] == "done", "the others go on"


# --------------------------------------------------------------------------------------------------- no files, or links


def test_what_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "library"
    (folder / "folder.mkv").mkdir(parents=True)
    os.mkfifo(folder / "pipe.mkv")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.mkv"))
        (folder / "device.mkv").symlink_to("/dev/zero")
        copy_of("full", folder)
        ran = Home(tmp_path / "home").media(policy(tmp_path), folder, "/dev/null")
    assert ran.code == 1
    for name in ("pipe.mkv", "socket.mkv", "device.mkv", "/dev/null"):
        row = ran.row(folder / name)
        assert row["status"] == "failed", row
        assert "no regular file" in row["reason"]
    assert ran.row(folder / "full.mkv")["status"] == "done"
    assert len(ran.rows) == 5, "a folder is no file"
    assert stat.S_ISFIFO((folder / "pipe.mkv").lstat().st_mode)


def test_links(tmp_path: Path) -> None:
    folder, far = tmp_path / "library", tmp_path / "far"
    folder.mkdir()
    far.mkdir()
    film = copy_of("full", far)
    (folder / "good.mkv").symlink_to(film)
    (folder / "dangling.mkv").symlink_to(far / "gone.mkv")
    (folder / "loop.mkv").symlink_to(folder / "loop.mkv")
    hard = copy_of("full", folder, "hard.mkv")
    (folder / "harder.mkv").hardlink_to(hard)
    before = hashes(folder)
    home = Home(tmp_path / "home")
    ran = home.media(policy(tmp_path), folder)
    assert ran.code == 1
    statuses = ran.statuses()
    assert statuses == {
        "good.mkv": "done",
        "dangling.mkv": "failed",
        "loop.mkv": "failed",
        "hard.mkv": "skipped",
        "harder.mkv": "skipped",
    }
    assert "nowhere" in ran.row(folder / "dangling.mkv")["reason"]
    assert "further name" in ran.row(folder / "hard.mkv")["reason"]
    assert "hard.mkv" in ran.row(folder / "harder.mkv")["reason"]
    assert hashes(folder) == before, "links are still links, hard ones are left alone"
    assert hard.samefile(folder / "harder.mkv")
    assert [stream[3] for stream in shape(film) if stream[0] == "video"] == [""], "what the good link leads to is new"
    assert restored_hashes(far) == {"full.mkv": {digest(made("full"))}}
    assert not leftovers(tmp_path)


def test_hard_links_are_broken_only_when_asked(tmp_path: Path) -> None:
    film = copy_of("full", tmp_path)
    (tmp_path / "other name.mkv").hardlink_to(film)
    rules = write(tmp_path / "policy.yaml", POLICY.replace("LEVEL", "packets, hardlinks: break"))
    ran = Home(tmp_path / "home").media(rules, film)
    assert ran.code == 0
    assert ran.row(film)["status"] == "done"
    assert digest(tmp_path / "other name.mkv") == digest(made("full"))
    assert digest(film) != digest(made("full"))


def test_the_same_name_in_two_folders(tmp_path: Path) -> None:
    folders = [tmp_path / "library" / name for name in "xy"]
    for folder, clip in zip(folders, (made("full"), built(LARGE_MKV)), strict=True):
        folder.mkdir(parents=True)
        shutil.copyfile(clip, folder / "E01.mkv")
    before = [shape(folder / "E01.mkv") for folder in folders]
    ran = Home(tmp_path / "home").media(policy(tmp_path), tmp_path / "library", options="-R --workers 2")
    assert ran.code == 0
    assert [row["status"] for row in ran.rows] == ["done", "done"]
    for folder, old in zip(folders, before, strict=True):
        kinds = [[(stream[0], stream[-1]) for stream in streams] for streams in (old, shape(folder / "E01.mkv"))]
        assert sorted(kinds[0]) == sorted(kinds[1]), "its own streams, packet for packet"


def as_others() -> tuple[str, ...]:
    """What to put before a command so that permissions count for it, for root too."""
    if os.geteuid() != 0:
        return ()
    words = (program("setpriv"), "--bounding-set", "-dac_override,-dac_read_search", "--")
    if subprocess.run([*words, "true"], capture_output=True, check=False, timeout=120).returncode:
        pytest.skip("root may read what nobody may, and setpriv cannot take that away here")
    return words


def test_unreadable_and_unwritable(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", as_others())
    (tmp_path / "fixed").mkdir()
    (tmp_path / "closed").mkdir()
    fixed, film, closed = copy_of("full", tmp_path / "fixed"), copy_of("full", tmp_path, "a.mkv"), tmp_path / "closed"
    for path, mode in ((film, 0), (closed, 0), (fixed.parent, 0o555)):
        path.chmod(mode)
    try:
        ran = home.media(policy(tmp_path), film, closed, fixed.parent)
    finally:
        for path in (film, closed, fixed.parent):
            path.chmod(0o700)
    assert ran.code == 1
    for path, says in ((film, "read"), (closed, "read"), (fixed, "allow writing")):
        row = ran.row(path)
        assert row["status"] == "failed", row
        assert says in row["reason"], row["reason"]
    assert digest(film) == digest(fixed) == digest(made("full"))
    assert sorted(path.name for path in fixed.parent.iterdir()) == ["full.mkv"]


# ------------------------------------------------------------------------------------------------ the other commands


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_the_other_commands_change_nothing_and_say_what_is_wrong(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    for case in DAMAGED:
        if case.name in {"cut in half.mkv", "empty.mkv", "text.mkv", "good.mkv"}:
            (folder / case.name).write_bytes(case.content())
    before = hashes(folder)
    done = Home(tmp_path / "home").start(command, folder, "--json")
    out, err = done.communicate(timeout=120)
    assert done.returncode == 1, err.decode()
    assert b"Traceback" not in err + out
    for name in (b"empty.mkv", b"text.mkv", b"good.mkv"):
        assert name in out + err
    assert hashes(folder, ours=True) == before
