"""One generated file: what it holds as a value, the ffmpeg command that makes it, and the making.

Picture and sound are drawn by ffmpeg itself (lavfi), subtitles, chapters and attachments are written beside it first.
The same clip by the same ffmpeg gives the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raddle import errors, run_process
from raddle.workloads.media.tools.programs import find_programs

__all__ = ["FONT", "Attached", "Clip", "Sound", "Text", "find_ffmpeg", "font_bytes", "write_clip"]

_SECONDS_FOR_ONE: Final = 60.0
#: ffmpeg's encoder for a codec where the names differ
_ENCODERS: Final = {
    "h264": ("libx264", "-preset", "ultrafast", "-x264-params", "threads=1"),
    "hevc": ("libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=none:frame-threads=1"),
    "vp9": ("libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "av1": ("libaom-av1", "-cpu-used", "8", "-usage", "realtime"),
    "mpeg4": ("mpeg4", "-q", "5"),
    "opus": ("libopus", "-b", "48k"),
    "vorbis": ("libvorbis",),
    "mp3": ("libmp3lame",),
    "pcm": ("pcm_s16le",),
    "subrip": ("srt",),
}
_LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1"}
_MUXERS: Final = {"mkv": "matroska", "m4v": "mp4", "ts": "mpegts", "mpg": "mpeg"}
FONT: Final = "application/x-truetype-font"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """An audio track."""

    codec: str = "aac"
    language: str = ""
    title: str = ""
    channels: int = 2
    default: bool = False
    #: further dispositions, by ffmpeg's names
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A subtitle track: one line per second."""

    codec: str = "subrip"
    language: str = ""
    title: str = ""
    default: bool = False
    forced: bool = False
    dispositions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attached:
    """An attached file; its bytes follow from its name."""

    name: str
    mimetype: str = FONT


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """What a generated file holds."""

    #: path below the folder, with suffix
    name: str
    #: mkv, mp4, m4v, mov, avi, webm, ts, mpg
    container: str = "mkv"
    video: str = "h264"
    width: int = 128
    height: int = 96
    rate: str = "25"
    #: seconds
    length: float = 1.2
    audio: tuple[Sound, ...] = (Sound(),)
    subtitles: tuple[Text, ...] = ()
    #: titles; they share the length equally
    chapters: tuple[str, ...] = ()
    attachments: tuple[Attached, ...] = ()
    title: str = ""
    video_title: str = ""
    #: mp4 and m4v only
    cover: bool = False
    #: further arguments for ffmpeg, before the result
    extra: tuple[str, ...] = ()


def find_ffmpeg() -> str:
    """Return the ffmpeg of the system, else the one that the package imageio-ffmpeg brings.

    Raises:
        MissingExtra: there is neither
    """
    return find_programs(mkvtoolnix=False).ffmpeg


def font_bytes(name: str, size: int = 4096) -> bytes:
    """Return what an attachment of that name holds: the first bytes of a TrueType font, then noise."""
    out = bytearray(b"\x00\x01\x00\x00\x00\x04\x00\x40\x00\x02\x00\x00")
    block = name.encode()
    while len(out) < size:
        block = hashlib.sha256(block).digest()
        out += block
    return bytes(out[:size])


def write_clip(clip: Clip, folder: str | os.PathLike[str], *, ffmpeg: str | None = None) -> Path:
    """Make the file below `folder` and return its path. What is there already under its name is never replaced.

    Raises:
        ConfigError: the name is taken
        MissingExtra: there is no ffmpeg
        CalledProcessError: ffmpeg could not; with what it said
    """
    target = Path(folder, clip.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".raddle-sample-", dir=folder) as scratch:
        _write_parts(clip, Path(scratch))
        made = Path(scratch, "result")
        argv = _argv(clip, ffmpeg or find_ffmpeg(), Path(scratch), made)
        run_process(argv, timeout=_SECONDS_FOR_ONE, check=True, text=True, errors="replace")
        _publish(made, target)
    return target


def _publish(made: Path, target: Path) -> None:
    taken = f"target={target} is there already: give an empty folder"
    try:
        os.link(made, target)  # unlike a rename it never replaces
    except FileExistsError as error:
        raise errors.ConfigError(taken) from error
    except OSError as error:  # a file system without hard links
        if target.exists():
            raise errors.ConfigError(taken) from error
        made.rename(target)


