"""The policies that we hand out do what their first line says, on real files; the pages' examples are policies."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made import CLIPS, built
from media_operations import Seen, brought, format_of, kinds, seen

from raddle.workloads.media.clips import Attached, Clip, Sound, Text
from raddle.workloads.media.plan import Plan, Skip, preview
from raddle.workloads.media.policy import load_policy, parse_policy
from raddle.workloads.media.probe import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.media.batch.results import Result

ROOT = Path(__file__).resolve().parents[3]
POLICIES = sorted((ROOT / "docs/policies").glob("*.yaml"))
PAGES = [ROOT / "docs/how-to/media.md", ROOT / "docs/reference/media-policy.md"]
SIGNS = Text(codec="ass", language="eng", title="Signs", forced=True)

FILES = {
    "show": Clip(
        name="show.mkv",
        audio=(
            Sound(language="eng", default=True),
            Sound(language="jpn", title="日本語"),
            Sound(language="jpn", title="Cast commentary"),
        ),
        subtitles=(SIGNS, Text(codec="ass", language="eng", title="Full"), Text(language="ger", default=True)),
        attachments=(Attached("a.ttf"), Attached("notes.txt", "text/plain")),
        video_title="rip",
    ),
    "film": Clip(
        name="film.mkv",
        video="mpeg4",
        audio=(Sound(codec="ac3", language="eng", channels=6, default=True), Sound(codec="flac", language="ger")),
        subtitles=(Text(language="ger", default=True), Text(language="eng")),
        chapters=("One", "Two"),
        attachments=(Attached("a.ttf"),),
    ),
    "foreign": Clip(
        name="foreign.mkv",
        audio=(Sound(language="fre"), Sound(language="ger")),
        subtitles=(Text(language="eng", title="Signs"), Text(language="eng")),
    ),
    **{name: CLIPS[name] for name in ("full", "cover", "avi", "webm", "mov", "mp4", "hevc")},
}


def strings(streams: list[Seen], *wanted: str) -> list[str]:
    return [str(stream) for stream in streams if stream.kind in wanted]


def stereo(before: list[Seen], after: list[Seen], clip: str) -> None:
    new = [s for s in after if s not in before]
    assert before == [s for s in after if s in before]
    # in the others the English track has two channels already
    wanted = [("audio", "aac", 2, "eng")] if clip == "film" else []
    assert [(s.kind, s.codec, s.channels, s.language) for s in new] == wanted


def anime(before: list[Seen], after: list[Seen], clip: str) -> None:
    if clip != "show":
        return
    assert strings(after, "audio") == ["audio:jpn:aac:D 日本語", "audio:eng:aac"]
    assert strings(after, "subtitle") == ["subtitle:eng:ass:D Full", "subtitle:eng:ass:F Signs"]
    assert strings(after, "attachment") == ["attachment a.ttf"]
    assert kinds(before)["video"] == kinds(after)["video"]


def flags(before: list[Seen], after: list[Seen], _: str) -> None:
    assert [(s.kind, s.codec, s.channels) for s in before] == [(s.kind, s.codec, s.channels) for s in after]
    assert not [s for s in after if s.kind == "video" and s.title]


def languages(before: list[Seen], after: list[Seen], clip: str) -> None:
    spoken = {s.language for s in after if s.kind == "audio"}
    first = next(s.language for s in before if s.kind == "audio")
    assert spoken <= {"eng", "und"} or spoken == {first}, clip
    assert all(s.language == "eng" or "F" in s.flags for s in after if s.kind == "subtitle")
    assert {s.codec for s in after} <= {s.codec for s in before}
    assert kinds(before)["attachment"] == kinds(after)["attachment"]


def phone(_: list[Seen], after: list[Seen], clip: str) -> None:
    assert {s.codec for s in after if s.kind == "video"} == {"h264"}, clip
    assert {s.codec for s in after if s.kind == "audio"} == {"aac"}
    assert not kinds(after)["attachment"]


def space(before: list[Seen], after: list[Seen], _: str) -> None:
    assert before == after  # none of them is worth it


def matroska(before: list[Seen], after: list[Seen], _: str) -> None:
    assert kinds(before) == kinds(after)
    assert [s.codec for s in before if s.kind != "subtitle"] == [s.codec for s in after if s.kind != "subtitle"]


def library(before: list[Seen], after: list[Seen], clip: str) -> None:
    assert not [s for s in after if "D" in s.flags and s.kind == "subtitle"]
    assert not [s for s in after if s.kind == "video" and s.title]
    assert [s.kind for s in after if s.kind != "cover"] == sorted(
        (s.kind for s in after if s.kind != "cover"), key=["video", "audio", "subtitle", "attachment"].index
    ), clip
    assert kinds(before)["video"] == kinds(after)["video"]


#: what each is for, the clips it is run over, and whether it may fail on one
TRIED: dict[str, tuple[Callable[[list[Seen], list[Seen], str], None], tuple[str, ...], str]] = {
    "add-stereo": (stereo, ("film", "full", "cover"), ""),
    "anime": (anime, ("show", "film"), ""),
    "flags-only": (flags, ("show", "foreign", "full"), ""),
    "keep-my-languages": (languages, ("show", "film", "foreign", "full", "cover"), ""),
    "phone-mp4": (phone, ("film", "show", "avi", "mp4"), "mp4"),
    "save-space": (space, ("film", "hevc", "webm"), ""),
    "to-mkv": (matroska, ("cover", "avi", "webm", "mov", "mp4", "full"), "matroska"),
    "whole-library": (library, ("show", "film", "cover"), "matroska"),
}


def test_there_are_eight_and_all_are_tried() -> None:
    assert {path.stem for path in POLICIES} == set(TRIED)
    assert len(POLICIES) == 8


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_each_is_valid_and_begins_with_what_it_is_for(path: Path) -> None:
    assert load_policy(path).steps
    assert re.match(r"# [A-Z].*\.\n", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "whole-library" else pytest.mark.slow) for name in TRIED]
)
def test_each_does_what_it_says_and_nothing_the_second_time(tmp_path: Path, name: str) -> None:
    judge, clips, container = TRIED[name]
    text = (ROOT / f"docs/policies/{name}.yaml").read_text(encoding="utf-8")
    originals = {clip: built(FILES[clip]) for clip in clips}
    copies = {shutil.copyfile(made, tmp_path / made.name): clip for clip, made in originals.items()}
    results = brought(text, tmp_path, state=tmp_path / ".state")
    assert len(results) == len(clips)
    for result in results:
        clip = copies[tmp_path / Path(result.path).name]
        assert result.status in {"done", "unchanged", "skipped"}, f"{clip}: {result.reason} {result.said}"
        judge(seen(originals[clip]), seen(now_at(result)), clip)
        assert container in format_of(now_at(result))
        if name == "flags-only":
            assert {step.method for step in result.steps} <= {"headers", "none"}
    again = brought(text, tmp_path, state=tmp_path / ".state")
    assert not [(result.path, result.changes, result.reason) for result in again if result.changes]


def now_at(result: Result) -> Path:
    return Path(result.target or result.path)


def test_saving_space_is_for_what_is_large_and_old() -> None:
    policy = load_policy(ROOT / "docs/policies/save-space.yaml")
    file = probe(built(FILES["film"]))
    device, inode, _, mtime = file.identity
    large = dataclasses.replace(file, identity=(device, inode, 2_000_000_000, mtime))
    (plan,) = preview(large, policy)
    assert isinstance(plan, Plan)
    assert [output.codec.to for output in plan.outputs if output.codec] == ["hevc", "aac"]  # AC-3 is lossy: it stays
    assert isinstance(preview(file, policy)[0], Skip)
    modern = probe(built(FILES["hevc"]))
    assert isinstance(preview(dataclasses.replace(modern, identity=large.identity), policy)[0], Skip)


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_first_policy_of_the_how_to_is_the_file_of_that_name() -> None:
    """Word for word: a reader who takes the file must not lose what the page says is kept."""
    text = (ROOT / "docs/policies/keep-my-languages.yaml").read_text(encoding="utf-8")
    assert blocks(PAGES[0])[0] == text.partition("\n")[2]
    assert "This one is `keep-my-languages.yaml`" in PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_policy_in_the_pages_is_one(page: Path) -> None:
    found = blocks(page)
    assert found
    for text in found:
        assert parse_policy(text).steps
