"""The twelve operations on real files, by the whole chain; what came out is told by ffprobe, not by raddle's probe.

`pytest -m slow -s` also sweeps every operation over generated files and the real clips, and prints the table;
with RADDLE_CHAOS=1 over 40 of them.
"""

# ruff: noqa: E501 - one case a line
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from made import CLIPS, built, ffprobe
from media_operations import OPERATIONS, broken_rule, brought, format_of, mkvmerge_view, seen
from media_safety import Home

from raddle.errors import ConfigError
from raddle.workloads.media.clips import Attached, Clip, Sound, Text, find_ffmpeg, font_bytes
from raddle.workloads.media.policy import parse_policy
from raddle.workloads.media.sample import make_samples

if TYPE_CHECKING:
    from raddle.workloads.media.batch.results import Result

ENG, JPN = Sound(language="eng", title="Lost Dialog"), Sound(language="jpn", default=True)
TALK = Sound(language="eng", title="Director's commentary", dispositions=("comment",))
SURROUND = Sound(codec="ac3", language="eng", channels=6, default=True)
FONTS = (Attached("a.ttf"), Attached("notes.txt", "text/plain"))
STYLED = Text(codec="ass", language="eng")
TWO = (Text(language="eng"), Text(language="jpn"))

#: one clip each, by what is in it
FILES = {
    "jpn, eng": Clip(name="jpn, eng.mkv", audio=(JPN, ENG), subtitles=(*TWO, Text(language="ger", forced=True))),
    "jpn": Clip(name="jpn.mkv", audio=(JPN,), subtitles=TWO),
    "german twice": Clip(name="german.mkv", audio=(Sound(language="ger"), Sound(language="deu"), JPN)),
    "commentary": Clip(name="commentary.mkv", audio=(JPN, TALK), subtitles=(Text(language="fre", title="Signs"),)),
    "ghost": Clip(name="ghost.mkv", audio=(ENG, Sound(language="ger", title="English 5.1 (Ghost)"))),
    "unsaid": Clip(name="unsaid.mkv", audio=(Sound(), JPN)),
    "silent": Clip(name="silent.mkv", audio=(), subtitles=TWO),
    "styled": Clip(name="styled.mkv", subtitles=(STYLED,), attachments=FONTS),
    "fonts": Clip(name="fonts.mkv", subtitles=TWO[:1], attachments=FONTS),
    "surround": Clip(name="surround.mkv", audio=(SURROUND, JPN), chapters=("One", "", "Three")),
    "both": Clip(name="both.mkv", audio=(SURROUND, Sound(language="eng", title="Stereo"))),
    "titles": Clip(name="titles.mkv", audio=(ENG, TALK), title="x264-GRP", video_title="rip", subtitles=TWO[:1]),
    "forced": Clip(
        name="forced.mkv", audio=(JPN,), subtitles=(Text(language="eng", forced=True, title="Signs"), TWO[0])
    ),
    "lossless": Clip(name="lossless.mkv", audio=(Sound(codec="flac", language="eng"), Sound(codec="vorbis"))),
    "dated": Clip(name="dated.mkv", extra=("-metadata", "date=1999-05-04")),
    "interlaced": Clip(
        name="interlaced.mkv", video="mpeg2video", rate="50", extra=("-vf", "interlace", "-flags:v", "+ilme+ildct")
    ),
    "odd": Clip(name="odd.mkv", video="mpeg4", width=126, height=90, rate="24000/1001"),
    **{name: CLIPS[name] for name in ("cover", "avi", "webm", "ts", "mpg", "mov", "mp4", "hdr", "hevc", "two")},
}

