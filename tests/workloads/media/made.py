"""Small generated clips for tests: each is made once a session, in a folder that goes at exit. Never write to them.

Put this folder on `sys.path`, then `from made import copy_of, made`: `made("full")` is the shared file,
`copy_of("full", tmp_path)` is one to change.
"""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from raddle.errors import MissingExtra
from raddle.workloads.media.clips import Attached, Clip, Sound, Text, find_ffmpeg, write_clip
from raddle.workloads.media.sample import make_samples

SOUNDS = (
    Sound(codec="aac", language="eng", title="Stereo", default=True),
    Sound(codec="ac3", language="jpn", title="Surround", channels=6),
    Sound(codec="opus", language="eng", title="Director's commentary", dispositions=("comment",)),
)
TEXTS = (
    Text(language="eng", title="English", default=True),
    Text(language="eng", title="Signs", forced=True),
    Text(codec="ass", language="ger", title="Deutsch"),
    Text(language="fre", dispositions=("hearing_impaired",)),
)
FONTS = (Attached("Sans Oblique.ttf"), Attached("notes.txt", "text/plain"))

CLIPS = {
    # three sounds (one commentary), four subtitles, chapters, two attachments, titles
    "full": Clip(
        name="full.mkv",
        audio=SOUNDS,
        subtitles=TEXTS,
        chapters=("Dawn", "", "Night – the end"),
        attachments=FONTS,
        title="Everything",
        video_title="encoded by somebody",
    ),
    "plain": Clip(name="plain.mkv"),
    "silent": Clip(name="silent.mkv", audio=()),
    "two": Clip(name="two.mkv", audio=(Sound(language="jpn"), Sound(codec="flac", language="eng"))),
    "hevc": Clip(name="hevc.mkv", video="hevc", rate="24000/1001"),
    "cover": Clip(
        name="cover.mp4",
        container="mp4",
        audio=SOUNDS[:2],
        subtitles=TEXTS[:1],
        chapters=("One", "Two"),
        cover=True,
        title="With a cover",
    ),
    "mp4": Clip(name="mp4.mp4", container="mp4", audio=SOUNDS[:1]),
    "mov": Clip(name="mov.mov", container="mov"),
    "avi": Clip(name="avi.avi", container="avi", video="mpeg4", audio=(Sound(codec="mp3"),)),
    "webm": Clip(name="webm.webm", container="webm", video="vp9", audio=(Sound(codec="opus", language="ger"),)),
    "ts": Clip(name="ts.ts", container="ts", audio=(Sound(codec="ac3", language="eng"),)),
    "mpg": Clip(name="mpg.mpg", container="mpg", video="mpeg2video", audio=(Sound(codec="mp2"),)),
    # HDR10's colour tags
    "hdr": Clip(
        name="hdr.mkv",
        video="hevc",
        extra=("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
    ),
}

_lock = threading.Lock()


def made(name: str) -> Path:
    """The clip of that name, from `CLIPS`."""
    return built(CLIPS[name])


def built(clip: Clip) -> Path:
    """The clip, made once."""
    with _lock:
        return _built(clip)


def copy_of(name: str, folder: Path, new_name: str | None = None) -> Path:
    """A copy of the clip that may be changed."""
    return Path(shutil.copyfile(made(name), folder / (new_name or CLIPS[name].name)))


@cache
def forty_samples() -> Path:
    """A folder with what `raddle media sample` makes."""
    folder = _folder() / "forty samples"
    try:
        assert len(make_samples(folder, 40)) == 40
    except MissingExtra as error:
        pytest.skip(str(error))
    return folder


def ffprobe(path: str | bytes | Path) -> dict[str, Any]:
    """What ffprobe says of a file, as the independent word."""
    program = shutil.which("ffprobe")
    if program is None:
        pytest.skip("no ffprobe here: install ffmpeg")
    asked = ["-show_streams", "-show_format", "-show_chapters", "-of", "json"]
    done = subprocess.run([program, "-v", "error", *asked, path], capture_output=True, check=True, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@cache
def _built(clip: Clip) -> Path:
    try:
        return write_clip(clip, tempfile.mkdtemp(dir=_folder()), ffmpeg=find_ffmpeg())  # names may be equal
    except MissingExtra as error:
        pytest.skip(str(error))


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="raddle-clips-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
