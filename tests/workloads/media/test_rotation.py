"""Pictures that a camera stored on its side: found, kept where copied, stored upright where encoded."""

from __future__ import annotations

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from made import copy_of, ffprobe, made

from raddle.errors import ConfigError
from raddle.workloads.media.plan.make import make_plan
from raddle.workloads.media.plan.values import Plan, Refusal
from raddle.workloads.media.policy.load import parse_policy
from raddle.workloads.media.probe import probe
from raddle.workloads.media.rotation import Turn, pose_of, turns
from raddle.workloads.media.tools.commands import commands
from raddle.workloads.media.tools.programs import Abilities, Programs, find_programs
from raddle.workloads.media.verify import verify

if TYPE_CHECKING:
    from raddle.workloads.media.values import MediaFile

CLIP = "mp4"  # 128x96
ENCODE = "video: {to: hevc, crf: 40, preset: ultrafast}"


@cache
def programs(**options: Any) -> Programs:
    return find_programs(**options)


def turned(folder: Path, matrix: tuple[int, int, int, int], name: str = "phone.mp4") -> Path:
    """The clip with this in the matrix of its picture's track, as a phone writes it: no program is asked."""
    path = copy_of(CLIP, folder, name)
    data = bytearray(path.read_bytes())
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    a, b, c, d = matrix
    data[at : at + len(upright)] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


ONE = 1 << 16
#: (matrix, rotation by ffprobe's sign, mirrored, shown width and height)
MATRICES = {
    "upright": ((ONE, 0, 0, ONE), None, False, (128, 96)),
    "a phone held upright": ((0, ONE, -ONE, 0), -90, False, (96, 128)),
    "the other way": ((0, -ONE, ONE, 0), 90, False, (96, 128)),
    "upside down": ((-ONE, 0, 0, -ONE), 180, False, (128, 96)),
    "mirrored": ((-ONE, 0, 0, ONE), 180, True, (128, 96)),
    "mirrored and turned": ((0, ONE, ONE, 0), -90, True, (96, 128)),
    "upside down in a mirror": ((ONE, 0, 0, -ONE), None, True, (128, 96)),
    "a matrix of zeros": ((0, 0, 0, 0), None, False, (128, 96)),
}


def plan_of(file: MediaFile, operations: str) -> Plan | Refusal:
    policy = parse_policy(f"version: 1\nsteps:\n  - {operations}\n")
    plan = make_plan(file, policy.steps[0], policy)
    assert isinstance(plan, Plan | Refusal)
    return plan