ALL_LOSSES = "losses: [styling, bitmap_subtitles, attachments, data, pictures]"
VIDEO = "video:h264"
#: operation, clip, step, the streams afterwards by ffprobe; None: nothing changes; a text: refused for this reason
CASES: list[tuple[str, str, str, list[str] | str | None]] = [
    # ------------------------------------------------------------------------------------------------- keep_audio
    ("keep_audio", "jpn, eng", "keep_audio: {languages: [en]}", [VIDEO, "audio:eng:aac Lost Dialog", "subtitle:eng:subrip", "subtitle:jpn:subrip", "subtitle:ger:subrip:F"]),
    ("keep_audio", "german twice", "keep_audio: {languages: [de]}", [VIDEO, "audio:ger:aac", "audio:ger:aac"]),
    ("keep_audio", "jpn", "keep_audio: {languages: [eng]}", "leaves fewer than at_least=1 main audio"),
    ("keep_audio", "jpn", "keep_audio: {languages: [eng], otherwise: keep_all}", None),
    ("keep_audio", "german twice", "keep_audio: {languages: [eng], otherwise: keep_first}", [VIDEO, "audio:ger:aac"]),
    ("keep_audio", "german twice", "keep_audio: {languages: [eng], otherwise: content_language}", [VIDEO, "audio:ger:aac", "audio:ger:aac"]),
    ("keep_audio", "ghost", "keep_audio: {languages: [eng], music: keep, sfx: keep}", [VIDEO, "audio:eng:aac Lost Dialog"]),
    ("keep_audio", "commentary", "keep_audio: {languages: [eng]}", "leaves fewer than at_least=1 main audio"),
    ("keep_audio", "unsaid", "keep_audio: {languages: [eng, und]}", [VIDEO, "audio:und:aac"]),
    ("keep_audio", "silent", "keep_audio: {languages: [eng]}", None),
    # --------------------------------------------------------------------------------------------- keep_subtitles
    ("keep_subtitles", "jpn, eng", "keep_subtitles: {languages: [eng]}", [VIDEO, "audio:jpn:aac:D", "audio:eng:aac Lost Dialog", "subtitle:eng:subrip"]),
    ("keep_subtitles", "jpn, eng", "keep_subtitles: {languages: [eng], forced: keep}", [VIDEO, "audio:jpn:aac:D", "audio:eng:aac Lost Dialog", "subtitle:eng:subrip", "subtitle:ger:subrip:F"]),
    ("keep_subtitles", "jpn", "keep_subtitles: {languages: none}", [VIDEO, "audio:jpn:aac:D"]),
    ("keep_subtitles", "jpn", "keep_subtitles: {languages: all}", None),
    # ------------------------------------------------------------------------------------------------ attachments
    ("attachments", "styled", "attachments: remove", [VIDEO, "audio:und:aac", "subtitle:eng:ass", "attachment a.ttf"]),
    ("attachments", "styled", "attachments: remove_all", [VIDEO, "audio:und:aac", "subtitle:eng:ass"]),
    ("attachments", "fonts", "attachments: keep_fonts", [VIDEO, "audio:und:aac", "subtitle:eng:subrip", "attachment a.ttf"]),
    ("attachments", "fonts", "attachments: remove", [VIDEO, "audio:und:aac", "subtitle:eng:subrip"]),
    ("attachments", "jpn", "attachments: remove_all", None),
    # ------------------------------------------------------------------------------------------------------ order
    ("order", "surround", "order: [audio, video]", ["audio:eng:ac3:D", "audio:jpn:aac:D", VIDEO]),
    ("order", "commentary", "order: [video, subtitle, audio_commentary, audio]", [VIDEO, "subtitle:fre:subrip Signs", "audio:eng:aac:C Director's commentary", "audio:jpn:aac:D"]),
    ("order", "jpn, eng", "order: [video, audio]", [VIDEO, "audio:eng:aac Lost Dialog", "audio:jpn:aac:D", "subtitle:eng:subrip", "subtitle:jpn:subrip", "subtitle:ger:subrip:F"]),
    ("order", "fonts", "order: [video, audio, subtitle]", None),
    # --------------------------------------------------------------------------------------------------- defaults
    ("defaults", "jpn, eng", "defaults: {audio: preferred}", [VIDEO, "audio:jpn:aac", "audio:eng:aac:D Lost Dialog", "subtitle:eng:subrip", "subtitle:jpn:subrip", "subtitle:ger:subrip:F"]),
    ("defaults", "commentary", "defaults: {audio: preferred, subtitle: first, video: first}", ["video:h264:D", "audio:jpn:aac:D", "audio:eng:aac:C Director's commentary", "subtitle:fre:subrip:D Signs"]),
    ("defaults", "jpn", "defaults: {audio: none, subtitle: when_foreign}", [VIDEO, "audio:jpn:aac", "subtitle:eng:subrip:D", "subtitle:jpn:subrip"]),
    ("defaults", "silent", "defaults: {audio: preferred, subtitle: none}", None),
    # ------------------------------------------------------------------------------------------------------ clear
    ("clear", "titles", "clear: {titles: [video, audio]}", [VIDEO, "audio:eng:aac", "audio:eng:aac:C", "subtitle:eng:subrip"]),
    ("clear", "forced", "clear: {forced: [subtitle], titles: [subtitle], default: [audio]}", [VIDEO, "audio:jpn:aac", "subtitle:eng:subrip", "subtitle:eng:subrip"]),
    ("clear", "fonts", "clear: {titles: [video], forced: [audio, subtitle]}", None),
    # -------------------------------------------------------------------------------------------------- container
    ("container mkv", "avi", "container: {to: mkv}", ["video:mpeg4", "audio:und:mp3"]),
    ("container mkv", "webm", "container: {to: mkv}", ["video:vp9", "audio:ger:opus"]),
    ("container mkv", "ts", "container: {to: mkv}", ["video:h264", "audio:eng:ac3"]),
    ("container mkv", "mpg", "container: {to: mkv}", ["video:mpeg2video", "audio:und:mp2"]),
    ("container mkv", "mov", "container: {to: mkv}", ["video:h264:D", "audio:und:aac:D"]),
    ("container mkv", "cover", "container: {to: mkv}", ["video:h264:D", "audio:eng:aac:D Stereo", "audio:jpn:ac3 Surround", "subtitle:eng:subrip:D English", "cover"]),
    ("container mkv", "titles", "container: {to: mkv}", None),
    ("container mp4", "surround", "container: {to: mp4}", ["video:h264:D", "audio:eng:ac3:D", "audio:jpn:aac:D"]),
    ("container mp4", "forced", "container: {to: mp4}", ["video:h264:D", "audio:jpn:aac:D", "subtitle:eng:mov_text:DF", "subtitle:eng:mov_text"]),
    ("container mp4", "styled", "container: {to: mp4}", "losses"),
    ("container mp4", "styled", f"container: {{to: mp4, {ALL_LOSSES}}}", ["video:h264:D", "audio:und:aac:D", "subtitle:eng:mov_text:D"]),
    ("container mp4", "lossless", "container: {to: mp4}", "container.audio: convert"),
    ("container mp4", "lossless", "container: {to: mp4, audio: convert}", ["video:h264:D", "audio:eng:flac:D", "audio:und:aac"]),
    ("container mp4", "mpg", "container: {to: mp4, audio: convert}", "encode it with video"),
    ("container mp4", "hevc", "container: {to: mp4}", ["video:hevc:D", "audio:und:aac:D"]),
    # ------------------------------------------------------------------------------------------------------ video
    ("video", "jpn, eng", "video: {to: hevc, crf: 40, preset: ultrafast}", ["video:hevc", "audio:jpn:aac:D", "audio:eng:aac Lost Dialog", "subtitle:eng:subrip", "subtitle:jpn:subrip", "subtitle:ger:subrip:F"]),
    ("video", "styled", "video: {to: h264, crf: 40, preset: ultrafast, max_height: 48}", [VIDEO, "audio:und:aac", "subtitle:eng:ass", "attachment a.ttf", "attachment notes.txt"]),
    ("video", "hevc", "video: {to: hevc, max_height: 1080}", None),
    ("video", "hevc", "video: {to: h264, copy: [hevc]}", None),
    ("video", "odd", "video: {to: h264, bitrate: 100k, two_pass: true, preset: ultrafast}", ["video:h264", "audio:und:aac"]),
    ("video", "hdr", "video: {to: h264}", "cannot keep its high dynamic range"),
    ("video", "mp4", "video: {to: av1, preset: ultrafast, crf: 60}", ["video:av1:D", "audio:eng:aac:D"]),
    # ------------------------------------------------------------------------------------------------------ audio
    ("audio", "lossless", "audio: {to: opus, bitrate: 64k, copy: [lossless]}", [VIDEO, "audio:eng:flac", "audio:und:opus"]),
    ("audio", "lossless", "audio: {to: aac, copy: [lossy]}", [VIDEO, "audio:eng:aac", "audio:und:vorbis"]),
    ("audio", "surround", "audio: {to: eac3, copy: [aac]}", [VIDEO, "audio:eng:eac3:D", "audio:jpn:aac:D"]),
    ("audio", "surround", "audio: {to: aac, copy: [ac3]}", None),
    # -------------------------------------------------------------------------------------------------- add_audio
    ("add_audio", "surround", "add_audio: {codec: aac, channels: stereo}", [VIDEO, "audio:eng:ac3:D", "audio:eng:aac Stereo", "audio:jpn:aac:D"]),
    ("add_audio", "surround", "add_audio: {codec: ac3, channels: mono, position: end, title: Mix}", [VIDEO, "audio:eng:ac3:D", "audio:jpn:aac:D", "audio:eng:ac3 Mix"]),
    ("add_audio", "both", "add_audio: {codec: aac, channels: stereo}", None),
    ("add_audio", "unsaid", "add_audio: {codec: aac, channels: 5.1}", None),
    # ------------------------------------------------------------------------------------------------------ rules
    ("rules", "forced", "rules: [{when: {missing: {type: audio, language: eng}}, then: {set_forced: {type: subtitle, language: eng}}}]", [VIDEO, "audio:jpn:aac:D", "subtitle:eng:subrip:F Signs", "subtitle:eng:subrip:F"]),
    ("rules", "unsaid", "rules: [{when: {count: {type: audio, eq: 2}}, then: {set_language: {type: audio, language: und, to: ger}}}]", [VIDEO, "audio:ger:aac", "audio:jpn:aac:D"]),
    ("rules", "jpn, eng", "rules: {match: first, items: [{when: {exists: {type: audio, language: jpn}}, then: {set_default: {type: audio, language: eng}}}, {when: {size_over: 1B}, then: {fail: no}}]}", [VIDEO, "audio:jpn:aac", "audio:eng:aac:D Lost Dialog", "subtitle:eng:subrip", "subtitle:jpn:subrip", "subtitle:ger:subrip:F"]),
    ("rules", "jpn", "rules: [{when: {missing: {type: audio, language: eng}}, then: {skip_video: true}}]\n    video: {to: hevc}", None),
    ("rules", "jpn", "rules: [{when: {missing: {type: audio, language: eng}}, then: {fail: no English sound}}]", "no English sound"),
    # ---------------------------------------------------------------------------------------------------- skip_if
    ("skip_if", "jpn", "skip_if: {any: [{video_codec: [hevc]}, {size_under: 1MB}]}\n    keep_subtitles: {languages: none}", None),
    ("skip_if", "jpn", "skip_if: {all: [{container: mkv}, {duration_over: 1h}]}\n    keep_subtitles: {languages: none}", [VIDEO, "audio:jpn:aac:D"]),
]  # fmt: skip


