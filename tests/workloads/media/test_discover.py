from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.workloads.media.discover import SUFFIXES, Found, discover
from raddle.workloads.media.replace.names import KEPT, TRASH, temporary_name


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))


def _names(folder: Path, found: list[Found]) -> list[str]:
    return [os.path.relpath(one.path, folder) for one in found if one.usable]


def test_a_folder_gives_what_looks_like_video_in_order(tmp_path: Path) -> None:
    _touch(tmp_path, "b.mkv", "a.MKV", "c.Mp4", "d.txt", "e.srt", "f.m2ts", "g", ".hidden.avi", "sub/x.mkv", "Z.webm")
    found = list(discover([tmp_path]))
    assert _names(tmp_path, found) == [".hidden.avi", "Z.webm", "a.MKV", "b.mkv", "c.Mp4", "f.m2ts"]
    assert all(one.usable for one in found)


def test_subfolders_with_recursive(tmp_path: Path) -> None:
    _touch(tmp_path, "b/2.mkv", "b/1.mkv", "a/x/y/z.mkv", "a/x.mkv", "m.mkv", "c/none.txt")
    assert _names(tmp_path, list(discover([tmp_path], recursive=True))) == [
        "m.mkv",
        "a/x.mkv",
        "a/x/y/z.mkv",
        "b/1.mkv",
        "b/2.mkv",
    ]
    assert _names(tmp_path, list(discover([tmp_path]))) == ["m.mkv"]


def test_what_is_named_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    _touch(tmp_path, "film", "film.bak", "x.mkv")
    assert _names(tmp_path, list(discover([tmp_path / "film.bak", tmp_path / "film"]))) == ["film.bak", "film"]


def test_what_is_ours_is_never_an_input(tmp_path: Path) -> None:
    temporary = temporary_name("E01.mkv")
    _touch(
        tmp_path,
        temporary,
        f"{temporary}.mkv",
        f"{TRASH}/2026/E01.mkv",
        f"sub/{TRASH}/E02.mkv",
        f"sub/{KEPT}/E02.mkv",
        "sub/E02.mkv",
        "E01.raddle-is-not-ours.mkv",
    )
    found = list(discover([tmp_path], recursive=True))
    assert _names(tmp_path, found) == ["E01.raddle-is-not-ours.mkv", "sub/E02.mkv"]
    named = list(discover([tmp_path / temporary, tmp_path / "sub" / TRASH / "E02.mkv", tmp_path / TRASH]))
    assert [one.usable for one in named] == [False] * 3
    assert "temporary file of raddle" in named[0].problem


def test_each_file_comes_once_however_it_is_reached(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mkv")
    (tmp_path / "hard.mkv").hardlink_to(tmp_path / "a.mkv")
    (tmp_path / "soft.mkv").symlink_to("a.mkv")
    found = list(discover([tmp_path, tmp_path / "a.mkv", f"{tmp_path}/./a.mkv", tmp_path]))
    assert _names(tmp_path, found) == ["a.mkv"]
    again = [one for one in found if one.same_as]
    assert [(Path(one.path).name, Path(one.same_as).name) for one in again] == [
        ("hard.mkv", "a.mkv"),
        ("soft.mkv", "a.mkv"),
        ("a.mkv", "a.mkv"),
        ("a.mkv", "a.mkv"),
    ]
    assert len({one.key for one in found}) == 1
    assert again[1].leads_to == str(tmp_path.resolve() / "a.mkv")


def test_the_same_name_given_twice(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mkv")
    path = str(tmp_path / "a.mkv")
    assert [one.usable for one in discover([path, path])] == [True, False]


def test_the_same_name_in_two_folders_is_two_files(tmp_path: Path) -> None:
    _touch(tmp_path, "x/E01.mkv", "y/E01.mkv")
    found = list(discover([tmp_path], recursive=True))
    assert _names(tmp_path, found) == ["x/E01.mkv", "y/E01.mkv"]
    assert found[0].key != found[1].key


def test_links_are_followed_and_told(tmp_path: Path) -> None:
    _touch(tmp_path, "store/real.mkv", "library/.keep")
    (tmp_path / "library/film.mkv").symlink_to("../store/real.mkv")
    (found,) = discover([tmp_path / "library"])
    assert found.usable
    assert found.path == str(tmp_path / "library/film.mkv")
    assert found.leads_to == str(tmp_path.resolve() / "store/real.mkv")


def test_a_link_to_a_folder_and_a_circle(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.mkv", "other/2.mkv")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "a/self").symlink_to(".")
    (tmp_path / "a/side").symlink_to("../other")
    found = list(discover([tmp_path / "a"], recursive=True))
    assert [Path(one.path).name for one in found if one.usable] == ["1.mkv", "2.mkv"]
    assert not [one for one in found if one.problem]


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "nowhere.mkv").symlink_to("gone.mkv")
    (tmp_path / "circle.mkv").symlink_to("circle.mkv")
    os.mkfifo(tmp_path / "pipe.mkv")
    found = list(discover([tmp_path, tmp_path / "missing.mkv", "a\0b.mkv"]))
    words = [(Path(one.path).name, one.problem) for one in found]
    assert words[0][0] == "circle.mkv"
    assert "symbolic links" in words[0][1]
    assert words[1:4] == [
        ("nowhere.mkv", "is a symbolic link that leads nowhere"),
        ("pipe.mkv", "is no regular file but a device, socket or pipe"),
        ("missing.mkv", "is not there"),
    ]
    assert "null" in words[4][1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as another user")
def test_an_unreadable_folder_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.mkv", "b/2.mkv")
    (tmp_path / "a").chmod(0)
    try:
        found = list(discover([tmp_path], recursive=True))
    finally:
        (tmp_path / "a").chmod(0o755)
    assert _names(tmp_path, found) == ["b/2.mkv"]
    assert [one.problem for one in found if one.problem] == ["may not be read by this user"]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    for name in (b"caf\xe9.mkv", b"\xff.MP4"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found = list(discover([os.fsencode(tmp_path)]))
    assert [os.fsencode(Path(one.path).name) for one in found] == [b"caf\xe9.mkv", b"\xff.MP4"]


def test_a_deep_tree_is_no_recursion(tmp_path: Path) -> None:
    before = Path.cwd()
    try:
        os.chdir(tmp_path)
        for _ in range(700):  # a path of this length can still be opened
            Path("d").mkdir()
            os.chdir("d")
        Path("x.mkv").write_bytes(b"x")
    finally:
        os.chdir(before)
    assert len(list(discover([tmp_path], recursive=True))) == 1


def test_the_first_file_comes_before_the_last_folder_is_read(tmp_path: Path) -> None:
    _touch(tmp_path, "a/1.mkv", "b/2.mkv")
    walk = discover([tmp_path], recursive=True)
    assert next(walk).path.endswith("1.mkv")
    _touch(tmp_path, "b/3.mkv")
    assert [Path(one.path).name for one in walk] == ["2.mkv", "3.mkv"]


def test_a_relative_path_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "films/a.mkv")
    monkeypatch.chdir(tmp_path)
    (found,) = discover(["films"])
    assert (found.path, found.leads_to) == ("films/a.mkv", "")


@settings(deadline=None)
@given(st.sampled_from(sorted(SUFFIXES)), st.data())
def test_suffixes_in_any_case_are_taken(suffix: str, data: st.DataObject) -> None:
    cased = "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in suffix)
    assert Path("x" + cased).suffix.lower() in SUFFIXES
