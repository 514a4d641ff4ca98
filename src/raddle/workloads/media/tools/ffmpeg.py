"""A plan in ffmpeg's words. Nothing is left to its defaults: it would pick one stream of each kind, and old tags."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from raddle.errors import ConfigError
from raddle.workloads.media.tools.encoding import encode_options, encoder_for
from raddle.workloads.media.tools.programs import RENDER_NODE

if TYPE_CHECKING:
    from raddle.workloads.media.plan.values import Output, Plan
    from raddle.workloads.media.tools.programs import Programs
    from raddle.workloads.media.values import Stream

__all__ = ["extract_picture", "ffmpeg_arguments", "first_pass", "loose_pictures"]

_QUIET: Final = ("-nostdin", "-hide_banner", "-v", "error", "-y")
_MUXERS: Final = {"mkv": "matroska", "webm": "webm", "mp4": "mp4", "mov": "mov"}
#: figures of the source's bytes, and names of its writer: wrong or pointless in the result
_STALE: Final = re.compile(
    r"(bps|duration|number_of_(frames|bytes)|_statistics_\w+)(-\w+)?|encoder|vendor_id", re.IGNORECASE
)
_DISPOSITIONS: Final = frozenset(
    {
        "attached_pic",
        "captions",
        "clean_effects",
        "comment",
        "dependent",
        "descriptions",
        "dub",
        "hearing_impaired",
        "karaoke",
        "lyrics",
        "metadata",
        "original",
        "still_image",
        "timed_thumbnails",
        "visual_impaired",
    }
)
#: some releases take the delay off what they read, and do not put it on again where they write. It shows where a stream
#: begins before zero; elsewhere it is that of the reference encoder, 312 samples
_OPUS_DELAY: Final = r"if(lt(STARTPTS\,0)\,-STARTPTS\,0.007/TB)"
#: suffix and type of covers by codec
_PICTURES: Final = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "gif": ("gif", "image/gif"),
    "webp": ("webp", "image/webp"),
    "bmp": ("bmp", "image/bmp"),
    "tiff": ("tiff", "image/tiff"),
}


def loose_pictures(plan: Plan) -> list[Output]:
    """Return the outputs that are cover pictures going into a Matroska file.

    ffmpeg would make a video track of each; they have to be taken out first, and attached.
    """
    sources = {stream.index: stream for stream in plan.source.streams}
    return [output for output in plan.outputs if _is_matroska(plan) and sources[output.source].picture]


def extract_picture(plan: Plan, programs: Programs, index: int, path: str) -> list[str]:
    """Return what writes a cover picture to a file of its own."""
    argv = [programs.ffmpeg, *_QUIET, "-i", f"file:{plan.source.path}", "-map", f"0:{index}", "-map_metadata", "-1"]
    return [*argv, "-c", "copy", "-frames:v", "1", "-update", "1", "-f", "image2", f"file:{path}"]


def first_pass(plan: Plan, programs: Programs, output: Output, figures: str, threads: int | None) -> list[str]:
    """Return the first of two passes over one picture stream: it writes figures, and no picture."""
    source = next(stream for stream in plan.source.streams if stream.index == output.source)
    encode = output.codec
    if encode is None:
        raise ConfigError(f"source={output.source} is copied: it needs no passes")
    argv = [programs.ffmpeg, *_QUIET, "-progress", "pipe:1", "-nostats", *_input(plan, programs)]
    argv += ["-map", f"0:{output.source}"]
    argv += encode_options(source, encode, 0, programs, threads=threads, phase=(1, figures))
    return [*argv, "-f", "null", "-y", os.devnull]


def ffmpeg_arguments(
    plan: Plan,
    programs: Programs,
    staged: str,
    *,
    pictures: dict[int, str],
    figures: dict[int, str],
    threads: int | None,
) -> list[str]:
    """Return the call that writes the result.

    Args:
        plan: what to write
        programs: what is there
        staged: path of the result
        pictures: files with those that `loose_pictures` names, by the source's index
        figures: what `first_pass` left, by the source's index
        threads: of each video encoder
    """
    sources = {stream.index: stream for stream in plan.source.streams}
    places = [output for output in plan.outputs if output.source not in pictures]
    attached = [output for output in plan.outputs if output.source in pictures]
    argv = [programs.ffmpeg, *_QUIET, "-progress", "pipe:1", "-nostats", *_input(plan, programs)]
    for output in places:
        argv += ["-map", f"0:{output.source}"]
    for output in attached:
        argv += ["-attach", pictures[output.source]]
    argv += ["-map_metadata", "-1", "-map_chapters", "0" if plan.chapters else "-1", "-copy_unknown"]
    for place, output in enumerate([*places, *attached]):
        source = sources[output.source]
        if output.codec is not None:
            phase = (2, figures[output.source]) if output.source in figures else None
            argv += encode_options(source, output.codec, place, programs, threads=threads, phase=phase)
        elif output.source not in pictures:
            argv += _copied(source, plan, place, programs)
        argv += _named(source, output, place, plan)
    if plan.chapters:
        for number, chapter in enumerate(plan.source.chapters):
            # MP4 has no chapter without a title: it would go, and the one before would take its time
            title = chapter.title or ("" if _is_matroska(plan) else f"Chapter {number + 1}")
            argv += [f"-metadata:c:{number}", f"title={title}"] if title else []
    for name, value in plan.tags:
        argv += ["-metadata", f"{name}={value}"]
    return [*argv, *_muxer(plan), f"file:{staged}"]


def _input(plan: Plan, programs: Programs) -> list[str]:
    argv: list[str] = []
    encodes = [output.codec for output in plan.outputs if output.codec is not None and output.kind == "video"]
    if any(encoder_for(encode, programs).endswith("_vaapi") for encode in encodes):
        argv += ["-vaapi_device", RENDER_NODE]
    if _within_matroska(plan):  # else what begins before zero moves all the rest
        argv += ["-copyts"]
    if plan.source.container == "avi":  # it stores no presentation times
        argv += ["-fflags", "+genpts"]
    if any(stream.codec in {"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"} for stream in plan.source.streams):
        # pictures' sizes are in the first packet, which may be minutes away
        argv += ["-probesize", "100M", "-analyzeduration", "300M"]
    return [*argv, "-i", f"file:{plan.source.path}"]


def _is_matroska(plan: Plan) -> bool:
    return plan.container in {"mkv", "webm"}


def _within_matroska(plan: Plan) -> bool:
    return {plan.source.container, plan.container} <= {"mkv", "webm"}


def _copied(source: Stream, plan: Plan, place: int, programs: Programs) -> list[str]:
    argv = [f"-c:{place}", "copy"]
    if source.codec == "opus" and _within_matroska(plan) and programs.moves_opus:
        argv += [f"-bsf:{place}", f"setts=pts=PTS+{_OPUS_DELAY}:dts=DTS+{_OPUS_DELAY}"]
    if source.codec == "mpeg4" and plan.source.container == "avi":
        argv += [f"-bsf:{place}", "mpeg4_unpack_bframes"]
    if source.codec == "hevc" and plan.container in {"mp4", "mov"}:
        argv += [f"-tag:{place}", "hvc1"]  # what players of Apple ask for
    return argv


def _named(source: Stream, output: Output, place: int, plan: Plan) -> list[str]:
    flags = [name for name, on in (("default", output.default), ("forced", output.forced)) if on]
    others = output.dispositions | ({"attached_pic"} if source.picture and plan.container in {"mp4", "mov"} else set())
    flags += sorted(others & _DISPOSITIONS - ({"attached_pic"} if _is_matroska(plan) else set()))
    argv: list[str] = []
    if output.kind == "attachment" or (source.picture and _is_matroska(plan)):
        suffix, mimetype = _PICTURES.get(source.codec, ("bin", "application/octet-stream"))
        named = {"filename": source.filename or f"cover.{suffix}", "mimetype": source.mimetype or mimetype}
        named |= {"title": output.title} if output.title else {}
    else:
        argv = [f"-disposition:{place}", "+".join(flags) or "0"]
        named = {name: value for name, value in source.tags if not _STALE.fullmatch(name)}
        named |= {"language": output.language or "und", "title": output.title}
        named = {name: value for name, value in named.items() if value}
    for name, value in named.items():
        argv += [f"-metadata:s:{place}", f"{name}={value}"]
    return argv


def _muxer(plan: Plan) -> list[str]:
    argv = ["-max_muxing_queue_size", "9999", "-f", _MUXERS.get(plan.container, plan.container)]
    if _is_matroska(plan):
        return [*argv, "-default_mode", "passthrough"]
    # flac and others in MP4 were called experimental for long
    return [*argv, "-movflags", "+faststart", "-strict", "experimental"]
