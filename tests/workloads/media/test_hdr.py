"""What pictures lose when they are encoded, and what is done about it: HDR10, Dolby Vision, HDR10+, fields, range.

The clips are real ones of a few pictures; what came out is told by ffprobe.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made import built, ffprobe, made
from media_operations import brought

from raddle.errors import ConfigError
from raddle.workloads.media.clips import Clip, find_ffmpeg
from raddle.workloads.media.hdr import looked_at
from raddle.workloads.media.opening import ProbeError
from raddle.workloads.media.plan.drafts import Draft, Refused
from raddle.workloads.media.plan.keeping import left_alone
from raddle.workloads.media.plan.values import Encode
from raddle.workloads.media.policy.values import Video
from raddle.workloads.media.probe import probe
from raddle.workloads.media.tools.encoding import encode_options, encoder_for
from raddle.workloads.media.tools.programs import Abilities, Programs, find_programs
from raddle.workloads.media.values import Hdr, Stream
from raddle.workloads.media.verify import _picture

COLOURS = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv")
MASTERED = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
SAID = Hdr(mastering=(34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 50), light=(1000, 400))
DEEP = ("-pix_fmt:v:0", "yuv420p10le", *COLOURS)
FAST = "preset: ultrafast"
HDR10 = Clip(
    name="hdr10.mkv",
    video="hevc",
    length=0.4,
    extra=(*DEEP, "-x265-params", f"log-level=error:hdr10=1:master-display={MASTERED}:max-cll=1000,400:bframes=0"),
)
CLIPS = {
    "hdr10": HDR10,
    "sdr": Clip(name="sdr.mkv", length=0.4, video="hevc"),
    "hlg": replace(
        HDR10, name="hlg.mkv", extra=(*DEEP, "-color_trc", "arib-std-b67", "-x265-params", "log-level=error")
    ),
    "vp9": Clip(name="vp9.mkv", length=0.4, video="vp9", extra=DEEP),
    "full range": Clip(
        name="full.mkv",
        length=0.4,
        extra=("-vf", "scale=out_range=pc", "-pix_fmt:v:0", "yuvj420p", "-color_range", "pc"),
    ),
    "interlaced": Clip(
        name="fields.mkv", video="mpeg2video", rate="50", extra=("-vf", "interlace", "-flags:v", "+ilme+ildct")
    ),
}
#: what mkvmerge writes into the container, for streams that cannot say it themselves
IN_CONTAINER = (
    *("--max-content-light", "0:1000", "--max-frame-light", "0:400", "--max-luminance", "0:1000"),
    *("--min-luminance", "0:0.005", "--chromaticity-coordinates", "0:0.68,0.32,0.265,0.69,0.15,0.06"),
    *("--white-colour-coordinates", "0:0.3127,0.329"),
)


def policy(step: str) -> str:
    return f"version: 1\nsteps:\n  - {step}\n"


@cache
def bundled() -> str:
    """The ffmpeg of imageio-ffmpeg, which is newer than most systems'."""
    bundle: Any = pytest.importorskip("imageio_ffmpeg")
    return str(bundle.get_ffmpeg_exe())


def placed(name: str, folder: Path) -> Path:
    """A clip by name; also those that no ffmpeg here makes."""
    path = folder / f"{name.replace(' ', '-')}.mkv"
    if name == "container":
        merge = shutil.which("mkvmerge")
        if merge is None:
            pytest.skip("no mkvmerge here: install mkvtoolnix")
        subprocess.run([merge, "-q", "-o", path, *IN_CONTAINER, built(CLIPS["vp9"])], check=True, timeout=30)
    elif name.startswith("dolby"):
        profile, compatibility = (int(number) for number in name.split()[1].split("."))
        with_record(folder, path, profile, compatibility)
    elif name == "hdr10+":
        with_dynamic(folder, path)
    else:
        shutil.copyfile(built(CLIPS[name]), path)
    return path


def run_ffmpeg(*argv: str | Path) -> None:
    subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *argv], check=True, timeout=30)