def policy(step: str, top: str = "") -> str:
    return f"version: 1\nlanguages: {{audio: [eng, und], subtitles: [eng]}}\n{top}steps:\n  - {step}\n"


def placed(name: str, folder: Path) -> Path:
    """A copy of the clip, as old as a real file."""
    path = folder / FILES[name].name
    shutil.copyfile(built(FILES[name]), path)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def now_at(result: Result) -> Path:
    return Path(result.target or result.path)


FIRST = {operation: number for number, (operation, *_) in reversed(list(enumerate(CASES)))}


@pytest.mark.parametrize(
    ("operation", "clip", "step", "wanted"),
    [
        pytest.param(*case, id=f"{case[0]}: {case[1]} {n}", marks=() if n in FIRST.values() else pytest.mark.slow)
        for n, case in enumerate(CASES)
    ],
)
def test_operations_do_what_they_say_and_have_nothing_to_do_a_second_time(
    tmp_path: Path, operation: str, clip: str, step: str, wanted: list[str] | str | None
) -> None:
    path = placed(clip, tmp_path)
    before, bytes_before = seen(path), digest(path)
    (result,) = brought(policy(step), path, state=tmp_path / "state")
    after = now_at(result)
    if not isinstance(wanted, list):
        assert result.status in ({"unchanged", "skipped"} if wanted is None else {"failed"}), result.reason
        assert (wanted or "") in result.reason
        assert (digest(path), path.stat().st_mtime) == (bytes_before, 1_000_000_000)
        return
    assert result.status == "done", f"{operation}: {result.reason} {result.said}"
    assert [str(stream) for stream in seen(after)] == wanted
    if operation.startswith("container"):
        assert {"mkv": "matroska", "mp4": "mp4"}[operation[-3:]] in format_of(after)
    else:
        assert before != seen(after)
    assert after.stat().st_mtime == 1_000_000_000
    (again,) = brought(policy(step), after, state=tmp_path / "state")
    assert (again.status in {"unchanged", "skipped"}, again.changes) == (True, ()), again.reason


