"""One stream that is encoded anew: ffmpeg's encoder for it, and its options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from raddle.errors import ConfigError
from raddle.workloads.media.tools.programs import HARDWARE
from raddle.workloads.media.values import Hdr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle.workloads.media.plan.values import Encode
    from raddle.workloads.media.tools.programs import Programs
    from raddle.workloads.media.values import Stream

__all__ = ["Phase", "encode_options", "encoder_for", "picture_filter", "two_passes"]

#: 1 or 2 of two passes, and the path that the names of its figures begin with
Phase = tuple[int, str] | None

#: families of the policy, and ffmpeg's encoders for each, best first
_ENCODERS: Final[Mapping[str, tuple[str, ...]]] = {
    "hevc": ("libx265",),
    "h264": ("libx264",),
    "av1": ("libsvtav1", "libaom-av1", "librav1e"),
    "vp9": ("libvpx-vp9",),
    "opus": ("libopus",),
    "mp3": ("libmp3lame",),
    "subrip": ("subrip", "srt"),
}
_SPEEDS: Final = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
#: what each encoder calls the speeds above
_PRESETS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "libx264": ("-preset", _SPEEDS),
    "libx265": ("-preset", _SPEEDS),
    "libsvtav1": ("-preset", ("12", "11", "10", "9", "8", "6", "4", "3", "2")),
    "libaom-av1": ("-cpu-used", ("8", "8", "7", "6", "5", "4", "3", "2", "1")),
    "librav1e": ("-speed", ("10", "10", "9", "8", "7", "6", "4", "3", "2")),
    "libvpx-vp9": ("-cpu-used", ("5", "5", "5", "4", "3", "2", "1", "1", "0")),
    "nvenc": ("-preset", ("p1", "p1", "p2", "p3", "p3", "p4", "p5", "p6", "p7")),
    "qsv": ("-preset", ("veryfast", "veryfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")),
}
#: encoders that take 4:2:0 only; the others take what they are given
_ONLY_420: Final = frozenset({"libsvtav1"})
#: bit/s for each channel, and the most for all; figures that the encoders' guides call transparent or nearly so
_AUDIO_RATES: Final[Mapping[str, tuple[int, int]]] = {
    "aac": (96_000, 512_000),
    "opus": (64_000, 510_000),
    "ac3": (112_000, 640_000),
    "eac3": (96_000, 768_000),
    "mp3": (96_000, 320_000),
}
_MOST_CHANNELS: Final[Mapping[str, int]] = {"ac3": 6, "eac3": 6, "mp3": 2}
#: encoders that are told what the source says of its mastering; hardware is not among them
_SAY_MASTERING: Final = frozenset({"libx265", "libsvtav1"})
#: ffmpeg's release that no longer copies the source's record of Dolby Vision to encoded pictures, and that can be told
#: not to make one anew
_DROPS_DOLBY: Final = (8, 0)
_TWO_PASSES: Final = frozenset({"libx264", "libx265", "libvpx-vp9", "libaom-av1"})
#: ffmpeg's release that has -fps_mode; -vsync went later
_FPS_MODE: Final = (5, 1)
#: that is sure to know -enc_time_base by names; -1 went later
_TIME_BASE_BY_NAME: Final = (7, 0)
_OPUS_LAYOUTS: Final = "mono|stereo|3.0|quad|5.0|5.1|6.1|7.1"
_COLOUR: Final[Mapping[str, str]] = {
    "color_primaries": "-color_primaries",
    "color_transfer": "-color_trc",
    "color_space": "-colorspace",
    "color_range": "-color_range",
}


def encoder_for(encode: Encode, programs: Programs) -> str:
    """Return ffmpeg's name of the encoder to use.

    Raises:
        ConfigError: this ffmpeg has none for it, or the hardware that was asked for is not there
    """
    hardware = encode.option("hardware") or "none"
    if encode.option("hdr") == "keep":
        return _that_says_mastering(encode, hardware, programs)
    kinds = () if hardware == "none" else HARDWARE if hardware == "auto" else (hardware,)
    for name in (f"{encode.to}_{kind}" for kind in kinds):
        if name in programs.encoders:
            return name
    if kinds and encode.option("hardware_fallback") == "false":
        raise ConfigError(
            f"hardware={hardware!r}: no hardware encoder of {encode.to!r} works here: allow hardware_fallback"
        )
    names = _ENCODERS.get(encode.to, (encode.to,))
    for name in names:
        if name in programs.encoders:
            return name
    raise ConfigError(
        f"codec={encode.to!r}: {programs.ffmpeg} ({programs.ffmpeg_version}) has no encoder {' or '.join(names)}: "
        "install another ffmpeg, or choose another codec"
    )


def _that_says_mastering(encode: Encode, hardware: str, programs: Programs) -> str:
    if hardware != "none" and encode.option("hardware_fallback") == "false":
        raise ConfigError(
            f"hardware={hardware!r} cannot keep what the source says of its mastering (HDR10): allow hardware_fallback,"
            " or say hdr: lose or hdr: leave"
        )
    for name in _ENCODERS.get(encode.to, ()):
        if name in programs.encoders & _SAY_MASTERING:
            return name
    raise ConfigError(
        f"codec={encode.to!r}: {programs.ffmpeg} ({programs.ffmpeg_version}) has no encoder that keeps what the source"
        f" says of its mastering (HDR10): install one with {' or '.join(sorted(_SAY_MASTERING))}, or say hdr: lose"
    )


def two_passes(encode: Encode, programs: Programs) -> bool:
    """Say whether the stream is encoded in two passes: asked for, and the encoder knows how."""
    return encode.option("two_pass") == "true" and encoder_for(encode, programs) in _TWO_PASSES


def encode_options(
    stream: Stream, encode: Encode, place: int, programs: Programs, *, threads: int | None = None, phase: Phase = None
) -> list[str]:
    """Return ffmpeg's options that encode `stream` to the output's stream number `place`.

    Args:
        stream: the source
        encode: what it becomes
        place: of the stream among the output's
        programs: what is there
        threads: of a video encoder, unless the policy names a number; None: the encoder decides
        phase: which pass of two this is, and where the first leaves its figures
    """
    encoder = encoder_for(encode, programs)
    options = dict(encode.options)
    argv = [f"-c:{place}", encoder]
    if stream.kind == "video":
        argv += _without_dolby(stream, encoder, place, programs)
        argv += _video(stream, encoder, options, place=place, threads=threads, phase=phase)
        return [*argv, *_every_frame(place, programs.ffmpeg_release)]
    return [*argv, *_audio(stream, encode.to, options, place)] if stream.kind == "audio" else argv


def _without_dolby(stream: Stream, encoder: str, place: int, programs: Programs) -> list[str]:
    """Return what makes no Dolby Vision of pictures that lose theirs.

    Raises:
        ConfigError: this ffmpeg would leave the record of it in a result that holds none
    """
    if not stream.dolby_vision and "Dolby Vision" not in (stream.hdr or Hdr()).dynamic:
        return []
    if programs.ffmpeg_release < _DROPS_DOLBY:
        raise ConfigError(
            f"ffmpeg={programs.ffmpeg!r} ({programs.ffmpeg_version}) would go on calling the picture Dolby Vision,"
            " which is lost: name ffmpeg 8 or newer in [media] ffmpeg (imageio-ffmpeg brings one), or say hdr: leave"
        )
    return [f"-dolbyvision:{place}", "0"] if encoder in _SAY_MASTERING else []


def _every_frame(place: int, release: tuple[int, int]) -> list[str]:
    """Return what hands on every frame once, at its own time: also where the rate varies, or is not the one told.

    Without the second part an encoder counts time in frames, and two that come a bit off the beat get the same one.
    """
    mode = [f"-fps_mode:{place}", "passthrough"] if release >= _FPS_MODE else ["-vsync", "0"]
    return [*mode, f"-enc_time_base:{place}", "demux" if release >= _TIME_BASE_BY_NAME else "-1"]


def picture_filter(stream: Stream, options: Mapping[str, str]) -> str:
    """Return what is done to the picture itself, "" for nothing: deinterlaced, made smaller; never enlarged."""
    old_width, old_height = stream.width or 0, stream.height or 0
    width, height = int(options.get("width") or old_width), int(options.get("height") or old_height)
    filters = ["bwdif=mode=send_frame:deint=interlaced"] if "deinterlace" in options else []
    # else a change of the pixel format would make "tv" of it, whatever the result says
    ranges = ["out_range=pc"] if dict(stream.colour).get("color_range") == "pc" else []
    if 0 < width <= old_width and 0 < height <= old_height and (width, height) != (old_width, old_height):
        fields = ["interl=-1"] if stream.interlaced and not filters else []  # lines of two times are not mixed
        filters.append("scale=" + ":".join([f"w={width}:h={height}", *fields, *ranges]))  # turned upright before
    else:
        filters += ["crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0"] if old_width % 2 or old_height % 2 else []
        filters += ["scale=out_range=pc"] if ranges else []
    return ",".join(filters)


def _video(
    stream: Stream, encoder: str, options: Mapping[str, str], *, place: int, threads: int | None, phase: Phase
) -> list[str]:
    kind = encoder.rsplit("_", 1)[-1]
    argv = _quality(encoder, kind, options, place) + _preset(encoder, kind, options, place)
    if options.get("tune"):
        argv += [f"-tune:{place}", options["tune"]]
    argv += _private(encoder, int(options.get("threads") or threads or 0), stream, place, phase)
    if stream.interlaced and "deinterlace" not in options and encoder == "libx264":
        argv += [f"-flags:{place}", "+ilme+ildct"]  # else players would not know that there are fields
    pixels = _pixel_format(stream, encoder)
    filters = picture_filter(stream, options)
    if kind == "vaapi":
        argv += [f"-filter:{place}", ",".join([*filter(None, [filters]), f"format={pixels}", "hwupload"])]
    else:
        argv += [f"-filter:{place}", filters] if filters else []
        argv += [f"-pix_fmt:{place}", pixels]
    for name, value in stream.colour:
        if name in _COLOUR:
            argv += [f"{_COLOUR[name]}:{place}", value]
    return argv


def _quality(encoder: str, kind: str, options: Mapping[str, str], place: int) -> list[str]:
    crf, rate, most = (options.get(name, "") for name in ("crf", "bitrate", "max_bitrate"))
    argv: list[str] = []
    if crf and kind == "nvenc":
        argv = [f"-rc:{place}", "vbr", f"-cq:{place}", crf, f"-b:{place}", "0"]
    elif crf and kind == "qsv":
        argv = [f"-global_quality:{place}", crf]
    elif crf and kind == "vaapi":
        argv = [f"-rc_mode:{place}", "CQP", f"-qp:{place}", crf]
    elif crf and encoder == "librav1e":
        argv = [f"-qp:{place}", str(round(float(crf) * 255 / 63))]
    elif crf:
        argv = [f"-crf:{place}", crf]
        argv += [f"-b:{place}", "0"] if encoder in {"libvpx-vp9", "libaom-av1"} and not most else []
    if rate:
        argv += [f"-b:{place}", rate]
    if most:
        argv += [f"-maxrate:{place}", most, f"-bufsize:{place}", most]
    return argv


def _preset(encoder: str, kind: str, options: Mapping[str, str], place: int) -> list[str]:
    preset = options.get("preset", "")
    option, names = _PRESETS.get(encoder, _PRESETS.get(kind, ("", ())))
    argv = [f"-deadline:{place}", "good", f"-row-mt:{place}", "1"] if encoder == "libvpx-vp9" else []
    if preset and option:
        argv += [f"{option}:{place}", names[_SPEEDS.index(preset)] if preset in _SPEEDS else preset]
    return argv


def _private(encoder: str, threads: int, stream: Stream, place: int, phase: Phase) -> list[str]:
    """Return threads and passes, which encoders do not take in the same words."""
    if encoder == "libx265":
        # x265 writes its greetings to stderr by itself, past ffmpeg's -v
        params = ["log-level=error", *([f"pools={threads}"] if threads else [])]
        if dict(stream.colour).get("color_transfer") == "smpte2084" and stream.pixel_format.startswith("yuv420p1"):
            params += ["hdr-opt=1", "repeat-headers=1"]
        params += _mastering(stream.hdr or Hdr(), ("master-display", "max-cll"), colour=1, light=1)
        if phase is not None:
            stats = re.sub(r"([\\':=])", r"\\\1", phase[1])
            params += [f"pass={phase[0]}", f"stats={stats}"]
        return [f"-x265-params:{place}", ":".join(params)]
    passes = [f"-pass:{place}", str(phase[0]), f"-passlogfile:{place}", phase[1]] if phase else []
    if encoder == "libsvtav1":
        params = [f"lp={threads}"] if threads else []
        params += _mastering(stream.hdr or Hdr(), ("mastering-display", "content-light"), colour=50_000, light=10_000)
        return [f"-svtav1-params:{place}", ":".join(params)] if params else []
    return [*passes, *([f"-threads:{place}", str(threads)] if threads else [])]


def _mastering(hdr: Hdr, names: tuple[str, str], *, colour: int, light: int) -> list[str]:
    """Return what the source says of its mastering; encoders want it in these parts of the units of `Hdr`."""
    said: list[str] = []
    if hdr.mastering:
        *xy, brightest, darkest = hdr.mastering
        red, green, blue, white = (
            f"({x / colour:.10g},{y / colour:.10g})" for x, y in zip(xy[::2], xy[1::2], strict=True)
        )
        said.append(f"{names[0]}=G{green}B{blue}R{red}WP{white}L({brightest / light:.10g},{darkest / light:.10g})")
    return [*said, f"{names[1]}={hdr.light[0]},{hdr.light[1]}"] if hdr.light else said


def _pixel_format(stream: Stream, encoder: str) -> str:
    if encoder.endswith(tuple(f"_{kind}" for kind in HARDWARE)):
        return "p010le" if stream.deep and not encoder.startswith("h264") else "nv12"
    if encoder in _ONLY_420 or not stream.pixel_format.startswith("yuv"):
        return "yuv420p10le" if stream.deep else "yuv420p"
    return stream.pixel_format


def _audio(stream: Stream, family: str, options: Mapping[str, str], place: int) -> list[str]:
    has = stream.channels or 2
    # never more than there are
    channels = min(int(options.get("channels") or has), has, _MOST_CHANNELS.get(family, 8))
    argv = [f"-ac:{place}", str(channels)] if channels != has else []
    if family == "opus":  # it takes no side channels: 5.1(side) has to become 5.1
        argv += [f"-filter:{place}", f"aformat=channel_layouts={_OPUS_LAYOUTS}"]
    each, most = _AUDIO_RATES.get(family, (0, 0))
    rate = options.get("bitrate") or (str(min(each * channels, most)) if each else "")
    return [*argv, f"-b:{place}", rate] if rate else argv