def with_record(folder: Path, path: Path, profile: int, compatibility: int) -> None:
    """Write a file that says it is Dolby Vision: MP4's box put into the format of the pictures, then copied."""
    mp4 = folder / "record.mp4"
    run_ffmpeg("-i", built(HDR10), "-map", "0:v", "-c", "copy", "-tag:v", "hvc1", mp4)
    data = bytearray(mp4.read_bytes())
    record = bytes([1, 0, profile << 1, 5 << 3 | 0b101, compatibility << 4]).ljust(24, b"\0")
    box = struct.pack(">I4s", 8 + len(record), b"dvvC" if profile > 7 else b"dvcC") + record
    where = [data.find(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1")]
    end = where[-1] + struct.unpack_from(">I", data, where[-1])[0]
    assert data.find(b"mdat") < where[0], "what lies behind the index would move"
    data[end:end] = box
    for at in where:
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + len(box))
    mp4.write_bytes(data)
    run_ffmpeg("-i", mp4, "-c", "copy", "-strict", "unofficial", path)
    mp4.unlink()


def with_dynamic(folder: Path, path: Path) -> None:
    """Write HDR10+ before each picture: a message of SMPTE ST 2094-40 with one window and nothing in it."""
    raw = folder / "pictures.hevc"
    run_ffmpeg("-i", built(HDR10), "-map", "0:v", "-c", "copy", "-f", "hevc", raw)
    bits = "01" + "0" * 27 + "0"  # one window, brightness of the target, no map of it
    bits += "0" * 17 * 3 + "0" * 17 + "0000" + "0" * 10  # maxscl, average, no percentiles, bright pixels
    bits += "0" + "0" + "0"  # no map of the mastering display, no curve, no saturation
    body = bytes.fromhex("b5003c0001") + bytes([4, 1]) + int(bits.ljust(120, "0"), 2).to_bytes(15, "big")
    message = escaped(bytes([4, len(body)]) + body + b"\x80")
    first, *parts = raw.read_bytes().split(b"\0\0\1")
    pictures = [(b"\x4e\x01" + message, part) if part[0] >> 1 < 32 else (part,) for part in parts]
    raw.write_bytes(b"\0\0\1".join([first, *(part for pair in pictures for part in pair)]))
    run_ffmpeg("-fflags", "+genpts", "-r", "25", "-i", raw, "-c", "copy", path)
    raw.unlink()


def escaped(data: bytes) -> bytes:
    """No two zeros before what could be read as the next unit."""
    out = bytearray()
    for byte in data:
        if out[-2:] == b"\0\0" and byte < 4:
            out.append(3)
        out.append(byte)
    return bytes(out)


def first_picture(path: Path) -> dict[str, Any]:
    """The first picture and its stream by ffprobe's word; side data by its name."""
    asked = ["-select_streams", "v:0", "-show_frames", "-show_streams", "-read_intervals", "%+#1", "-of", "json"]
    done = subprocess.run(["ffprobe", "-v", "error", *asked, path], capture_output=True, check=True, timeout=30)
    told = json.loads(done.stdout)
    frame: dict[str, Any] = told["frames"][0]
    sides = [*told["streams"][0].get("side_data_list", ()), *frame.get("side_data_list", ())]
    return {**told["streams"][0], **frame, "side": {side["side_data_type"]: side for side in sides}}


def ratio(text: str) -> float:
    over, _, under = text.partition("/")
    return int(over) / int(under or 1)


# ------------------------------------------------------------------------------------------------------ what is carried


@pytest.mark.parametrize("ffmpeg", ["system", pytest.param("bundled", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("hdr10", f"video: {{to: av1, {FAST}}}"),
        ("hdr10", f"video: {{to: hevc, {FAST}, max_height: 48, hardware: auto}}"),
        ("hdr10", f"video: {{to: hevc, {FAST}, max_height: 48, bitrate: 100k, two_pass: true}}"),
        ("container", f"video: {{to: hevc, {FAST}}}"),
    ],
)
def test_hdr10_comes_through_an_encode(tmp_path: Path, name: str, step: str, ffmpeg: str) -> None:
    path = placed(name, tmp_path)
    program = bundled() if ffmpeg == "bundled" else None
    (result,) = brought(policy(step), path, state=tmp_path / "state", ffmpeg=program)
    assert result.status == "done", result.reason
    found = first_picture(path)
    assert (found["pix_fmt"], found["color_transfer"], found["color_primaries"], found["color_space"]) == (
        "yuv420p10le",
        "smpte2084",
        "bt2020",
        "bt2020nc",
    )
    assert found["color_range"] == "tv"
    display = found["side"]["Mastering display metadata"]
    assert ratio(display["red_x"]) == pytest.approx(0.68, abs=1e-4)
    assert ratio(display["green_y"]) == pytest.approx(0.69, abs=1e-4)
    assert ratio(display["blue_x"]) == pytest.approx(0.15, abs=1e-4)
    assert ratio(display["white_point_y"]) == pytest.approx(0.329, abs=1e-4)
    assert ratio(display["max_luminance"]) == pytest.approx(1000, abs=0.01)
    assert ratio(display["min_luminance"]) == pytest.approx(0.005, abs=1e-4)
    light = found["side"]["Content light level metadata"]
    assert (light["max_content"], light["max_average"]) == (1000, 400)
    (again,) = brought(policy(step), path, state=tmp_path / "state")
    assert again.status == "unchanged", again.changes


def test_what_is_read_is_what_ffprobe_reads(tmp_path: Path) -> None:
    for name in ("hdr10", "container"):
        assert looked_at(probe(placed(name, tmp_path))).streams[0].hdr == SAID
    assert looked_at(probe(made("plain"))).streams[0].hdr == Hdr()
    assert looked_at(probe(placed("hdr10+", tmp_path))).streams[0].hdr == replace(SAID, dynamic=("HDR10+",))
    assert "HDR Dynamic Metadata SMPTE2094-40 (HDR10+)" in first_picture(tmp_path / "hdr10+.mkv")["side"]


def test_a_file_without_a_picture_is_told(tmp_path: Path) -> None:
    media = probe(made("plain"))
    with pytest.raises(ProbeError, match="was changed while it was looked at: run again"):
        looked_at(replace(media, identity=(0, 0, 0, 0)))
    cut = tmp_path / "cut.mkv"
    run_ffmpeg("-i", made("plain"), "-c", "copy", "-bsf:v", "noise=amount=1", cut)
    with pytest.raises(ProbeError, match="stream 0 shows no picture at its beginning: damaged"):
        looked_at(probe(cut))


# ------------------------------------------------------------------------------------------------------ what is not


@pytest.mark.parametrize(
    ("name", "to", "reason"),
    [
        ("hdr10", "h264", "cannot keep its high dynamic range"),
        ("hlg", "h264", "cannot keep its high dynamic range"),
        ("hdr10", "vp9", r"cannot keep what it says of its mastering and its brightest pictures \(HDR10\)"),
        ("hdr10+", "av1", r"cannot keep HDR10\+"),
        ("dolby 8.1", "av1", "cannot keep Dolby Vision 8.1"),
        ("dolby 5.0", "av1", "Dolby Vision 5.0, whose colours are wrong without it"),
        ("interlaced", "hevc", "cannot keep its fields"),
        ("interlaced", "av1", "interlaced: deinterlace makes it progressive"),
    ],
)
def test_what_cannot_be_kept_is_not_encoded_unless_the_policy_says_so(
    tmp_path: Path, name: str, to: str, reason: str
) -> None:
    path = placed(name, tmp_path)
    before = path.read_bytes()
    key = "interlaced" if name == "interlaced" else "hdr"
    (refused,) = brought(policy(f"video: {{to: {to}, {FAST}}}"), path, state=tmp_path / "state")
    assert refused.status == "failed"
    assert re.search(reason, refused.reason), refused.reason
    assert f"{key}: leave" in refused.reason
    (left,) = brought(policy(f"video: {{to: {to}, {FAST}, {key}: leave}}"), path, state=tmp_path / "state")
    assert left.status == "unchanged"
    (warning,) = left.warnings
    assert f"stays as it is ({key}: leave)" in warning
    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "to"), [("hdr10", "h264"), ("hdr10", "vp9"), ("hdr10+", "av1"), ("hlg", "hevc")])