def written(plan: Plan, folder: Path, programs: Programs) -> Path:
    target = folder / f"result.{plan.container}"
    for command in commands(plan, programs, str(target)):
        subprocess.run(command.argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return target


def seen(path: Path) -> tuple[int | None, int, int]:
    """ffprobe's word: rotation, and the sides as stored."""
    (video,) = (s for s in ffprobe(path)["streams"] if s["codec_type"] == "video")
    turns = [int(data["rotation"]) for data in video.get("side_data_list", ()) if "rotation" in data]
    return (turns[0] or None if turns else None), video["width"], video["height"]


@pytest.mark.parametrize(("matrix", "rotation", "mirrored", "size"), MATRICES.values(), ids=list(MATRICES))
def test_the_probe_reads_the_matrix_and_gives_the_sides_as_shown(
    tmp_path: Path, matrix: tuple[int, int, int, int], rotation: int | None, mirrored: bool, size: tuple[int, int]
) -> None:
    path = turned(tmp_path, matrix)
    (video,) = probe(path).of("video")
    assert (video.rotation, video.mirrored, (video.width, video.height)) == (rotation, mirrored, size)
    if any(matrix):
        assert abs(seen(path)[0] or 0) == abs(rotation or 0)


@pytest.mark.parametrize("bundled", [False, True], ids=["the system's ffmpeg", "imageio's ffmpeg"])
@pytest.mark.parametrize("case", [name for name in MATRICES if "zeros" not in name])
@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_copied_pictures_stay_turned_there_and_back(tmp_path: Path, case: str, container: str, bundled: bool) -> None:
    tools = programs()
    if bundled:
        pytest.importorskip("imageio_ffmpeg")
        tools = programs(ffmpeg=__import__("imageio_ffmpeg").get_ffmpeg_exe(), mkvtoolnix=False)
    elif tools.mkvpropedit is None and tools.ffmpeg_release < (6, 1):
        pytest.skip("no mkvpropedit here: install mkvtoolnix")
    file = probe(turned(tmp_path, MATRICES[case][0], "phone.mov" if container == "mp4" else "phone.mp4"))
    title = "\n    rules: [{when: {size_over: 1B}, then: {set_tag: {title: x}}}]"
    plan = plan_of(file, f"container: {{to: {container}}}{title}")
    assert isinstance(plan, Plan)
    result = written(plan, tmp_path, tools)
    assert verify(plan, file, result) == []
    (before,), (after,) = file.of("video"), probe(result).of("video")
    assert (after.rotation, after.mirrored, after.width) == (before.rotation, before.mirrored, before.width)
    if not before.mirrored:  # ffprobe 5 does not read Matroska's mirrors
        assert abs(seen(result)[0] or 0) == abs(before.rotation or 0)


@pytest.mark.parametrize("case", ["a phone held upright", "upside down", "mirrored and turned"])
def test_encoded_pictures_are_stored_upright_and_a_second_run_has_nothing_to_do(tmp_path: Path, case: str) -> None:
    file = probe(turned(tmp_path, MATRICES[case][0]))
    operations = f"{ENCODE[:-1]}, max_height: 100}}"
    plan = plan_of(file, operations)
    assert isinstance(plan, Plan)
    result = written(plan, tmp_path, programs())
    assert verify(plan, file, result) == []
    size = (76, 100) if file.of("video")[0].width == 96 else (128, 96)
    assert seen(result) == (None, *size)
    again = plan_of(probe(result), operations)
    assert isinstance(again, Plan)
    assert not again.changes
    pixel = [top_left(path, programs().ffmpeg) for path in (Path(file.path), result)]
    assert all(abs(a - b) < 40 for a, b in zip(*pixel, strict=True)), pixel


def top_left(path: Path, ffmpeg: str) -> bytes:
    """Four by four colours as a player shows them."""
    argv = [ffmpeg, "-nostdin", "-v", "error", "-i", str(path), "-frames:v", "1", "-vf", "scale=4:4:flags=area"]
    argv += ["-pix_fmt", "gray", "-f", "rawvideo", "-"]
    return subprocess.run(argv, check=True, capture_output=True, timeout=120).stdout


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_result_that_forgot_the_turn_is_not_accepted(tmp_path: Path, container: str) -> None:
    file = probe(turned(tmp_path, MATRICES["a phone held upright"][0], "phone.mov"))
    plan = plan_of(file, f"container: {{to: {container}}}")
    assert isinstance(plan, Plan)
    forgot = tmp_path / f"lying.{container}"
    argv = [programs().ffmpeg, "-nostdin", "-v", "error", "-i", str(made(CLIP)), "-c", "copy", "-map", "0", str(forgot)]
    subprocess.run(argv, check=True, timeout=120)
    problems = " ".join(verify(plan, file, forgot))
    assert "is turned by 0 degrees, planned -90 degrees" in problems
    assert "is 128x96, planned 96x128" in problems


def test_where_no_program_can_keep_it_the_reason_says_what_to_install(tmp_path: Path) -> None:
    file = probe(turned(tmp_path, MATRICES["upside down"][0]))
    plan = plan_of(file, "container: {to: mkv}")
    assert isinstance(plan, Plan)
    old = Programs(ffmpeg="/opt/ffmpeg", known=Abilities(version="5.1.9", encoders=frozenset()))
    with pytest.raises(ConfigError, match=r"ffmpeg='/opt/ffmpeg' \(5\.1\.9\) cannot say .* install mkvtoolnix"):
        commands(plan, old, "/t/.a")
    new = dataclasses.replace(old, known=Abilities(version="6.1", encoders=frozenset()))
    assert [command.tool for command in commands(plan, new, "/t/.a")] == ["ffmpeg"]
    both = dataclasses.replace(old, mkvpropedit="/opt/mkvpropedit")
    argv = commands(plan, both, "/t/.a")[-1].argv
    assert argv[-2:] == ("--set", "projection-pose-roll=180")


def test_a_picture_at_a_slant_is_not_encoded(tmp_path: Path) -> None:
    file = probe(turned(tmp_path, (65446, 3430, -3430, 65446)))  # 3 degrees
    assert file.of("video")[0].rotation == -3
    plan = plan_of(file, ENCODE)
    assert isinstance(plan, Refusal)
    assert "would lose its corners" in plan.reason


def test_matroska_whose_tracks_were_moved_behind_the_clusters(tmp_path: Path) -> None:
    tool = shutil.which("mkvpropedit")
    if tool is None:
        pytest.skip("no mkvpropedit here: install mkvtoolnix")
    path = copy_of("full", tmp_path)
    name = "x" * 3000  # no room for it where the tracks are
    edits = ["--edit", "track:v1", "--set", f"name={name}", "--set", "projection-pose-roll=-90"]
    subprocess.run([tool, path, *edits], check=True, capture_output=True, timeout=120)
    (video,) = probe(path).of("video")
    assert (video.rotation, video.width, video.title) == (-90, 96, name)


def test_pose_and_turn_are_each_others_reverse() -> None:
    for rotation in range(-179, 181):
        assert pose_of(Turn(rotation)) == (0, rotation)
        yaw, roll = pose_of(Turn(rotation, mirrored=True))
        assert yaw == 180
        assert (roll - 180 - rotation) % 360 == 0


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["mkv", "mp4", "mov", "webm", "avi"]), st.booleans())
def test_whatever_the_bytes_are_it_comes_to_an_end(noise: bytes, container: str, lead: bool) -> None:
    segment = b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\x11\x4d\x9b\x74"
    start = segment if container == "mkv" else b"\0\0\0\0moov"
    descriptor = os.memfd_create("noise")
    try:
        os.write(descriptor, (start if lead else b"") + noise)
        assert isinstance(turns(descriptor, len(noise) + 16, container), dict)
    finally:
        os.close(descriptor)
