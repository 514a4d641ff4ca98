"""kill -9 at random moments of runs over 40 files, each resumed or killed again: nothing is lost, at any moment.

Another seed: RADDLE_SEED=7. The 50 kills: RADDLE_CHAOS=1.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("av", reason="the extra `media` is not installed")
pytest.importorskip("yaml", reason="the extra `media` is not installed")

from raddle.workloads.media.clips import Attached, Clip, Sound, Text
from raddle.workloads.media.plan import make_plan
from raddle.workloads.media.plan.values import Plan
from raddle.workloads.media.policy import load_policy
from raddle.workloads.media.probe import probe

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from made import built
from media_safety import (
    Home,
    Shape,
    digest,
    hashes,
    leftovers,
    planned_shape,
    restored_hashes,
    shape,
    until,
    without_packets,
    write,
)

FILES = 40
KILLS = [pytest.param(3, id="3", marks=pytest.mark.slow), pytest.param(50, id="50", marks=pytest.mark.chaos)]

FIRST = """
  - name: tracks
    keep_audio: {languages: [eng, und], otherwise: keep_first}
    keep_subtitles: {languages: [eng], forced: keep}
    clear: {titles: [video]}
    defaults: {audio: preferred}
    container: {to: mkv}
"""
SECOND = """
  - name: sound
    audio: {to: aac, copy: [aac, flac, opus], bitrate: 96k}
"""
HEAD = "version: 1\nlanguages: {audio: [eng, und], subtitles: [eng]}\nsafety: {min_free: 10MB}\nsteps:\n"

ENGLISH, JAPANESE = Text(language="eng", title="English"), Text(language="jpn", title="日本語")
TINY = {"width": 64, "height": 48, "length": 1.0}
#: what becomes of them: the first is well as it is, then flags only, mkvmerge, mkvmerge with attachments, encoded,
#: another container and name, encoded, both steps
CLIPS = (
    Clip(name="well.mkv", audio=(Sound(language="eng", default=True),), **TINY),  # type: ignore[arg-type]
    Clip(name="title.mkv", audio=(Sound(language="eng", default=True),), video_title="by nobody", **TINY),  # type: ignore[arg-type]
    Clip(
        name="tracks.mkv",
        audio=(Sound(language="jpn"), Sound(codec="flac", language="eng")),
        subtitles=(ENGLISH, JAPANESE),
        **TINY,  # type: ignore[arg-type]
    ),
    Clip(
        name="fonts.mkv",
        audio=(Sound(language="eng"), Sound(language="fre")),
        subtitles=(Text(codec="ass", language="eng"), JAPANESE, Text(language="jpn", title="Signs", forced=True)),
        attachments=(Attached("a.ttf"), Attached("notes.txt", "text/plain")),
        chapters=("One", "Two"),
        **TINY,  # type: ignore[arg-type]
    ),
    Clip(name="sound.mkv", audio=(Sound(codec="ac3", language="eng", default=True),), **TINY),  # type: ignore[arg-type]
    Clip(name="film.mp4", container="mp4", audio=(Sound(language="eng"),), subtitles=(ENGLISH,), **TINY),  # type: ignore[arg-type]
    Clip(name="old.avi", container="avi", video="mpeg4", audio=(Sound(codec="mp3"),), **TINY),  # type: ignore[arg-type]
    Clip(
        name="both.mkv",
        audio=(Sound(codec="ac3", language="eng", channels=6), Sound(codec="aac", language="ger")),
        subtitles=(ENGLISH, JAPANESE),
        video_title="by nobody",
        **TINY,  # type: ignore[arg-type]
    ),
)


@dataclass(slots=True)
class Library:
    """40 files and what may be found under their names."""

    folder: Path
    #: hash of each original
    old: dict[str, str]
    #: kind of clip by path
    kinds: dict[str, int]
    #: path at the end, by path
    targets: dict[str, str] = field(default_factory=dict)


def fill(folder: Path, files: int = FILES) -> Library:
    """40 files in four folders, some of the same name in several."""
    library = Library(folder, {}, {})
    for number in range(files):
        kind = number % len(CLIPS)
        name = f"Show {number % 4}/Season {number % 3}/E{number // 12:02} {CLIPS[kind].name}"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(built(CLIPS[kind]), path)
        library.old[name] = digest(path)
        library.kinds[name] = kind
        library.targets[name] = str(Path(name).with_suffix(".mkv"))
    assert len(library.old) == len(set(library.targets.values())) == files
    return library


@cache
def after(policy_text: str) -> tuple[Shape, ...]:
    """What undisturbed runs make of each clip, compared with the plan and with the packets of the source."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="raddle-kill-") as name:
        home = Home(Path(name) / "home")
        policy = write(Path(name) / "policy.yaml", policy_text)
        folder = Path(name) / "library"
        folder.mkdir()
        paths = [Path(shutil.copyfile(built(clip), folder / clip.name)) for clip in CLIPS]
        before = [shape(path) for path in paths]
        plans = [probed(policy, path) for path in paths]
        ran = home.media(policy, folder)
        assert ran.code == 0, (ran.rows, ran.err)
        found = []
        for path, plan, old in zip(paths, plans, before, strict=True):
            new = shape(path.with_suffix(".mkv"))
            if policy_text.count("name:") == 1:
                assert without_packets(new) == planned_shape(plan)
                for output, stream in zip(plan.outputs, new, strict=True):
                    clears = path.suffix == ".mp4" and stream[0] == "subtitle"  # samples that end a line count there
                    assert stream[0] == "attachment" or clears or stream[-1] == old[output.source][-1]
            found.append(new)
        return tuple(found)