def test_it_is_given_up_where_the_policy_says_so(tmp_path: Path, name: str, to: str) -> None:
    path = placed(name, tmp_path)
    step = f"video: {{to: {to}, {FAST}, hdr: lose{', max_height: 48' if to == 'hevc' else ''}}}"
    (result,) = brought(policy(step), path, state=tmp_path / "state")
    assert result.status == "done", result.reason
    found = first_picture(path)
    assert found["color_transfer"] == ("arib-std-b67" if name == "hlg" else "smpte2084")
    assert not any("2094" in side for side in found["side"])
    if to == "av1":  # what can be kept is
        assert found["side"]["Content light level metadata"]["max_content"] == 1000


def test_the_rest_of_the_step_is_done_where_pictures_are_left(tmp_path: Path) -> None:
    path = placed("dolby 8.1", tmp_path)
    step = "{container: {to: mp4}, video: {to: av1, hdr: leave}}"
    (result,) = brought(policy(step), path, state=tmp_path / "state")
    assert result.status == "done", result.reason
    record = first_picture(path.with_suffix(".mp4"))["side"]["DOVI configuration record"]
    assert (record["dv_profile"], record["dv_bl_signal_compatibility_id"]) == (8, 1)


@pytest.mark.parametrize("name", ["dolby 8.1", "dolby 5.0", "dolby 7.6"])
def test_records_of_dolby_vision_are_read_and_copied(tmp_path: Path, name: str) -> None:
    path = placed(name, tmp_path)
    assert probe(path).streams[0].dolby_vision == name.split()[1]
    assert probe(built(HDR10)).streams[0].dolby_vision == ""
    for container in ("mp4", "mkv"):
        (result,) = brought(policy(f"container: {{to: {container}}}"), path, state=tmp_path / "state")
        assert result.status == "done", result.reason
        path = path.with_suffix(f".{container}")
        record = first_picture(path)["side"]["DOVI configuration record"]
        said = f"{record['dv_profile']}.{record['dv_bl_signal_compatibility_id']}"
        assert probe(path).streams[0].dolby_vision == said == name.split()[1]


