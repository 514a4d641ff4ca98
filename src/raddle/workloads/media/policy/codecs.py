"""Names of codecs: ffmpeg's, the ones that people write, and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raddle.workloads.media.values import Stream

__all__ = ["ALIASES", "CODECS", "GROUPS", "MOST_CHANNELS", "STYLED", "is_codec", "matches"]

_VIDEO = """
av1 hevc h264 h263 h263p h266 vvc vp8 vp9 vp6 vp6f mpeg1video mpeg2video mpeg4 msmpeg4v1 msmpeg4v2 msmpeg4v3 wmv1 wmv2
wmv3 vc1 theora mjpeg mjpegb prores dnxhd ffv1 huffyuv ffvhuff utvideo cinepak dvvideo flv1 rawvideo svq1 svq3 indeo3
indeo5 rv30 rv40 qtrle png gif bmp webp jpeg2000 cavs snow dirac cfhd magicyuv
"""
_AUDIO = """
aac aac_latm ac3 eac3 ac4 mp1 mp2 mp3 opus vorbis flac alac truehd mlp dts wavpack ape tta tak speex amr_nb amr_wb
wmav1 wmav2 wmapro wmalossless cook atrac3 atrac3p qdm2 qdmc gsm gsm_ms nellymoser sipr ra_144 ra_288 adpcm_ima_wav
adpcm_ima_qt adpcm_ms adpcm_swf pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be
pcm_f64le pcm_u8 pcm_s8 pcm_alaw pcm_mulaw pcm_bluray pcm_dvd mp4als musepack7 musepack8
"""
_SUBTITLE = """
subrip ass ssa mov_text webvtt text hdmv_pgs_subtitle dvd_subtitle dvb_subtitle dvb_teletext hdmv_text_subtitle
eia_608 microdvd sami subviewer ttml xsub realtext mpl2 arib_caption
"""
#: of the codecs that sound is encoded to
MOST_CHANNELS: Final = {"aac": 8, "opus": 8, "flac": 8, "ac3": 6, "eac3": 6}
#: what files can hold, by ffmpeg's names
CODECS: Final = {
    "video": frozenset(_VIDEO.split()),
    "audio": frozenset(_AUDIO.split()),
    "subtitle": frozenset(_SUBTITLE.split()),
}
#: other names for one codec
ALIASES: Final = {
    "h265": "hevc",
    "x265": "hevc",
    "avc": "h264",
    "x264": "h264",
    "xvid": "mpeg4",
    "divx": "mpeg4",
    "mpeg2": "mpeg2video",
    "mpeg1": "mpeg1video",
    "srt": "subrip",
    "ssa": "ass",
    "vtt": "webvtt",
    "tx3g": "mov_text",
    "pgs": "hdmv_pgs_subtitle",
    "vobsub": "dvd_subtitle",
    "e-ac-3": "eac3",
    "ac-3": "ac3",
    "dd": "ac3",
    "ddp": "eac3",
    "dts-hd": "dts_hd",
}
_LOSSLESS = frozenset(
    {"flac", "alac", "truehd", "mlp", "wavpack", "ape", "tta", "tak", "wmalossless", "mp4als", "ffv1"}
)
#: names for several codecs; `dts_hd` goes by the profile
GROUPS: Final = ("lossless", "lossy", "pcm", "dts_hd")
#: text that loses its looks in a plainer format, and that needs fonts
STYLED: Final = frozenset({"ass", "ssa"})


def is_codec(name: str) -> bool:
    """Whether a name, alias or group is known."""
    return name in ALIASES or name in GROUPS or any(name in known for known in CODECS.values())


def matches(stream: Stream, names: Iterable[str]) -> bool:
    """Whether a stream has one of these codecs; names as a policy holds them, without aliases."""
    codec = ALIASES.get(stream.codec, stream.codec)
    return any(name == codec or _in_group(stream, name) for name in names)


def _in_group(stream: Stream, group: str) -> bool:
    high = stream.codec == "dts" and "HD" in stream.profile.upper()
    pcm = stream.codec.startswith("pcm_")
    lossless = pcm or stream.codec in _LOSSLESS or (high and "MA" in stream.profile.upper())
    match group:
        case "dts_hd":
            return high
        case "pcm":
            return pcm
        case "lossless":
            return lossless
        case "lossy":
            return not lossless
        case _:
            return False
