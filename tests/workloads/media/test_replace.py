"""A result takes the original's place: the path always holds the one or the other, and nothing else is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.errors import ConfigError
from raddle.workloads.media.replace import trash
from raddle.workloads.media.replace.attributes import carry_attributes
from raddle.workloads.media.replace.errors import (
    DiskFull,
    HardLinked,
    NotWritable,
    ReplaceError,
    SourceChanged,
    TargetTaken,
)
from raddle.workloads.media.replace.names import KEPT, TRASH, is_ours, main_temporary, temporary_name
from raddle.workloads.media.replace.replacing import STEPS, Replaced, check_replaceable, replace_file
from raddle.workloads.media.replace.restoring import expire, restore
from raddle.workloads.media.replace.staging import stage
from raddle.workloads.media.replace.sweeping import sweep
from raddle.workloads.media.replace.system import exchange, identity_of, link_or_copy, rename_new

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHILD = Path(__file__).with_name("fake_tools") / "replacing.py"
OLD, NEW = b"old" * 700, b"new" * 1000


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "a.mkv"
    path.write_bytes(OLD)
    return path


def replace(source: Path, target: Path | None = None, content: bytes = NEW, **options: Any) -> Replaced:
    identity = options.pop("identity", None) or identity_of(source.stat())
    with stage(str(source)) as staged:
        Path(staged.path).write_bytes(content)
        return replace_file(staged, str(target or source), identity, source=str(source), **options)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; those in the trash by their own names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".json":
            inner = path.relative_to(folder)
            name = f"{inner.parts[0]}/{path.name}" if inner.parts[0] in {TRASH, KEPT} else str(inner)
            found[name] = path.read_bytes()
    return found


def without_temporaries(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if main_temporary(name) is None}


# --------------------------------------------------------------------------------------------------------- names


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=255).filter(lambda raw: b"/" not in raw and b"\0" not in raw))
def test_temporary_names_fit_and_are_known(raw: bytes) -> None:
    name = os.fsdecode(raw)
    made = temporary_name(name)
    assert len(os.fsencode(made)) + len(".12-0.log.mbtree") <= 255
    assert is_ours(made)
    for suffix in ("", ".4", ".0-0.log", ".12-0.log.mbtree", ".0.cutree.temp"):
        assert main_temporary(made + suffix) == made


def test_a_name_is_not_cut_inside_a_character() -> None:
    temporary_name("ü" * 127).encode()


@pytest.mark.parametrize(
    "name", ["a.mkv", ".a.mkv", "a.raddle-abcdefgh.tmp", ".raddle", ".a.raddle-ABCDEFGH.tmp", ".a.tmp"]
)
def test_other_names_are_not_ours(name: str) -> None:
    assert not is_ours(name)


# ----------------------------------------------------------------------------------------------------- replacing


def test_the_original_goes_to_the_trash(film: Path) -> None:
    done = replace(film)
    assert tree(film.parent) == {"a.mkv": NEW, f"{TRASH}/a.mkv": OLD}
    assert done.original is not None
    assert Path(done.original).read_bytes() == OLD
    assert (done.path, done.notes) == (str(film), ())
    assert done.new == identity_of(film.stat())


def test_where_names_cannot_be_exchanged(film: Path) -> None:
    replace(film, exchanging=False)
    assert tree(film.parent) == {"a.mkv": NEW, f"{TRASH}/a.mkv": OLD}


@pytest.mark.parametrize(("originals", "place"), [("keep", KEPT), ("delete", None)])
def test_the_original_is_kept_or_deleted(film: Path, originals: Any, place: str | None) -> None:
    replace(film, originals=originals)
    assert tree(film.parent) == {"a.mkv": NEW} | ({f"{place}/a.mkv": OLD} if place else {})


@pytest.mark.parametrize("originals", ["trash", "keep", "delete"])
def test_another_container_is_another_name(film: Path, originals: Any) -> None:
    target = film.with_suffix(".mp4")
    done = replace(film, target, originals=originals)
    kept = {"trash": {f"{TRASH}/a.mkv": OLD}, "keep": {f"{KEPT}/a.mkv": OLD}, "delete": {}}[originals]
    assert tree(film.parent) == {"a.mp4": NEW} | kept
    assert done.path == str(target)
    assert not list(film.parent.rglob("*.json")) or kept


def test_a_neighbour_is_never_overwritten(film: Path) -> None:
    neighbour = film.with_suffix(".mp4")
    neighbour.write_bytes(b"another film")
    with pytest.raises(TargetTaken, match="never overwritten"):
        replace(film, neighbour)
    assert tree(film.parent) == {"a.mkv": OLD, "a.mp4": b"another film"}


def test_a_neighbour_that_comes_late_is_not_overwritten_either(film: Path) -> None:
    neighbour = film.with_suffix(".mp4")

    def step(name: str) -> None:
        if name == "checked":
            neighbour.write_bytes(b"another film")

    with pytest.raises(TargetTaken):
        replace(film, neighbour, step=step)
    assert tree(film.parent) == {"a.mkv": OLD, "a.mp4": b"another film"}


def rewritten(path: Path) -> None:
    path.write_bytes(b"somebody wrote")


def exchanged(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"somebody wrote")
    other.rename(path)


@pytest.mark.parametrize("change", [rewritten, exchanged])
@pytest.mark.parametrize("moment", ["begun", "carried", "synced", "kept", "checked"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_what_somebody_writes_meanwhile_is_not_lost(
    film: Path, change: Callable[[Path], None], moment: str, suffix: str
) -> None:
    def step(name: str) -> None:
        if name == moment:
            change(film)

    with pytest.raises(SourceChanged, match="run again"):
        replace(film, film.with_suffix(suffix), step=step)
    assert {k: v for k, v in tree(film.parent).items() if not k.startswith(TRASH)} == {"a.mkv": b"somebody wrote"}
    assert sweep(str(film.parent)).removed == ()


def test_what_changed_before_is_refused(film: Path) -> None:
    identity = identity_of(film.stat())
    film.write_bytes(b"x")
    with pytest.raises(SourceChanged):
        replace(film, identity=identity)
    film.unlink()
    with pytest.raises(SourceChanged, match="gone since it was probed"):
        check_replaceable(str(film), str(film), identity)


def test_hard_links(film: Path) -> None:
    twin = film.with_name("twin.mkv")
    os.link(film, twin)
    with pytest.raises(HardLinked, match=r"1 further names.*hardlinks: break"):
        replace(film)
    assert film.samefile(twin)
    replace(film, hardlinks="break")
    assert (film.read_bytes(), twin.read_bytes()) == (NEW, OLD)


def test_a_symbolic_link_stays_one(film: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "b.mkv"
    link.symlink_to(film)
    replace(link)
    assert link.is_symlink()
    assert film.read_bytes() == NEW
    assert list((tmp_path / "links").iterdir()) == [link]
    with pytest.raises(ConfigError, match="give the file itself"):
        replace(link, link.with_suffix(".mp4"))


def test_mode_times_and_attributes_are_kept(film: Path) -> None:
    film.chmod(0o640)
    os.utime(film, ns=(10**18 + 7, 10**18 + 9))
    with contextlib.suppress(OSError):
        os.setxattr(film, "user.note", b"mine")
    before = film.stat()
    replace(film)
    after = film.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_mtime_ns == 10**18 + 9
    assert os.listxattr(film) == ["user.note"]


@pytest.mark.parametrize(("times", "found"), [(1_500_000_000_000_000_000, 1.5e9), ("now", None)])
def test_other_times(film: Path, times: Any, found: float | None) -> None:
    os.utime(film, (1e9, 1e9))
    replace(film, times=times)
    assert film.stat().st_mtime == found or (found is None and film.stat().st_mtime > 1.6e9)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_is_kept_or_that_is_said(film: Path) -> None:
    os.chown(film, 12345, 54321)
    assert replace(film).notes == ()
    assert (film.stat().st_uid, film.stat().st_gid) == (12345, 54321)
    # as another user
    other = film.with_name("other")
    other.touch()
    os.chown(other, 1234, 1234)
    film.chmod(0o4755)
    told: list[str] = []
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgid(1234)
            os.setuid(1234)
            with other.open("r+b") as file:
                told += carry_attributes(str(film), film.stat(), file.fileno())
                code = 0 if told == ["owner 12345:54321 could not be kept"] else 2
        finally:
            os._exit(code)
    # pytest's folders are closed to others; then the child cannot look into them, and the test says nothing
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in {0, 1}


@pytest.mark.parametrize("raw", [b"caf\xe9 \n.mkv", b"n" * 250 + b".mkv", "ü".encode() * 125 + b".mkv", b"\xff" * 255])
def test_names_of_all_kinds(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / os.fsdecode(raw)
    path.write_bytes(OLD)
    replace(path)
    assert path.read_bytes() == NEW
    assert restore(str(path))[0].refused == ""
    assert tree(tmp_path) == {path.name: OLD}


def read_only_mount(folder: Path) -> bool:
    """Make a folder read-only even for root."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        return True
    bound = subprocess.run(["mount", "--bind", folder, folder], check=False, capture_output=True).returncode == 0
    return bound and subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=False).returncode == 0


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "closed"
    folder.mkdir()
    (folder / "a.mkv").write_bytes(OLD)
    if not read_only_mount(folder):
        pytest.skip("a folder cannot be made read-only here")
    yield folder
    if os.geteuid() == 0:
        subprocess.run(["umount", folder], check=True)
    folder.chmod(0o755)