def _write_parts(clip: Clip, scratch: Path) -> None:
    for number, track in enumerate(clip.subtitles):
        lines = [
            f"{at + 1}\n00:00:0{at},100 --> 00:00:0{at},900\n{track.language or 'some'} line {at + 1} of {number}\n"
            for at in range(max(1, int(clip.length)))
        ]
        Path(scratch, f"{number}.srt").write_text("\n".join(lines), encoding="utf-8")
    for number, attached in enumerate(clip.attachments):
        Path(scratch, f"{number}.attached").write_bytes(font_bytes(attached.name))
    Path(scratch, "meta").write_text(_meta(clip), encoding="utf-8")


def _meta(clip: Clip) -> str:
    lines = [";FFMETADATA1"]
    if clip.title:
        lines.append(f"title={clip.title}")
    step = int(clip.length * 1000 / max(1, len(clip.chapters)))
    for number, title in enumerate(clip.chapters):
        start = number * step
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={start}", f"END={start + step}", f"title={title}"]
    return "\n".join(lines) + "\n"


def _argv(clip: Clip, ffmpeg: str, scratch: Path, made: Path) -> list[str]:
    source, length = f"testsrc2=size={clip.width}x{clip.height}:rate={clip.rate}", str(clip.length)
    argv = [ffmpeg, "-nostdin", "-v", "error", "-f", "lavfi", "-t", length, "-i", source]
    for number, sound in enumerate(clip.audio):
        tone = f"sine=frequency={220 * (number + 2)}:sample_rate=48000"
        layout = f"aformat=channel_layouts={_LAYOUTS[sound.channels]}"
        argv += ["-f", "lavfi", "-t", length, "-i", f"{tone},{layout}"]
    for number in range(len(clip.subtitles)):
        argv += ["-i", str(scratch / f"{number}.srt")]
    inputs = 1 + len(clip.audio) + len(clip.subtitles)
    argv += ["-f", "ffmetadata", "-i", str(scratch / "meta")]
    if clip.cover:
        argv += ["-f", "lavfi", "-i", "color=red:size=32x32:duration=0.04:rate=25"]
    for number in range(inputs):
        argv += ["-map", f"{number}:0"]
    argv += ["-map_metadata", str(inputs), "-map_chapters", str(inputs), *_tracks(clip)]
    if clip.cover:
        argv += ["-map", f"{inputs + 1}:0", "-c:v:1", "mjpeg", "-pix_fmt:v:1", "yuvj420p"]
        argv += ["-disposition:v:1", "attached_pic"]
    for number, attached in enumerate(clip.attachments):
        argv += ["-attach", str(scratch / f"{number}.attached")]
        argv += [f"-metadata:s:t:{number}", f"mimetype={attached.mimetype}"]
        argv += [f"-metadata:s:t:{number}", f"filename={attached.name}"]
    muxer = _MUXERS.get(clip.container, clip.container)
    return [*argv, "-fflags", "+bitexact", "-flags", "+bitexact", *clip.extra, "-f", muxer, "-y", str(made)]


def _tracks(clip: Clip) -> list[str]:
    argv = [*_encoder("v:0", clip.video), "-pix_fmt:v:0", "yuv420p", "-g:v:0", "12"]
    if clip.video_title:
        argv += ["-metadata:s:v:0", f"title={clip.video_title}"]
    tracks: list[tuple[str, str, Sound | Text]] = [(f"a:{n}", t.codec, t) for n, t in enumerate(clip.audio)]
    mp4 = clip.container in {"mp4", "m4v"}
    tracks += [(f"s:{n}", "mov_text" if mp4 else t.codec, t) for n, t in enumerate(clip.subtitles)]
    for place, codec, track in tracks:
        argv += _encoder(place, codec)
        argv += [f"-metadata:s:{place}", f"language={track.language}", f"-metadata:s:{place}", f"title={track.title}"]
        argv += [f"-disposition:{place}", _dispositions(track)]
    return argv


def _dispositions(track: Sound | Text) -> str:
    words = [*track.dispositions]
    if track.default:
        words.append("default")
    if isinstance(track, Text) and track.forced:
        words.append("forced")
    return "+".join(words) or "0"


def _encoder(place: str, codec: str) -> list[str]:
    name, *options = _ENCODERS.get(codec, (codec,))
    argv = [f"-c:{place}", name]
    for option, value in zip(options[::2], options[1::2], strict=True):
        argv += [f"{option}:{place}", value]
    return argv