def test_dolby_vision_goes_with_an_ffmpeg_that_takes_its_record_along(tmp_path: Path) -> None:
    path = placed("dolby 8.1", tmp_path)
    lose = policy(f"video: {{to: av1, {FAST}, hdr: lose}}")
    if find_programs(mkvtoolnix=False).ffmpeg_release < (8, 0):
        (refused,) = brought(lose, path, state=tmp_path / "state")
        assert refused.status == "failed"
        assert "name ffmpeg 8 or newer in [media] ffmpeg" in refused.reason
    (result,) = brought(lose, path, state=tmp_path / "state", ffmpeg=bundled())
    assert result.status == "done", result.reason
    found = first_picture(path)
    assert "DOVI configuration record" not in found["side"]
    assert found["side"]["Content light level metadata"]["max_content"] == 1000
    never = placed("dolby 5.0", tmp_path)
    (refused,) = brought(lose, never, state=tmp_path / "state", ffmpeg=bundled())
    assert refused.status == "failed"
    assert "nothing here can encode it" in refused.reason


STREAM = Stream(index=0, kind="video", codec="hevc", width=64, height=48, pixel_format="yuv420p10le", hdr=SAID)
DYNAMIC = Hdr(dynamic=("Dolby Vision", "HDR10+"))
PQ = (("color_transfer", "smpte2084"),)