def test_what_would_lose_more_with_every_run_is_refused_where_it_is_written() -> None:
    step = "keep_subtitles: {languages: none, forced: keep}\n    clear: {forced: [subtitle]}"
    with pytest.raises(ConfigError, match=r"line 5: .* the next run loses them"):
        parse_policy(policy(step))


def test_every_operation_has_edge_cases() -> None:
    of_steps = set(OPERATIONS) - {"times"}  # has a test of its own
    assert {case[0] for case in CASES} == of_steps


@pytest.mark.parametrize(
    ("times", "is_right"),
    [
        ("preserve", lambda found, _: found == 1_000_000_000),
        ("release_date", lambda found, _: 925_700_000 < found < 925_900_000),  # 1999-05-04
        ("now", lambda found, began: found >= began - 1),
    ],
)
def test_times(tmp_path: Path, times: str, is_right: object) -> None:
    path = placed("dated", tmp_path)
    (tmp_path / "clock").touch()
    began = (tmp_path / "clock").stat().st_mtime
    text = policy("defaults: {video: first}", f"times: {times}\n")
    (result,) = brought(text, path, state=tmp_path / "state")
    assert result.status == "done", result.reason
    assert callable(is_right)
    assert is_right(path.stat().st_mtime, began)
    (again,) = brought(text, path, state=tmp_path / "state")
    assert again.status == "unchanged"