def probed(policy: Path, path: Path) -> Plan:
    rules = load_policy(policy)
    plan = make_plan(probe(path), rules.steps[0], rules)
    assert isinstance(plan, Plan)
    return plan


def check(library: Library, allowed: tuple[tuple[Shape, ...], ...]) -> None:
    """Every path holds the old or a verified new file, and every original is somewhere."""
    kept = restored_hashes(library.folder)
    for name, old in library.old.items():
        source, target = library.folder / name, library.folder / library.targets[name]
        there = [path for path in dict.fromkeys((source, target)) if path.exists()]
        assert there, f"{name} is gone"
        known = {digest(path) for path in there} | kept.get(name, set())
        assert old in known, f"the original of {name} is nowhere"
        for path in there:
            if digest(path) != old:
                new = [shapes[library.kinds[name]] for shapes in allowed]
                assert shape(path) in new, f"{path} holds {shape(path)}, neither the old file nor {new}"


def disturb(home: Home, words: list[object], rng: random.Random, most: int) -> bool:
    """Run the command and kill it at a random moment; False if it was faster."""
    seen = len(home.told())
    tools, more = rng.choice([n for n in (0, 1, 1, 2, 3, 5, 8, 13) if n <= most]), rng.random()
    with home.start(*words) as process:
        if tools:
            until(lambda: process.poll() is not None or len(home.told()) - seen >= tools)
            time.sleep(more * 0.15)
        else:
            time.sleep(more)
        process.kill()
        out, err = process.communicate()
    code = process.returncode
    assert code in {0, -signal.SIGKILL}, (code, out, err)
    assert until(lambda: not home.children()), f"still running after a kill: {home.children()}"
    return code != 0


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.timeout(1800)
def test_killed_at_random_moments_and_resumed(kills: int, tmp_path: Path) -> None:
    rng = random.Random(int(os.environ.get("RADDLE_SEED", "0")))
    files = FILES if kills > 10 else 16  # the short version
    allowed = (after(HEAD + FIRST), after(HEAD + FIRST + SECOND))
    policy = write(tmp_path / "policy.yaml", HEAD + FIRST + SECOND)
    hit = rounds = 0
    while hit < kills:
        rounds += 1
        home = Home(tmp_path / f"home {rounds}")
        home.guard()
        library = fill(tmp_path / f"library {rounds}", files)
        words: list[object] = ["run", "--json", "--progress", "none", "--resume", "--recursive", "--workers", 2]
        words += ["--state", home.folder / "state" / "here", policy, library.folder]
        while hit < kills and disturb(home, words, rng, files // 3):
            hit += 1
            check(library, allowed)
        ran = home.run(*words, limit=300)
        finished(home, library, ran.code, allowed)
        assert {row["status"] for row in ran.rows} <= {"done", "unchanged", "skipped"}, ran.rows
        again = home.run(*words, limit=300)
        assert again.code == 0
        assert "done" not in {row["status"] for row in again.rows if not row.get("resumed")}
    print(f"seed={os.environ.get('RADDLE_SEED', '0')}: {hit} kills in {rounds} libraries of {files} files")


def finished(home: Home, library: Library, code: int, allowed: tuple[tuple[Shape, ...], ...]) -> None:
    """All is as planned, nothing is left, and no two programs ever had one file."""
    assert code == 0
    check(library, allowed)
    final = allowed[-1]
    for name, target in library.targets.items():
        path = library.folder / target
        assert shape(path) == final[library.kinds[name]], f"{target} is not as planned"
        assert name == target or not (library.folder / name).exists(), f"{name} is still there beside its result"
    assert {os.fsdecode(name) for name in hashes(library.folder)} == set(library.targets.values())
    assert not leftovers(library.folder)
    assert not home.litter(), home.litter()
    assert not home.held(), home.held()
    assert home.told(), "no tool was seen: is the guard in place?"