@pytest.mark.parametrize(
    ("traits", "wish", "reason"),
    [
        ({}, {"to": "hevc"}, ""),
        ({"hdr": SAID}, {"to": "hevc"}, ""),
        ({"hdr": SAID}, {"to": "vp9", "hdr": "lose"}, ""),
        ({"hdr": DYNAMIC, "colour": PQ}, {"to": "hevc"}, "cannot keep Dolby Vision and HDR10+"),
        ({"hdr": DYNAMIC, "colour": PQ}, {"to": "hevc", "hdr": "lose"}, ""),
        # by its packets alone: without a word on its colours it is as good as profile 5
        (
            {"hdr": DYNAMIC},
            {"to": "hevc", "hdr": "lose"},
            "cannot keep Dolby Vision, whose colours are wrong without it",
        ),
        ({"hdr": DYNAMIC, "dolby_vision": "8.2"}, {"to": "hevc"}, "cannot keep Dolby Vision 8.2 and HDR10+"),
        ({"dolby_vision": "8.2"}, {"to": "h264", "hdr": "lose"}, ""),
        ({"dolby_vision": "5.0", "colour": PQ}, {"to": "hevc", "hdr": "lose"}, "cannot keep Dolby Vision 5.0, whose"),
        ({"interlaced": True}, {"to": "h264"}, ""),
        ({"interlaced": True}, {"to": "h264", "hardware": "auto"}, "cannot keep its fields"),
        ({"interlaced": True}, {"to": "av1", "interlaced": "deinterlace"}, ""),
        ({"interlaced": True, "dolby_vision": "8.1"}, {"to": "av1", "interlaced": "leave"}, "Dolby Vision 8.1"),
    ],
)
def test_what_an_encode_would_lose(traits: dict[str, Any], wish: dict[str, Any], reason: str) -> None:
    stream = replace(STREAM, **{"hdr": Hdr(), **traits})
    file = replace(probe(made("plain")), streams=(stream,))
    draft = Draft(source=stream, now=stream)
    if not reason:
        assert left_alone(file, draft, Video(**wish)) == ""
        return
    with pytest.raises(Refused, match=re.escape(reason)):
        left_alone(file, draft, Video(**wish))
    left = {"hdr": "leave", "interlaced": "leave"}
    assert reason in left_alone(file, draft, Video(**{**wish, **left}))


# --------------------------------------------------------------------------------------- encoders and verification


KEEP = (("hdr", "keep"),)
ENCODERS = frozenset({"libx265", "libaom-av1", "libsvtav1", "hevc_nvenc", "libvpx-vp9"})
ALL = Programs(ffmpeg="/opt/ffmpeg", hardware=True, known=Abilities(version="7.0", encoders=ENCODERS))


def test_an_encoder_is_chosen_that_says_it() -> None:
    assert encoder_for(Encode(to="hevc", options=(*KEEP, ("hardware", "auto"))), ALL) == "libx265"
    assert encoder_for(Encode(to="hevc", options=(("hardware", "auto"),)), ALL) == "hevc_nvenc"
    with pytest.raises(ConfigError, match=r"hardware='nvenc' cannot keep .* say hdr: lose or hdr: leave"):
        encoder_for(Encode(to="hevc", options=(*KEEP, ("hardware", "nvenc"), ("hardware_fallback", "false"))), ALL)
    few = replace(ALL, known=Abilities(version="7.0", encoders=ENCODERS - {"libsvtav1"}))
    assert encoder_for(Encode(to="av1"), few) == "libaom-av1"
    with pytest.raises(ConfigError, match=r"has no encoder that keeps .* libsvtav1 or libx265, or say hdr: lose"):
        encoder_for(Encode(to="av1", options=KEEP), few)


def test_it_is_said_in_the_encoders_words() -> None:
    def said(to: str, hdr: Hdr) -> str:
        argv = encode_options(replace(STREAM, hdr=hdr), Encode(to=to), 0, ALL, threads=2)
        return argv[argv.index("-x265-params:0" if to == "hevc" else "-svtav1-params:0") + 1]

    assert said("hevc", SAID) == f"log-level=error:pools=2:master-display={MASTERED}:max-cll=1000,400"
    assert said("hevc", Hdr()) == "log-level=error:pools=2"
    display = "G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005)"
    assert said("av1", SAID) == f"lp=2:mastering-display={display}:content-light=1000,400"
    assert said("av1", Hdr(light=(600, 0))) == "lp=2:content-light=600,0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"hdr": Hdr(light=(1000, 400))}, ["says of its mastering display nothing, planned"]),
        ({"hdr": Hdr(mastering=SAID.mastering)}, ["says of its brightest pictures nothing, planned (1000, 400)"]),
        ({"hdr": replace(SAID, light=(1000, 401))}, ["says of its brightest pictures (1000, 401)"]),
        ({"hdr": replace(SAID, mastering=(*SAID.mastering[:8], 10_000_020, 51))}, []),  # AV1 counts in other units
        ({"hdr": replace(SAID, mastering=(*SAID.mastering[:8], 20_000_000, 50))}, ["mastering display (34000, 16000"]),
        ({"pixel_format": "yuv420p"}, ["has pixels of yuv420p, planned 10 bits and more"]),
        ({"colour": (("color_transfer", "smpte2084"), ("color_range", "pc"))}, ["color_range is pc, planned tv"]),
        ({"colour": ()}, ["color_transfer is not said, planned smpte2084"]),
        ({"dolby_vision": "8.1"}, ["is Dolby Vision 8.1, planned none"]),
    ],
)
def test_a_result_that_lost_it_is_not_accepted(change: dict[str, Any], words: list[str]) -> None:
    source = replace(STREAM, colour=(("color_transfer", "smpte2084"), ("color_range", "tv")))
    problems = list(_picture(Encode(to="hevc", options=KEEP), source, replace(source, **change)))
    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True)), problems