def test_what_container_and_encodes_must_carry(tmp_path: Path) -> None:
    """Chapters, titles, covers and fonts go along where the policy does not name them."""
    full = Path(shutil.copyfile(built(CLIPS["full"]), tmp_path / "full.mkv"))
    cover = Path(shutil.copyfile(built(CLIPS["cover"]), tmp_path / "cover.mp4"))
    text = policy("video: {to: hevc, crf: 40, preset: ultrafast}\n    container: {to: mkv}")
    results = {Path(r.path).name: r for r in brought(text, full, cover, state=tmp_path / "state")}
    assert [result.status for result in results.values()] == ["done", "done"]
    streams = [str(stream) for stream in seen(full)]
    assert streams[-2:] == ["attachment Sans Oblique.ttf", "attachment notes.txt"]
    assert "subtitle:ger:ass Deutsch" in streams
    assert str(seen(now_at(results["cover.mp4"]))[-1]) == "cover"
    told = [ffprobe(path) for path in (full, now_at(results["cover.mp4"]))]
    titles = [[chapter.get("tags", {}).get("title", "") for chapter in each["chapters"]] for each in told]
    assert titles == [["Dawn", "", "Night – the end"], ["One", "Two"]]
    assert [each["format"]["tags"]["title"] for each in told] == ["Everything", "With a cover"]