def test_a_folder_that_takes_no_files(closed: Path) -> None:
    with pytest.raises(NotWritable, match=r"closed' takes no new files \(.*\): allow writing there"):
        replace(closed / "a.mkv")
    assert tree(closed) == {"a.mkv": OLD}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB and eight names."""
    folder = tmp_path / "small"
    folder.mkdir()
    options = "size=64k,nr_inodes=5"
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("a disk cannot be mounted here: needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small: Path) -> None:
    film = small / "a.mkv"
    film.write_bytes(OLD)
    with pytest.raises(DiskFull, match="make room"):  # no inode left for the trash
        replace(film)
    assert tree(small) == {"a.mkv": OLD}
    for number in range(4):
        with contextlib.suppress(OSError):
            (small / str(number)).touch()
    with pytest.raises(DiskFull, match="make room"):
        replace(film)
    assert film.read_bytes() == OLD


def test_an_error_of_the_caller_leaves_nothing(film: Path) -> None:
    with pytest.raises(LookupError), stage(str(film)) as staged:  # noqa: PT012 - the block is what is tested
        Path(staged.path).write_bytes(NEW)
        Path(staged.path + ".0-0.log").touch()
        raise LookupError("not verified")
    assert tree(film.parent) == {"a.mkv": OLD}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("moment", STEPS)
def test_an_interrupt_at_any_step(film: Path, moment: str, suffix: str) -> None:
    def step(name: str) -> None:
        if name == moment:
            raise KeyboardInterrupt

    target = film.with_suffix(suffix)
    with pytest.raises(KeyboardInterrupt):
        replace(film, target, step=step)
    sweep(str(film.parent))
    assert tree(film.parent) in ({"a.mkv": OLD}, {target.name: NEW, f"{TRASH}/a.mkv": OLD})
    assert film.exists() is False or film.stat().st_nlink == 1


def test_many_at_once_in_one_folder(tmp_path: Path) -> None:
    films = [tmp_path / f"{number}.mkv" for number in range(24)]
    for film in films:
        film.write_bytes(OLD)
    failures: list[BaseException] = []

    def work(mine: list[Path]) -> None:
        try:
            for film in mine:
                replace(film)
                assert restore(str(film))[0].refused == ""
                replace(film, film.with_suffix(".mp4"))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(films[part::4],)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert tree(tmp_path) == {f"{n}.mp4": NEW for n in range(24)} | {f"{TRASH}/{n}.mkv": OLD for n in range(24)}


# ---------------------------------------------------------------------------------------------------- kill -9


def run_child(film: Path, target: Path, originals: str, fatal: str, how: str) -> int:
    argv = [sys.executable, str(CHILD), str(film), str(target), originals, fatal, how]
    return subprocess.run(argv, check=False, capture_output=True, timeout=120).returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("originals", "suffix", "how"),
    [
        ("trash", ".mkv", "exchange"),
        ("trash", ".mkv", "rename"),
        ("trash", ".mp4", "exchange"),
        ("delete", ".mkv", "exchange"),
        ("delete", ".mp4", "exchange"),
    ],
)
def test_killed_at_each_step(tmp_path: Path, originals: str, suffix: str, how: str) -> None:
    for fatal in ("staged", "written", *STEPS):
        folder = tmp_path / fatal
        folder.mkdir()
        film, neighbour = folder / "a.mkv", folder / "b.mkv"
        film.write_bytes(OLD)
        neighbour.write_bytes(b"neighbour")
        target = film.with_suffix(suffix)
        assert run_child(film, target, originals, fatal, how) == -signal.SIGKILL

        after = without_temporaries(tree(folder))
        held = {after.get(name) for name in ("a.mkv", target.name)} - {None}
        assert held, (fatal, "neither the old nor the new")
        assert held <= {OLD, NEW}, fatal
        if originals == "trash":
            assert OLD in after.values(), (fatal, "the original is nowhere")

        swept = sweep(str(folder))
        assert swept.in_use == ()
        files = tree(folder)
        kept = {f"{TRASH}/a.mkv": OLD} if originals == "trash" else {}
        assert files in (
            {"a.mkv": OLD, "b.mkv": b"neighbour"},
            {target.name: NEW, "b.mkv": b"neighbour", **kept},
        ), fatal
        assert all(path.stat().st_nlink == 1 for path in folder.rglob("*") if path.is_file()), fatal
        assert sweep(str(folder)).removed == ()
        if kept and target.exists() and target.read_bytes() == NEW:
            assert restore(str(target))[0].refused == ""
            assert tree(folder) == {"a.mkv": OLD, "b.mkv": b"neighbour"}


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_killed_at_random_moments(tmp_path: Path) -> None:
    dice = random.Random(6)
    for turn in range(100):
        folder = tmp_path / str(turn)
        folder.mkdir()
        film = folder / "a.mkv"
        film.write_bytes(OLD)
        target = film.with_suffix(dice.choice([".mkv", ".mp4"]))
        argv = [sys.executable, str(CHILD), str(film), str(target), "trash", "never"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as child:
            time.sleep(dice.uniform(0.05, 0.3))
            child.kill()
        sweep(str(folder))
        assert tree(folder) in ({"a.mkv": OLD}, {target.name: NEW, f"{TRASH}/a.mkv": OLD})


# ------------------------------------------------------------------------------------------------------ sweeping


def test_what_is_in_use_or_not_ours_stays(film: Path) -> None:
    folder = film.parent
    for name in ("notes.tmp", ".a.raddle-short.tmp", ".b.raddle-abcdefgh.tmp.bak/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"mine")
    (folder / ".dir.raddle-abcdefgh.tmp").mkdir()
    (folder / ".link.raddle-abcdefgh.tmp").symlink_to(film)
    left = folder / temporary_name("left.mkv")
    left.touch()
    Path(f"{left}.0-0.log").touch()
    before = set(tree(folder))
    with stage(str(film)) as staged:
        Path(staged.path + ".4").touch()
        swept = sweep(str(folder))
        assert set(swept.in_use) == {staged.path, staged.path + ".4"}
        assert set(swept.removed) == {str(left), f"{left}.0-0.log"}
        assert Path(staged.path).exists()
    assert set(tree(folder)) == before - {left.name, f"{left.name}.0-0.log"}


def test_a_replacement_of_another_process_is_not_settled(film: Path) -> None:
    moments: list[tuple[str, ...]] = []

    def step(name: str) -> None:
        if name in {"kept", "checked", "swapped", "settled"}:
            swept = sweep(str(film.parent))
            moments.append(swept.removed + swept.settled)
            assert swept.in_use

    replace(film, film.with_suffix(".mp4"), step=step)
    assert moments == [()] * 4
    assert tree(film.parent) == {"a.mp4": NEW, f"{TRASH}/a.mkv": OLD}


def test_sweeping_a_whole_library(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    left = tmp_path / "x" / "y" / temporary_name("a.mkv")
    left.touch()
    assert sweep(str(tmp_path)).removed == ()
    assert sweep(str(tmp_path), recursive=True).removed == (str(left),)


# ----------------------------------------------------------------------------------------------------- restoring


def test_restoring_goes_back_one_version_at_a_time(film: Path) -> None:
    replace(film, content=b"second")
    replace(film, content=b"third")
    assert restore(str(film))[0].refused == ""
    assert film.read_bytes() == b"second"
    restore(str(film))
    assert tree(film.parent) == {"a.mkv": OLD}
    with pytest.raises(ConfigError, match="no original of it is in the trash"):
        restore(str(film))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_two_steps_leave_one_original(film: Path, suffix: str) -> None:
    first = replace(film, content=b"between")
    second = replace(film, film.with_suffix(suffix), follows=first.original)
    assert second.original == first.original
    assert tree(film.parent) == {f"a{suffix}": NEW, f"{TRASH}/a.mkv": OLD}
    assert sweep(str(film.parent)).settled == ()
    assert restore(second.path)[0].refused == ""
    assert tree(film.parent) == {"a.mkv": OLD}


@pytest.mark.parametrize("by", ["a.mkv", "a.mp4"])
def test_restoring_another_container(film: Path, by: str) -> None:
    replace(film, film.with_suffix(".mp4"))
    assert restore(str(film.parent / by))[0].path == str(film)
    assert tree(film.parent) == {"a.mkv": OLD}


def test_a_result_that_was_changed_is_not_thrown_away(film: Path) -> None:
    replace(film)
    film.write_bytes(b"worked on")
    found = restore(str(film))[0]
    assert "was changed after it was made" in found.refused
    assert film.read_bytes() == b"worked on"
    assert restore(str(film), force=True)[0].refused == ""
    assert tree(film.parent) == {"a.mkv": OLD, f"{TRASH}/a.mkv": b"worked on"}
    # and back once more
    assert restore(str(film), force=True)[0].refused == ""
    assert film.read_bytes() == b"worked on"


def test_an_original_is_not_restored_over_a_new_neighbour(film: Path) -> None:
    replace(film, film.with_suffix(".mp4"))
    film.write_bytes(b"downloaded again")
    assert "never overwritten" in restore(str(film), force=True)[0].refused
    assert tree(film.parent) == {"a.mkv": b"downloaded again", "a.mp4": NEW, f"{TRASH}/a.mkv": OLD}


def test_restoring_a_result_that_is_gone(film: Path) -> None:
    replace(film)
    film.unlink()
    restore(str(film))
    assert tree(film.parent) == {"a.mkv": OLD}


def test_restoring_a_library(tmp_path: Path) -> None:
    for name in ("a/1.mkv", "a/2.avi", "b/c/1.mkv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
        replace(tmp_path / name, (tmp_path / name).with_suffix(".mkv"))
    found = restore(str(tmp_path), recursive=True)
    assert sorted(os.path.relpath(one.path, tmp_path) for one in found) == ["a/1.mkv", "a/2.avi", "b/c/1.mkv"]
    assert tree(tmp_path) == {name: name.encode() for name in ("a/1.mkv", "a/2.avi", "b/c/1.mkv")}


def test_a_lost_record_leaves_the_original_to_be_asked_for(film: Path) -> None:
    replace(film)
    (record,) = film.parent.rglob("*.json")
    record.write_text("{")
    assert "restore with force" in restore(str(film))[0].refused
    assert restore(str(film), force=True)[0].refused == ""
    assert film.read_bytes() == OLD


def test_the_trash_is_emptied_by_age(tmp_path: Path) -> None:
    for name, originals in (("a.mkv", "trash"), ("b.mkv", "keep")):
        (tmp_path / name).write_bytes(OLD)
        replace(tmp_path / name, originals=originals)
    now = datetime.now(UTC)
    assert expire(str(tmp_path), 7, now + timedelta(days=6)).files == 0
    gone = expire(str(tmp_path), 7, now + timedelta(days=8))
    assert (gone.files, gone.freed) == (1, len(OLD))
    assert tree(tmp_path) == {"a.mkv": NEW, "b.mkv": NEW, f"{KEPT}/b.mkv": OLD}
    assert not (tmp_path / TRASH).exists()


def test_a_strange_file_in_the_trash_is_left_alone(film: Path) -> None:
    replace(film)
    (film.parent / TRASH / "holiday-photos").mkdir()
    (film.parent / TRASH / "holiday-photos" / "1.jpg").touch()
    expire(str(film.parent), 0, datetime.now(UTC) + timedelta(days=1))
    sweep(str(film.parent))
    assert list(tree(film.parent)) == [f"{TRASH}/1.jpg", "a.mkv"]


# ---------------------------------------------------------------------------------------------------- the system


def test_renaming_and_exchanging(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        rename_new(str(one), str(two))
    if exchange(str(one), str(two)):
        assert (one.read_bytes(), two.read_bytes()) == (b"2", b"1")
    with pytest.raises(FileNotFoundError):
        exchange(str(one), str(tmp_path / "three"))
    rename_new(str(one), str(tmp_path / "three"))
    assert not one.exists()


def test_a_copy_where_there_are_no_links(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    (tmp_path / "a").write_bytes(OLD)
    name = other / temporary_name("raddle-test")
    try:
        link_or_copy(str(tmp_path / "a"), str(name))
        assert name.read_bytes() == OLD
        with pytest.raises(FileExistsError):
            link_or_copy(str(tmp_path / "a"), str(name))
    finally:
        name.unlink()


def test_entries_of_a_folder_without_trash(tmp_path: Path) -> None:
    assert trash.entries(str(tmp_path)) == []
    assert issubclass(TargetTaken, ReplaceError)