def test_a_copy_that_lost_its_record_is_not_accepted() -> None:
    source = replace(STREAM, dolby_vision="8.1")
    assert list(_picture(None, source, source)) == []
    assert list(_picture(None, source, STREAM)) == ["is Dolby Vision no more, planned 8.1"]


# --------------------------------------------------------------------------------------------------- range and fields


@pytest.mark.parametrize("to", ["av1", "vp9", "hevc", "h264"])
def test_pictures_of_the_full_range_keep_it(tmp_path: Path, to: str) -> None:
    """libsvtav1 and libvpx take no yuvj420p: ffmpeg would bring black and white nearer, and call it full range."""
    path = placed("full range", tmp_path)

    def levels(path: Path) -> tuple[int, int]:
        kept = ["-vf", "scale=out_range=pc,format=gray,signalstats,metadata=print:file=-", "-frames:v", "1"]
        done = subprocess.run(
            [find_ffmpeg(), "-v", "error", "-i", path, *kept, "-f", "null", "-"],
            capture_output=True,
            check=True,
            text=True,
        )
        found = dict(re.findall(r"signalstats\.(\w+)=(\S+)", done.stdout))
        return int(found["YLOW"]), int(found["YHIGH"])

    before = levels(path)
    step = f"video: {{to: {to}, crf: 10, {FAST}{', max_height: 48' if to == 'h264' else ''}}}"
    (result,) = brought(policy(step), path, state=tmp_path / "state")
    assert result.status == "done", result.reason
    assert ffprobe(path)["streams"][0]["color_range"] == "pc"
    assert levels(path) == pytest.approx(before, abs=5)


@pytest.mark.parametrize("to", ["hevc", "h264"])
def test_pictures_are_made_progressive_if_asked(tmp_path: Path, to: str) -> None:
    path = placed("interlaced", tmp_path)
    count = len(frames(path))
    assert set(frames(path)) == {"1"}
    assert combed(path) > 20
    step = policy(f"video: {{to: {to}, {FAST}, interlaced: deinterlace}}")
    (result,) = brought(step, path, state=tmp_path / "state")
    assert (result.status, result.warnings) == ("done", ()), result.reason
    assert frames(path) == ["0"] * count
    assert combed(path) < 8  # a coarse encode looks a bit like it
    (again,) = brought(step, path, state=tmp_path / "state")
    assert again.status == "unchanged", again.changes


def combed(path: Path) -> int:
    """How many pictures look as if they held two fields."""
    argv = [find_ffmpeg(), "-hide_banner", "-i", path, "-vf", "idet", "-f", "null", "-"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return sum(map(int, *re.findall(r"Multi frame detection: TFF:\s*(\d+) BFF:\s*(\d+)", done.stderr)))


def frames(path: Path) -> list[str]:
    """Of each picture, whether it is interlaced."""
    asked = ["-select_streams", "v", "-show_frames", "-show_entries", "frame=interlaced_frame", "-of", "csv=p=0"]
    done = subprocess.run(["ffprobe", "-v", "error", *asked, path], capture_output=True, text=True, check=True)
    return [line[0] for line in done.stdout.splitlines() if line[:1] in {"0", "1"}]