def with_cover_before_font(folder: Path) -> Path:
    """A film as people have them: `cover.jpg` is its first attachment."""
    ffmpeg, (cover, font) = find_ffmpeg(), (folder / "cover.jpg", folder / "Sans.ttf")
    font.write_bytes(font_bytes("Sans.ttf"))
    picture = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", cover]
    subprocess.run(picture, check=True, timeout=120)
    words = [word for path in (cover, font) for word in ("-attach", str(path))]
    for number, (name, kind) in enumerate((("cover.jpg", "image/jpeg"), ("Sans.ttf", "application/x-truetype-font"))):
        words += [f"-metadata:s:t:{number}", f"filename={name}", f"-metadata:s:t:{number}", f"mimetype={kind}"]
    return Path(shutil.copyfile(built(Clip(name="film.mkv", extra=tuple(words))), folder / "film.mkv"))


@pytest.mark.parametrize("step", ["audio: {to: flac}", "video: {to: hevc, crf: 40, preset: ultrafast}"])
def test_a_cover_before_a_font_is_no_hindrance(tmp_path: Path, step: str) -> None:
    """ffmpeg attaches covers last, whatever is asked for."""
    path = with_cover_before_font(tmp_path)
    assert [str(stream) for stream in seen(path)[-2:]] == ["cover", "attachment Sans.ttf"]
    (result,) = brought(policy(step), path, state=tmp_path / "state")
    assert result.status == "done", result.reason
    assert [str(stream) for stream in seen(path)[-2:]] == ["attachment Sans.ttf", "cover"]
    (again,) = brought(policy(step), path, state=tmp_path / "state")
    assert again.status == "unchanged", again.changes


def test_interlaced_pictures_stay_so(tmp_path: Path) -> None:
    path = placed("interlaced", tmp_path)
    unless = policy("video: {to: h264, unless: {exists: {interlaced: true}}}")
    (left,) = brought(unless, path, state=tmp_path / "state")
    assert left.status == "unchanged"
    text = policy("video: {to: h264, crf: 40, preset: ultrafast, max_height: 48}")
    (result,) = brought(text, path, state=tmp_path / "state")
    assert (result.status, result.warnings) == ("done", ()), result.reason
    asked = ["-select_streams", "v", "-show_frames", "-show_entries", "frame=interlaced_frame", "-of", "csv=p=0"]
    done = subprocess.run(["ffprobe", "-v", "error", *asked, path], capture_output=True, text=True, check=True)
    assert {line[0] for line in done.stdout.splitlines() if line} == {"1"}


def test_tags_that_mp4_has_no_place_for_are_told_and_asked_for_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    tagged = policy("rules: [{when: {exists: {type: video}}, then: {set_tag: {shelf: left, genre: Drama}}}]")
    told = ("MP4 has no place for the tags shelf",)
    mp4 = placed("mp4", tmp_path)
    (first,) = brought(tagged, mp4, state=state)
    assert (first.status, first.changes, first.warnings) == ("done", ('tag genre: "Drama"',), told)
    (second,) = brought(tagged, mp4, state=state)
    assert second.status == "unchanged"
    path = placed("two", tmp_path)
    (marked,) = brought(tagged, path, state=state)
    assert (marked.status, marked.warnings) == ("done", ())
    (moved,) = brought(policy("container: {to: mp4}"), path, state=state)
    assert (moved.status, moved.warnings) == ("done", told)
    assert "clear tag shelf" in moved.changes


# ------------------------------------------------------------------------------------------------ sweeps over a library

#: on every Python: one that drops streams, one that only writes headers, one that sorts
QUICK = ("keep_subtitles", "defaults", "order")


