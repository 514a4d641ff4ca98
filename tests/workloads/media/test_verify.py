from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

av = pytest.importorskip("av", reason="no PyAV here: install raddle[media]")

from made import Attached, Clip, Sound, Text, built, copy_of, forty_samples, made  # noqa: E402

from raddle.workloads.media.health import check  # noqa: E402
from raddle.workloads.media.plan.values import Encode, Output, Plan  # noqa: E402
from raddle.workloads.media.probe import probe  # noqa: E402
from raddle.workloads.media.tools.commands import commands  # noqa: E402
from raddle.workloads.media.tools.programs import find_programs  # noqa: E402
from raddle.workloads.media.verify import verify  # noqa: E402

if TYPE_CHECKING:
    from raddle.workloads.media.values import MediaFile, Stream

WRITERS = ["ffmpeg", pytest.param("mkvmerge", marks=pytest.mark.skipif(
    shutil.which("mkvmerge") is None, reason="no mkvmerge here: install mkvtoolnix"))]  # fmt: skip


def _output(stream: Stream, **changes: Any) -> Output:
    values = {
        "source": stream.index,
        "kind": stream.kind,
        "codec": None,
        "language": stream.language,
        "title": stream.title,
        "default": stream.default,
        "forced": stream.forced,
        "dispositions": stream.dispositions,
    }
    return Output(**{**values, **changes})


def _plan(media: MediaFile, outputs: list[Output] | None = None, **changes: Any) -> Plan:
    made_of = outputs if outputs is not None else [_output(stream) for stream in media.streams]
    values = {
        "source": media,
        "container": media.container,
        "target": media.path,
        "outputs": tuple(made_of),
        "chapters": bool(media.chapters),
        "tags": media.tags,
        "changes": ("a test",),
        "method": "encode" if any(output.codec for output in made_of) else "remux",
    }
    return Plan(**{**values, **changes})


