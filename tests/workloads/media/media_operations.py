"""For tests of operations: the whole chain in this process, and what ffprobe, which raddle does not use, says of it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from made import ffprobe

from raddle.workloads.media.batch.run import RunOptions, run_policy
from raddle.workloads.media.batch.stopping import Signals
from raddle.workloads.media.policy import parse_policy
from raddle.workloads.media.settings import Settings
from raddle.workloads.media.telling import Told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raddle.workloads.media.batch.results import Result

__all__ = ["OPERATIONS", "Seen", "broken_rule", "brought", "format_of", "kinds", "mkvmerge_view", "seen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A stream by ffprobe's word."""

    kind: str
    codec: str
    language: str
    title: str
    flags: str
    channels: int
    size: tuple[int, int]

    def __str__(self) -> str:
        """Return it as the tables of expectations write it: audio:eng:aac:D Stereo."""
        language = self.language if self.kind in {"audio", "subtitle"} else ""
        words = ":".join(filter(None, (self.kind, language, self.codec, self.flags)))
        return f"{words} {self.title}".strip()

    def without_flags(self) -> tuple[Any, ...]:
        return (self.kind, self.codec, self.language, self.title, self.channels, self.size)


_FLAGS = {"default": "D", "forced": "F", "comment": "C", "hearing_impaired": "H", "visual_impaired": "V"}


def seen(path: Path) -> list[Seen]:
    """All streams but the one in which MP4 keeps the titles of chapters."""
    told = ffprobe(path)
    # releases of ffprobe do not agree on whether MP4's tracks have titles
    titled = "mp4" not in told["format"]["format_name"]
    return [_stream(stream, titled=titled) for stream in told["streams"] if stream["codec_type"] != "data"]


def _stream(stream: dict[str, Any], *, titled: bool) -> Seen:
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    marks = stream.get("disposition", {})
    kind = "cover" if marks.get("attached_pic") else stream["codec_type"]
    title = tags.get("filename", "") if kind == "attachment" else tags.get("title", "") if titled else ""
    return Seen(
        kind=kind,
        codec="" if kind in {"attachment", "cover"} else stream.get("codec_name", ""),
        language=tags.get("language", "und"),
        title="" if kind == "cover" else title,
        flags="" if kind in {"attachment", "cover"} else "".join(m for name, m in _FLAGS.items() if marks.get(name)),
        channels=int(stream.get("channels", 0)),
        size=(stream.get("width", 0), stream.get("height", 0)) if kind == "video" else (0, 0),
    )


def format_of(path: Path) -> str:
    """The container by ffprobe's word."""
    return str(ffprobe(path)["format"]["format_name"])


def kinds(streams: Iterable[Seen]) -> Counter[str]:
    return Counter(stream.kind for stream in streams)


def mkvmerge_view(path: Path) -> list[tuple[str, str, str, bool, bool]] | None:
    """The tracks by mkvmerge's word: kind, language, title, default, forced. None: it is not here, or not Matroska."""
    program = shutil.which("mkvmerge")
    if program is None:
        return None
    done = subprocess.run([program, "-J", path], capture_output=True, check=True, timeout=120)
    told = json.loads(done.stdout)
    if told["container"]["type"] != "Matroska":
        return None
    tracks = [(track["type"].replace("subtitles", "subtitle"), track["properties"]) for track in told["tracks"]]
    return [
        (kind, p.get("language", "und"), p.get("track_name", ""), p["default_track"], p["forced_track"])
        for kind, p in tracks
    ]


@dataclass(slots=True)
class _Kept(Told):
    """Keeps the results of a run."""

    results: list[Result] = field(default_factory=list)

    def __call__(self, result: Result) -> None:
        Told.__call__(self, result)
        self.results.append(result)


def brought(policy: str, *paths: Path, state: Path, dry_run: bool = False, ffmpeg: str | None = None) -> list[Result]:
    """Run a policy over files in this process: probe, plan, tools, verify, replace. One result for each file."""
    told = _Kept()
    with Signals() as signals:
        options = RunOptions(
            policy=parse_policy(policy),
            policy_path=Path("policy.yaml"),
            paths=[str(path) for path in paths],
            recursive=True,
            dry_run=dry_run,
        )
        settings = Settings(state=state, progress="none", ffmpeg=ffmpeg)
        run_policy(options, settings, tell=told, signals=signals, stderr=io.StringIO())
    return told.results


# ------------------------------------------------------------------------------- the twelve operations, and their rules

_TOP = "version: 1\nlanguages: {audio: [eng, und], subtitles: [eng]}\n"


def _step(text: str, top: str = _TOP) -> str:
    return f"{top}steps:\n  - {text}\n"


#: what a sweep over a library runs; each has a rule below that looks at files only, not at plans
OPERATIONS = {
    "keep_audio": _step("keep_audio: {languages: [eng, und], otherwise: keep_all}"),
    "keep_subtitles": _step("keep_subtitles: {languages: [eng], forced: keep}"),
    "attachments": _step("attachments: remove"),
    "order": _step("order: [video, subtitle, audio]"),
    "defaults": _step("defaults: {audio: preferred, subtitle: none}"),
    "clear": _step("clear: {titles: [video, audio], forced: [subtitle], title: true}"),
    "container mkv": _step("container: {to: mkv, audio: convert, losses: [data]}"),
    "container mp4": _step(
        "container: {to: mp4, audio: convert, losses: [styling, bitmap_subtitles, attachments, data, pictures]}\n"
        "    video: {to: h264, copy: [hevc, mpeg4, vp9], crf: 40, preset: ultrafast}"
    ),
    "video": _step("video: {to: hevc, crf: 40, preset: ultrafast, max_height: 80}\n    container: {to: mkv}"),
    "audio": _step("audio: {to: aac, copy: [flac, lossy], bitrate: 96k}\n    container: {to: mkv}"),
    "add_audio": _step("add_audio: {codec: aac, channels: stereo, from: {most_channels: true}}"),
    "rules": _step(
        "rules:\n      - when: {missing: {type: audio, language: eng}}\n"
        "        then: {set_forced: {type: subtitle, language: eng}, set_tag: {comment: foreign}}"
    ),
    "skip_if": _step(
        "skip_if: {any: [{container: [mkv, webm]}, {exists: {type: subtitle}}]}\n    container: {to: mkv}"
    ),
    "times": _step("container: {to: mkv}", f"{_TOP}times: now\n"),
}