@pytest.fixture(scope="session", params=[12, pytest.param(40, marks=pytest.mark.chaos)])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Generated files, of which the first five show every trait, and the real clips; never written to."""
    folder = tmp_path_factory.mktemp("library")
    make_samples(folder / "made", request.param)
    for clip in sorted((data / "video").iterdir()):
        if "truncated" not in clip.name:
            shutil.copyfile(clip, folder / clip.name)
    return folder


def files_of(folder: Path) -> dict[str, Path]:
    """Files by path without suffix, raddle's own folders left out."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    own = (path for path in found if not any(part.startswith(".raddle") for part in path.parts))
    return {str(path.relative_to(folder).with_suffix("")): path for path in own}


def checked(operation: str, old: Path, new: Path, *, changed: bool) -> str:
    """What is wrong with a file that a sweep was over."""
    if not changed:
        return "" if digest(old) == digest(new) else "changed without being told"
    before, after = seen(old), seen(new)
    if "mp4" in format_of(new):  # where one of each kind is always the default
        before, after = ([replace(s, flags=s.flags.replace("D", "")) for s in each] for each in (before, after))
    wrong = broken_rule(operation, before, after)
    by_mkvmerge = mkvmerge_view(new)
    tracks = [stream for stream in after if stream.kind not in {"attachment", "cover"}]
    if not wrong and by_mkvmerge is not None:
        ours = [(s.kind, s.language, s.title, "D" in s.flags, "F" in s.flags) for s in tracks]
        wrong = "" if ours == by_mkvmerge else f"mkvmerge sees {by_mkvmerge}, ffprobe {ours}"
    return wrong


def sweep(operation: str, library: Path, folder: Path) -> str:
    """Run an operation over a copy of the library twice, by the command; return its line for the table."""
    shutil.copytree(library, folder / "films")
    old, home = files_of(library), Home(folder / "home")
    text = folder / "policy.yaml"
    text.write_text(OPERATIONS[operation], encoding="utf-8")
    first = home.media(text, folder / "films", options="--recursive", limit=250)
    new = files_of(folder / "films")
    assert old.keys() == new.keys()
    counts = Counter(row["status"] for row in first.rows)
    assert sum(counts.values()) == len(old)
    wrong = {}
    for row in first.rows:
        name = str(Path(row["path"]).relative_to(folder / "films").with_suffix(""))
        wrong[name] = checked(operation, old[name], new[name], changed=row["status"] == "done")
    assert not {name: text for name, text in wrong.items() if text}
    failed = [row for row in first.rows if row["status"] == "failed"]
    assert all("cannot be written; add container" in row["reason"] for row in failed), [row["reason"] for row in failed]
    second = home.media(text, folder / "films", options="--recursive", limit=250)
    assert not [row for row in second.rows if row["changes"] or row["status"] in {"done", "cancelled"}]
    probers = "ffprobe" + (", mkvmerge -J" if shutil.which("mkvmerge") else "")
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"{operation:15} | {len(old)} | {told:40} | {probers} | 0 changes"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_sweep_over_a_library_and_the_real_clips(operation: str, library: Path, tmp_path: Path) -> None:
    print(f"\n| {sweep(operation, library, tmp_path)} |")


@pytest.mark.parametrize("operation", QUICK)
def test_a_sweep_over_the_first_files(operation: str, tmp_path: Path, small: Path) -> None:
    folder = Path(shutil.copytree(small, tmp_path / "films"))
    results = brought(OPERATIONS[operation], folder, state=tmp_path / "state")
    new, old = files_of(folder), files_of(small)
    assert len(results) == len(old)
    for result in results:
        name = str(Path(result.path).relative_to(folder).with_suffix(""))
        assert not checked(operation, old[name], new[name], changed=result.status == "done"), name
    again = brought(OPERATIONS[operation], folder, state=tmp_path / "state")
    assert not [result for result in again if result.changes]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_samples(folder, 5)
    return folder
