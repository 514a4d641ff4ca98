"""What containers can hold, and what a stream becomes that the new one cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.workloads.media.plan.drafts import Draft, Refused, encoded
from raddle.workloads.media.plan.encoding import audio_encode
from raddle.workloads.media.plan.values import Encode
from raddle.workloads.media.plan.words import stream_name
from raddle.workloads.media.policy.codecs import STYLED, matches
from raddle.workloads.media.policy.values import Conversion

if TYPE_CHECKING:
    from raddle.workloads.media.plan.drafts import State
    from raddle.workloads.media.policy.values import Container
    from raddle.workloads.media.values import Stream

__all__ = ["MP4_TEXTS", "SUFFIXES", "contained", "tags_of_mp4"]

#: suffixes, small letters, that name the content rightly; the first is given to new names
SUFFIXES: Final = {"mkv": (".mkv", ".mk3d", ".mka", ".mks"), "mp4": (".mp4", ".m4v", ".m4a")}

#: tags of the whole file that come back from an MP4 as they were
MP4_TEXTS: Final = frozenset(
    (
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright"),
        *("grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords"),
    )
)
#: that ffmpeg writes too, as numbers, times or places
_MP4_FIGURES: Final = frozenset(
    (
        *("creation_time", "track", "disc", "compilation", "hd_video", "media_type", "season_number", "episode_sort"),
        *("gapless_playback", "location"),
    )
)
_MP4_VIDEO: Final = frozenset({"h264", "hevc", "av1", "mpeg4", "vp9"})
_MP4_AUDIO: Final = frozenset({"aac", "ac3", "eac3", "mp3", "flac", "opus", "alac"})
_MP4_PICTURES: Final = frozenset({"mjpeg", "png", "bmp"})
_PLAIN_TEXT: Final = frozenset({"subrip", "mov_text", "webvtt", "text", "microdvd", "subviewer", "sami", "mpl2"})
_BITMAPS: Final = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})
_MKV_NO_AUDIO: Final = frozenset({"aac_latm", "ac4", "pcm_bluray", "pcm_dvd", "nellymoser"})
_MKV_SUBTITLES: Final = frozenset(
    {"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "hdmv_text_subtitle"}
)
#: what sound becomes where the policy does not say, by how much they carry
_CONVERSIONS: Final = (
    ("dts_hd", Conversion(to="aac", bitrate=320_000)),
    ("dts", Conversion(to="aac", bitrate=256_000)),
    ("truehd", Conversion(to="aac", bitrate=256_000)),
)
_OTHERS: Final = Conversion(to="aac", bitrate=192_000)
#: dispositions that come back from a file of the kind
_DISPOSITIONS: Final = {
    "mkv": frozenset({"comment", "hearing_impaired", "visual_impaired", "descriptions", "captions", "original", "dub"}),
    "mp4": frozenset({"comment", "hearing_impaired", "visual_impaired", "captions", "dub"}),
}


def contained(state: State, wish: Container) -> State:
    """Fit the streams into the container the policy names.

    Raises:
        Refused: something would be lost, or sound encoded, without the policy's word; all such streams are named.
    """
    if wish.to == state.file.container:
        return state
    drafts: list[Draft] = []
    refused: list[str] = []
    for draft in state.drafts:
        loss = _loss(wish, draft.now)
        if loss in wish.losses and loss != "styling":
            continue
        if loss is not None and loss not in wish.losses:
            refused.append(_refusal(wish, state, draft, loss))
            continue
        drafts.append(_fitted(wish, draft))
    if refused:
        raise Refused("; ".join(refused))
    return _plain(replace(state, drafts=tuple(drafts)), wish.to)


def _plain(state: State, to: str) -> State:
    """Take away the dispositions that the container cannot say."""
    lost = frozenset().union(*(one.now.dispositions for one in state.drafts)) - _DISPOSITIONS[to] - {"attached_pic"}
    if not lost:
        return state
    state = state.each(
        {place: one.but(dispositions=one.now.dispositions - lost) for place, one in enumerate(state.drafts)}
    )
    return state.warned(f"container.to={to} cannot say: {', '.join(sorted(lost))}")


def tags_of_mp4(tags: dict[str, str], was: dict[str, str], *, written: bool) -> dict[str, str]:
    """Return the tags that an MP4 has in the end.

    Args:
        tags: as the policy wants them
        was: as they are
        written: the file is written anew, and loses those for which MP4 has no place; else they stay as they are
    """
    held = {name: text for name, text in tags.items() if _mp4_holds(name)}
    if written:
        return held
    return {name: held.get(name) or was[name] for name in tags if name in held or name in was}


def _mp4_holds(name: str) -> bool:
    return name.lower().partition("-")[0] in MP4_TEXTS | _MP4_FIGURES  # location-eng


def _loss(wish: Container, now: Stream) -> str | None:
    """Return the name of what would be lost: a word of container.losses, or "video", "audio" (to be encoded)."""
    to = wish.to
    match now.kind:
        case "video" if now.picture:
            return None if to == "mkv" or now.codec in _MP4_PICTURES else "pictures"
        case "video":
            return None if to == "mkv" or now.codec in _MP4_VIDEO else "video"
        case "audio":
            return None if wish.audio == "convert" or _holds_audio(to, now.codec) else "audio"
        case "subtitle":
            return _subtitle_loss(to, now)
        case "attachment":
            return None if to == "mkv" else "attachments"
        case _:
            return "data"


def _subtitle_loss(to: str, now: Stream) -> str | None:
    if now.codec in _PLAIN_TEXT or (to == "mkv" and now.codec in _MKV_SUBTITLES):
        return None
    if now.codec in STYLED:
        return "styling"
    return "bitmap_subtitles" if now.codec in _BITMAPS else "data"


def _refusal(wish: Container, state: State, draft: Draft, loss: str) -> str:
    name = stream_name(state.file, draft.source)
    if loss == "video":
        return f"container.to={wish.to} cannot hold {name}; encode it with video: {{to: hevc}}"
    if loss == "audio":
        return f"container.to={wish.to} cannot hold {name}; to encode it, say container.audio: convert"
    done = "turn it into plain text" if loss == "styling" else "drop it"
    return f"container.to={wish.to} cannot hold {name}; to {done}, add {loss} to container.losses"


def _holds_audio(to: str, codec: str) -> bool:
    return codec in _MP4_AUDIO if to == "mp4" else codec not in _MKV_NO_AUDIO


def _fitted(wish: Container, draft: Draft) -> Draft:
    now = draft.now
    if now.kind == "audio" and not _holds_audio(wish.to, now.codec):
        into = next(how for name, how in (*wish.codecs, *_CONVERSIONS, (now.codec, _OTHERS)) if matches(now, (name,)))
        encode = audio_encode(now, into.to, into.bitrate)
        return replace(draft, now=encoded(now, encode), encode=encode)
    text = {"mp4": "mov_text", "mkv": "subrip"}[wish.to]
    plain = now.kind == "subtitle" and now.codec != text
    if plain and (wish.to == "mp4" or now.codec not in _MKV_SUBTITLES):
        encode = Encode(to=text)
        return replace(draft, now=encoded(now, encode), encode=encode)
    return draft