def _main(streams: Iterable[Seen]) -> list[Seen]:
    return [stream for stream in streams if "omment" not in stream.title and "C" not in stream.flags]


def broken_rule(operation: str, before: list[Seen], after: list[Seen]) -> str:  # noqa: PLR0911 - one for each
    """What an operation did that it must not do, or left undone; "" if all is well. Files only: no plan is asked."""

    def of(streams: Iterable[Seen], *wanted: str) -> list[Seen]:
        return [stream for stream in streams if stream.kind in wanted]

    def same(*untouched: str) -> str:
        return "" if of(before, *untouched) == of(after, *untouched) else f"{untouched} are not as they were"

    match operation:
        case "keep_audio":
            kept = [stream for stream in of(before, "audio") if stream.language in {"eng", "und"}]
            wanted = kept if _main(kept) else of(before, "audio")
            return same("video", "subtitle", "attachment", "cover") or _unless(of(after, "audio") == wanted, "audio")
        case "keep_subtitles":
            wanted = [s for s in of(before, "subtitle") if s.language == "eng" or "F" in s.flags]
            return same("video", "audio", "attachment", "cover") or _unless(
                of(after, "subtitle") == wanted, "subtitles"
            )
        case "attachments":
            styled = any(stream.codec == "ass" for stream in before)
            wanted = [one for one in of(before, "attachment") if styled and one.title.endswith("ttf")]
            return same("video", "audio", "subtitle", "cover") or _unless(of(after, "attachment") == wanted, "fonts")
        case "order":
            ranks = ["video", "subtitle", "audio", "cover", "attachment"]
            moving = [stream for stream in after if stream.kind in ranks[:3]]
            sorted_ = moving == sorted(moving, key=lambda stream: ranks.index(stream.kind))
            return _unless(sorted_ and Counter(before) == Counter(after), "order")
        case "defaults":
            plain = [stream.without_flags() for stream in after] == [stream.without_flags() for stream in before]
            audio = [stream for stream in of(after, "audio") if "D" in stream.flags]
            subtitle = [stream for stream in of(after, "subtitle") if "D" in stream.flags]
            return _unless(plain and len(audio) <= 1 and not subtitle, "flags") or same("video")
        case "clear":
            left = [s for s in after if s.kind in {"video", "audio"} and s.title and s in _main([s])]
            forced = [stream for stream in of(after, "subtitle") if "F" in stream.flags]
            return _unless(not left and kinds(before) == kinds(after), "titles") or _unless(not forced, "forced flags")
        case _:
            return _rewritten(operation, before, after)


def _rewritten(operation: str, before: list[Seen], after: list[Seen]) -> str:
    """The rules of what changes containers and codecs."""
    lost = kinds(before) - kinds(after)
    codecs = {
        kind: {stream.codec for stream in after if stream.kind == kind} for kind in ("video", "audio", "subtitle")
    }
    names = [(s.kind, s.language, s.title) for s in before], [(s.kind, s.language, s.title) for s in after]
    match operation:
        case "container mp4":
            right = codecs["subtitle"] <= {"mov_text"} and codecs["audio"] <= {
                "aac",
                "ac3",
                "eac3",
                "mp3",
                "flac",
                "opus",
            }
            return _unless(right and not lost - Counter({"attachment": 99}), "MP4's codecs")
        case "video":
            small = all(stream.size[1] <= 80 for stream in after)
            return _unless(small and codecs["video"] <= {"hevc"} and not lost, "pictures")
        case "audio":
            lossy = {"aac", "flac", "ac3", "eac3", "mp3", "mp2", "opus", "vorbis"}
            channels = [[s.channels for s in streams if s.kind == "audio"] for streams in (before, after)]
            return _unless(codecs["audio"] <= lossy and channels[0] == channels[1] and not lost, "sound")
        case "add_audio":
            new = Counter(after) - Counter(before)
            stereo = all((s.kind, s.codec, s.channels) == ("audio", "aac", 2) for s in new)
            return _unless(stereo and sum(new.values()) <= 1 and not Counter(before) - Counter(after), "streams")
        case "rules":
            english = any(s.kind == "audio" and s.language == "eng" for s in before)
            unset = [s for s in after if s.kind == "subtitle" and s.language == "eng" and "F" not in s.flags]
            return _unless((english and before == after) or (not english and not unset and not lost), "flags")
        case _:  # into Matroska
            spoken = [sorted(name[:2] for name in each) for each in names]
            untitled = Counter(name for name in names[0] if name[2]) - Counter(names[1])
            return _unless(spoken[0] == spoken[1] and not untitled and not codecs["subtitle"] & {"mov_text"}, "streams")


def _unless(right: bool, what: str) -> str:
    return "" if right else f"{what} are not as the policy says"
