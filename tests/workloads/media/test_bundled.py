"""What works with pip alone: no ffmpeg, mkvmerge or mkvpropedit in PATH, only the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package
from made import copy_of
from media_command import policy, read_rows, start
from media_operations import seen

pytestmark = pytest.mark.slow  # programs and files: no Python differs from another there

#: what the command calls besides; no system is without
PLAIN = ("sh", "cp", "head")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without the programs that write films."""
    pytest.importorskip("imageio_ffmpeg")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PLAIN:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return {"PATH": str(folder), "XDG_STATE_HOME": str(tmp_path / "state")}


def ran(bare: dict[str, str], *words: object) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    process = start(*words, "--json", "--progress", "none", environment=bare)
    told, said = process.communicate(timeout=120)
    assert process.returncode == 0, told + said
    assert said == ""
    return read_rows(told)


STEPS = {
    "headers and streams": (
        ("clear: {titles: [video]}", "{keep_audio: {languages: [eng, und], otherwise: keep_all}, attachments: remove}"),
        {
            "full.mkv": ["video:h264", "audio:eng:aac:D Stereo", "audio:eng:opus:C Director's commentary"],
            "cover.mp4": ["video:h264:D", "audio:eng:aac:D"],
            "avi.avi": ["video:mpeg4", "audio:und:mp3"],
        },
    ),
    "container": (
        ("container: {to: mkv}",),
        {
            "full.mkv": [
                "video:h264 encoded by somebody",
                "audio:eng:aac:D Stereo",
                "audio:jpn:ac3 Surround",
                "audio:eng:opus:C Director's commentary",
            ],
            "cover.mkv": ["video:h264:D", "audio:eng:aac:D Stereo", "audio:jpn:ac3 Surround"],
            "avi.mkv": ["video:mpeg4", "audio:und:mp3"],
        },
    ),
    "encode": (
        ("{video: {to: hevc, preset: ultrafast, crf: 40}, audio: {to: opus}, container: {to: mkv}}",),
        {
            "full.mkv": [
                "video:hevc encoded by somebody",
                "audio:eng:opus:D Stereo",
                "audio:jpn:opus Surround",
                "audio:eng:opus:C Director's commentary",
            ],
            "cover.mkv": ["video:hevc:D", "audio:eng:opus:D Stereo", "audio:jpn:opus Surround"],
            "avi.mkv": ["video:hevc", "audio:und:opus"],
        },
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_the_whole_command_without_a_program_in_path(tmp_path: Path, bare: dict[str, str], name: str) -> None:
    steps, expected = STEPS[name]
    library = tmp_path / "library"
    library.mkdir()
    for clip in ("full", "cover", "avi"):
        copy_of(clip, library)
    file = policy(tmp_path, *steps, safety="{verify: decode}")
    first, _ = ran(bare, "run", file, library)
    assert {row["status"] for row in first.values()} <= {"done", "unchanged"}
    assert first["full.mkv"]["status"] == ("unchanged" if name == "container" else "done")
    for path, streams in expected.items():
        told = [str(stream) for stream in seen(library / path)]
        assert [one for one in told if one.startswith(("video", "audio"))] == streams
        assert told.count("cover") == path.startswith("cover")
    again, _ = ran(bare, "run", file, library)
    assert {row["status"] for row in again.values()} == {"unchanged"}
    checked, summary = ran(bare, "check", library, "--level", "decode")
    assert {row["status"] for row in checked.values()} == {"ok"}, summary
