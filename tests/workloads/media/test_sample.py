from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("av", reason="no PyAV here: install raddle[media]")

from made import CLIPS, built, ffprobe, forty_samples, made

from raddle.errors import ConfigError
from raddle.workloads.media.clips import Clip, font_bytes, write_clip
from raddle.workloads.media.discover import discover
from raddle.workloads.media.probe import probe
from raddle.workloads.media.sample import make_samples, sample_clips


def test_contents_depend_on_count_and_seed_only() -> None:
    assert sample_clips(40, 1) == sample_clips(40, 1)
    assert sample_clips(40, 1) != sample_clips(40, 2)
    assert sample_clips(10, 1) == sample_clips(40, 1)[:10]


@pytest.mark.parametrize("seed", range(20))
def test_a_library_has_variety(seed: int) -> None:
    clips = sample_clips(200, seed)
    assert len({clip.name for clip in clips}) == len(clips)
    assert {clip.container for clip in clips} == {"mkv", "mp4", "m4v", "mov", "avi", "webm", "ts"}
    assert {"h264", "hevc", "vp9", "mpeg4", "mpeg2video"} <= {clip.video for clip in clips}
    assert {1, 2, 3, 4} <= {len(clip.audio) for clip in clips}
    assert any(len(clip.subtitles) > 2 for clip in clips)
    assert any("ommentary" in sound.title for clip in clips for sound in clip.audio)
    assert all(clip.length <= 2 for clip in clips)


def test_files_hold_what_was_decided(tmp_path: Path) -> None:
    clips = sample_clips(9, 4)
    paths = make_samples(tmp_path, 9, seed=4)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [clip.name for clip in clips]
    for path, clip in zip(paths, clips, strict=True):
        media = probe(path)
        tracks = [s for s in media.streams if not s.picture]
        assert media.container == {"m4v": "mp4"}.get(clip.container, clip.container)
        assert sum(s.kind == "video" for s in tracks) == 1
        assert [s.title for s in media.of("audio")] == [sound.title for sound in clip.audio]
        wanted = [sound.language or "und" for sound in clip.audio]
        assert clip.container == "avi" or [s.language for s in media.of("audio")] == wanted
        assert [s.forced for s in media.of("subtitle")] == [text.forced for text in clip.subtitles]
        assert len(media.chapters) == len(clip.chapters)
        assert [s.filename for s in media.of("attachment")] == [attached.name for attached in clip.attachments]
        assert any(s.picture for s in media.streams) == clip.cover
    assert sum(one.usable for one in discover([tmp_path], recursive=True)) == 9
    assert list(tmp_path.rglob(".*")) == []


def test_ffprobe_agrees() -> None:
    found = ffprobe(made("full"))
    assert [s["codec_type"] for s in found["streams"]] == ["video"] + ["audio"] * 3 + ["subtitle"] * 4 + [
        "attachment"
    ] * 2
    assert len(found["chapters"]) == 3


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write_clip(CLIPS["full"], tmp_path).read_bytes() == made("full").read_bytes()


def test_attachments_begin_as_fonts_do() -> None:
    assert font_bytes("a.ttf").startswith(b"\x00\x01\x00\x00")
    assert (len(font_bytes("a.ttf", 100)), font_bytes("a") == font_bytes("b")) == (100, False)


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.mkv").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"x\.mkv is there already: give an empty folder"):
        write_clip(Clip(name="x.mkv", length=0.2), tmp_path)
    assert (tmp_path / "x.mkv").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["x.mkv"]


@pytest.mark.parametrize("count", [0, -1])
def test_no_files_are_no_sample(count: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"count={count}: give a number of files from 1 on"):
        make_samples(tmp_path, count)


def test_a_file_is_no_folder_for_samples(tmp_path: Path) -> None:
    (tmp_path / "film.mkv").touch()
    with pytest.raises(ConfigError, match="is a file"):
        make_samples(tmp_path / "film.mkv", 1)


def test_clips_are_made_once() -> None:
    assert built(CLIPS["silent"]) is built(CLIPS["silent"])


@pytest.mark.slow
def test_forty_files() -> None:
    paths = list(filter(Path.is_file, forty_samples().rglob("*")))
    assert len({probe(path).identity for path in paths}) == 40
    assert sum(path.stat().st_size for path in paths) < 20_000_000