def _write(plan: Plan, folder: Path, writer: str = "ffmpeg") -> Path:
    """The planned result, by the commands that the workload gives."""
    staged = folder / f"result.{plan.container}"
    for command in commands(plan, find_programs(mkvtoolnix=writer == "mkvmerge"), str(staged)):
        done = subprocess.run(command.argv, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, (command.argv, done.stdout, done.stderr)
    return staged


def _full() -> MediaFile:
    return probe(made("full"))


@pytest.mark.parametrize("writer", WRITERS)
def test_a_copy_of_everything_is_good(writer: str, tmp_path: Path) -> None:
    plan = _plan(_full())
    assert verify(plan, plan.source, _write(plan, tmp_path, writer)) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_fewer_streams_in_another_order_with_other_words_are_good(writer: str, tmp_path: Path) -> None:
    s = _full().streams
    outputs = [
        _output(s[0], title=""),
        _output(s[2], default=True, language="ger", title="Ton"),
        _output(s[1], default=False),
        _output(s[6], forced=True, title="Schilder"),
        _output(s[4], default=False, dispositions=frozenset({"hearing_impaired"})),
        _output(s[9]),
    ]
    plan = _plan(_full(), outputs, chapters=False, tags=(("title", "Other"),))
    result = _write(plan, tmp_path, writer)
    assert verify(plan, plan.source, result) == []
    assert verify(plan, plan.source, result, "decode") == []


def test_real_clips_are_good(data: Path, tmp_path: Path) -> None:
    for name in ("bbb_multi.mkv", "bbb_plain.mkv"):
        plan = _plan(probe(data / "video" / name))
        assert verify(plan, plan.source, _write(plan, tmp_path)) == []


@pytest.mark.parametrize("name", ["mp4", "cover", "avi", "ts", "mov", "two"])
def test_another_container_is_good(name: str, tmp_path: Path) -> None:
    media = probe(made(name))
    outputs = [
        _output(s, codec=Encode(to="subrip") if s.kind == "subtitle" and s.codec == "mov_text" else None)
        for s in media.streams
        if s.kind != "data"
    ]
    plan = _plan(media, outputs, container="mkv")
    assert verify(plan, media, _write(plan, tmp_path)) == []


def test_matroska_to_mp4_is_good(tmp_path: Path) -> None:
    s = _full().streams
    outputs = [
        _output(s[0], default=True),
        _output(s[1]),
        _output(s[3], codec=Encode(to="aac")),
        _output(s[4], codec=Encode(to="mov_text")),
        _output(s[5], codec=Encode(to="mov_text")),
    ]
    titled = replace(_full(), chapters=tuple(replace(c, title=c.title or "Noon") for c in _full().chapters))
    plan = _plan(titled, outputs, container="mp4")
    untitled = replace(plan, source=_full())
    assert verify(untitled, _full(), _write(plan, tmp_path)) == []


def test_encoded_streams_are_good(tmp_path: Path) -> None:
    s = _full().streams
    hevc = Encode(to="hevc", options=(("crf", "35"), ("height", "48"), ("preset", "ultrafast"), ("width", "64")))
    outputs = [
        _output(s[0], codec=hevc),
        _output(s[2]),
        _output(s[2], codec=Encode(to="aac", options=(("channels", "2"),)), title="Stereo", added=True),
    ]
    plan = _plan(_full(), outputs)
    result = _write(plan, tmp_path)
    assert verify(plan, plan.source, result, "decode") == []
    assert (probe(result).streams[0].width, probe(result).streams[2].channels) == (64, 2)


def test_colours_of_hdr_are_kept_when_encoded(tmp_path: Path) -> None:
    media = probe(made("hdr"))
    outputs = [
        _output(media.streams[0], codec=Encode(to="hevc", options=(("preset", "ultrafast"),))),
        _output(media.streams[1]),
    ]
    plan = _plan(media, outputs)
    assert verify(plan, media, _write(plan, tmp_path)) == []
    lost = replace(media, streams=(replace(media.streams[0], colour=()), media.streams[1]))
    written = _write(_plan(lost, outputs), tmp_path)  # as a program would that knows nothing of colours
    problems = verify(plan, media, written)
    assert probe(written).streams[0].colour == media.streams[0].colour or any("color_" in p for p in problems)


# ------------------------------------------------------------------------------------------- deliberately wrong results


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    """A plan, and the result as it should be: three sounds, four subtitles, two attachments, chapters."""
    plan = _plan(_full())
    return plan, _write(plan, tmp_path_factory.mktemp("good"))


def _wrong(plan: Plan, how: str) -> Plan:
    """What a program that errs would have been told."""
    outputs = list(plan.outputs)
    changed: dict[str, tuple[int, dict[str, Any]]] = {
        "swapped languages": (1, {"language": "jpn"}),
        "a lost title": (1, {"title": ""}),
        "a lost forced flag": (5, {"forced": False}),
        "another default": (4, {"default": False}),
        "a lost mark": (3, {"dispositions": frozenset()}),
        "encoded instead of copied": (2, {"codec": Encode(to="aac")}),
        "a stranger in its place": (1, {"source": 3, "codec": Encode(to="aac")}),
    }
    if how in changed:
        place, values = changed[how]
        outputs[place] = replace(outputs[place], **values)
    if how == "swapped languages":
        outputs[2] = replace(outputs[2], language="eng")
    if how == "swapped order":
        outputs[1], outputs[2] = outputs[2], outputs[1]
    if how == "a stream twice":
        outputs.insert(2, outputs[1])
    dropped = {"a dropped stream": 3, "a dropped subtitle": 5, "a lost attachment": 8}
    if how in dropped:
        del outputs[dropped[how]]
    return replace(
        plan,
        outputs=tuple(outputs),
        chapters=plan.chapters and how != "lost chapters",
        tags=(("title", "x"),) if how == "another tag" else plan.tags,
        method="encode" if any(o.codec for o in outputs) else "remux",
    )


WRONG = [
    ("a dropped stream", "the result holds ["),
    ("a dropped subtitle", "the result holds ["),
    ("a lost attachment", "the result holds ["),
    ("swapped order", "codec is ac3, planned aac"),
    ("swapped languages", "language is jpn, planned eng"),
    ("a lost title", "title is '', planned 'Stereo'"),
    ("a lost forced flag", "forced is False, planned True"),
    ("another default", "default is False, planned True"),
    ("a lost mark", "is marked [], planned ['comment']"),
    ("a stream twice", "the result holds ["),
    ("encoded instead of copied", "codec is aac, planned ac3"),
    ("a stranger in its place", "its bytes are not the source's"),
    ("lost chapters", "the result has 0 chapters, planned were 3"),
    ("another tag", "tag title is 'x', planned 'Everything'"),
]


@pytest.mark.parametrize(("how", "words"), WRONG)
def test_a_wrong_result_is_seen(how: str, words: str, good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, _ = good
    problems = verify(plan, plan.source, _write(_wrong(plan, how), tmp_path))
    assert any(words in problem for problem in problems), problems


def test_a_right_result_is_not(good: tuple[Plan, Path]) -> None:
    plan, result = good
    assert verify(plan, plan.source, result) == []


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_result_is_seen(share: float, good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, result = good
    content = result.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(content[: int(len(content) * share)])
    assert any("cut off" in problem for problem in verify(plan, plan.source, cut))


@pytest.mark.parametrize("content", [b"", b"nothing\n"])
def test_no_result_is_seen(content: bytes, good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, _ = good
    (tmp_path / "result").write_bytes(content)
    assert verify(plan, plan.source, tmp_path / "result")[0].startswith("the result cannot be read")
    assert verify(plan, plan.source, tmp_path / "missing")[0].startswith("the result cannot be read")


def test_a_result_that_ends_early_but_well_is_seen(good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, result = good
    short = tmp_path / "short.mkv"
    argv = ["-nostdin", "-v", "error", "-i", str(result), "-map", "0", "-c", "copy", "-t", "0.7", str(short)]
    subprocess.run([find_programs().ffmpeg, *argv], check=True, timeout=120)
    assert check(short).ok  # a file like any other: only the comparison tells
    problems = verify(plan, plan.source, short)
    assert any("packets, the source has 30" in problem for problem in problems)


def test_an_encode_that_ends_early_is_seen(tmp_path: Path) -> None:
    media = probe(made("plain"))
    outputs = [_output(media.streams[0], codec=Encode(to="h264", options=(("preset", "ultrafast"),))),
               _output(media.streams[1], codec=Encode(to="ac3"))]  # fmt: skip
    plan = _plan(media, outputs)
    result = _write(plan, tmp_path)
    assert verify(plan, media, result) == []
    short = tmp_path / "short.mkv"
    argv = ["-nostdin", "-v", "error", "-i", str(result), "-map", "0", "-c", "copy", "-t", "0.5", str(short)]
    subprocess.run([find_programs().ffmpeg, *argv], check=True, timeout=120)
    problems = " ".join(verify(plan, media, short))
    assert "frames, the source has 30" in problems
    assert "(audio, from 1): lasts" in problems


def test_an_attachment_with_other_bytes_is_seen(good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, result = good
    content = bytearray(result.read_bytes())
    at = content.index(b"\x00\x01\x00\x00\x00\x04\x00\x40")  # a TrueType font begins
    content[at + 1000] ^= 1
    (tmp_path / "x.mkv").write_bytes(content)
    problems = verify(plan, plan.source, tmp_path / "x.mkv")
    assert [problem for problem in problems if "are not the 4096 of the source" in problem] == problems
    assert len(problems) == 1


def test_a_flipped_byte_of_a_copied_stream_is_seen(good: tuple[Plan, Path], tmp_path: Path) -> None:
    plan, result = good
    (tmp_path / "x.mkv").write_bytes(_flipped(result, 1))
    assert verify(plan, plan.source, tmp_path / "x.mkv") == [
        "stream 2 of the result (audio, from 2): its bytes are not the source's"
    ]


def test_a_flipped_byte_of_an_encoded_stream_is_seen_by_decoding(tmp_path: Path) -> None:
    media = probe(made("two"))
    plan = _plan(media, [_output(media.streams[0]), _output(media.streams[1], codec=Encode(to="ac3"))])
    result = _write(plan, tmp_path)
    (tmp_path / "x.mkv").write_bytes(_flipped(result, 0))
    assert verify(plan, media, tmp_path / "x.mkv") == []
    assert any("decoding: ac3" in problem for problem in verify(plan, media, tmp_path / "x.mkv", "decode"))


def _flipped(path: Path, audio: int) -> bytes:
    """The file with one byte changed in the middle of a packet of sound, of AC-3, which has checksums."""
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = next(p for number, p in enumerate(container.demux(audio=audio)) if number == 10)
        at = content.index(bytes(packet)) + packet.size // 2
    content[at] ^= 0xFF
    return bytes(content)


def test_the_wrong_container_is_seen(good: tuple[Plan, Path], tmp_path: Path) -> None:
    media = probe(made("plain"))
    plan = _plan(media, [_output(s) for s in media.streams])
    mp4 = _write(replace(plan, container="mp4"), tmp_path)
    assert "the result is mp4, planned was mkv" in verify(plan, media, mp4)


# ----------------------------------------------------------------------------------------------------- the source


def test_a_damaged_source_is_never_replaced(tmp_path: Path) -> None:
    path = copy_of("full", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    plan = _plan(probe(path))
    outputs = tuple(output for output in plan.outputs if output.kind != "attachment")
    plan = replace(plan, outputs=outputs, chapters=False)
    problems = verify(plan, plan.source, _write(plan, tmp_path))  # which ffmpeg does, and calls well done
    assert any(problem.startswith("the source is damaged: ") for problem in problems)


def test_a_source_that_changed_meanwhile_is_not_replaced(good: tuple[Plan, Path], tmp_path: Path) -> None:
    path = copy_of("full", tmp_path)
    plan = _plan(probe(path))
    with path.open("ab") as file:
        file.write(b"\xec\x81\x00")  # a Void element
    assert verify(plan, plan.source, good[1]) == ["the source was changed while it was worked on: run again"]
    path.unlink()
    assert verify(plan, plan.source, good[1])[0].startswith("the source cannot be read any more")


def test_a_check_of_the_source_can_be_handed_in(good: tuple[Plan, Path]) -> None:
    plan, result = good
    assert verify(plan, plan.source, result, source_health=check(plan.source.path)) == []


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_forty_samples_copied(writer: str, tmp_path: Path) -> None:
    for path in sorted(forty_samples().rglob("*.mkv")):
        media = probe(path)
        plan = _plan(media)
        assert verify(plan, media, _write(plan, tmp_path, writer)) == [], path


def test_everything_at_once(tmp_path: Path) -> None:
    """A generated file of its own with many tracks, written in reverse order."""
    clip = Clip(
        name="many.mkv",
        audio=tuple(Sound(language=language) for language in ("eng", "ger", "fre", "jpn")),
        subtitles=tuple(Text(language=language) for language in ("eng", "ger", "fre", "jpn")),
        attachments=tuple(Attached(f"f{number}.ttf") for number in range(4)),
    )
    media = probe(built(clip))
    tracks = [s for s in media.streams if s.kind != "attachment"]
    plan = _plan(media, [_output(s) for s in [*tracks[:1], *tracks[:0:-1], *media.of("attachment")]])
    result = _write(plan, tmp_path)
    assert verify(plan, media, result) == []
    assert [s.language for s in probe(result).of("audio")] == ["jpn", "fre", "ger", "eng"]
