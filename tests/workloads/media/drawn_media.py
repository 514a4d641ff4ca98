"""Files that nobody made, for planning: builders for tables and strategies for Hypothesis."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from raddle.workloads.media.plan import Plan, Refusal, Skip, make_plan
from raddle.workloads.media.policy import Policy, parse_policy
from raddle.workloads.media.policy import conditions as ask
from raddle.workloads.media.policy import values as v
from raddle.workloads.media.policy.schema import ORDER
from raddle.workloads.media.values import Chapter, MediaFile, Stream


def video(codec: str = "h264", **more: Any) -> Stream:
    return Stream(
        **{"index": 0, "kind": "video", "codec": codec, "width": 1920, "height": 1080, "default": True, **more}
    )


def audio(language: str = "eng", codec: str = "aac", **more: Any) -> Stream:
    return Stream(**{"index": 0, "kind": "audio", "codec": codec, "language": language, "channels": 2, **more})


def subtitle(language: str = "eng", codec: str = "subrip", **more: Any) -> Stream:
    return Stream(**{"index": 0, "kind": "subtitle", "codec": codec, "language": language, **more})


def font(name: str = "Sans.ttf", mimetype: str = "font/ttf") -> Stream:
    return Stream(index=0, kind="attachment", codec="ttf", filename=name, mimetype=mimetype)


def cover(codec: str = "mjpeg") -> Stream:
    return video(codec, picture=True, default=False, dispositions=frozenset({"attached_pic"}), width=600, height=900)


def media(*streams: Stream, path: str = "/films/a.mkv", container: str = "mkv", **more: Any) -> MediaFile:
    numbered = tuple(replace(stream, index=place) for place, stream in enumerate(streams))
    plain = {"identity": (1, 2, 3_000_000_000, 4), "links": 1, "duration": 6000.0}
    return MediaFile(path=path, container=container, streams=numbered, **{**plain, **more})


def policy_of(step: str, top: str = "languages: {audio: [eng], subtitles: [eng]}") -> Policy:
    """A policy of one step; `step` is the YAML of its operations, `top` of the rest."""
    lines = textwrap.indent(textwrap.dedent(step).strip(), "    ")
    return parse_policy(f"version: 1\n{textwrap.dedent(top).strip()}\nsteps:\n  -\n{lines}\n")


def result(step: str, file: MediaFile, **more: str) -> Plan | Skip | Refusal:
    policy = policy_of(step, **more)
    return make_plan(file, policy.steps[0], policy)


def planned(step: str, file: MediaFile, **more: str) -> Plan:
    """The plan; a second one on what it gives must have nothing to do."""
    plan = result(step, file, **more)
    assert isinstance(plan, Plan), plan
    return plan


def refused(step: str, file: MediaFile, pattern: str, **more: str) -> str:
    answer = result(step, file, **more)
    assert isinstance(answer, Refusal), answer
    assert re.search(pattern, answer.reason), answer.reason
    return answer.reason


# ------------------------------------------------------------------------------------------------------ strategies

LANGUAGES = ("eng", "ger", "jpn", "und")
TITLES = (
    "",
    "",
    "Stereo",
    "Director's Commentary",
    "Isolated Score",
    "SDH",
    "Lost Dialog",
    "Audio Description",
    "Signs",
)
DISPOSITIONS = ("comment", "hearing_impaired", "visual_impaired", "original", "dub")

_titles = st.sampled_from(TITLES)
_flags = st.booleans()
_dispositions = st.frozensets(st.sampled_from(DISPOSITIONS), max_size=2)
_languages = st.sampled_from(LANGUAGES)
_some_languages = st.lists(_languages, min_size=1, max_size=3, unique=True).map(tuple)


def _streams() -> st.SearchStrategy[Stream]:
    common: dict[str, Any] = {
        "language": _languages,
        "title": _titles,
        "default": _flags,
        "dispositions": _dispositions,
    }
    audio_codecs = st.sampled_from(["aac", "ac3", "dts", "truehd", "flac", "opus", "pcm_s16le"])
    texts = st.sampled_from(["subrip", "ass", "hdmv_pgs_subtitle", "mov_text", "webvtt"])
    return st.one_of(
        st.builds(
            video,
            st.sampled_from(["h264", "hevc", "mpeg4", "mpeg2video", "vp9"]),
            width=st.sampled_from([64, 641, 1920, 3840]),
            height=st.sampled_from([36, 361, 1080, 2160]),
            default=_flags,
            colour=st.sampled_from([(), (("color_transfer", "smpte2084"),)]),
        ),
        st.builds(audio, codec=audio_codecs, channels=st.sampled_from([None, 1, 2, 6, 8]), forced=_flags, **common),
        st.builds(subtitle, codec=texts, forced=_flags, **common),
        st.builds(font, st.sampled_from(["a.ttf", "b.otf"])),
        st.just(font("notes.txt", "text/plain")),
        st.builds(cover, st.sampled_from(["mjpeg", "webp"])),
        st.just(Stream(index=0, kind="data", codec="bin_data")),
    )


files = st.builds(
    lambda streams, container, suffix, chapters, tags: media(
        *streams, container=container, path=f"/films/a{suffix}", chapters=chapters, tags=tags
    ),
    st.lists(_streams(), min_size=1, max_size=9),
    st.sampled_from(["mkv", "mkv", "mp4", "mov", "avi", "webm"]),
    st.sampled_from([".mkv", ".MKV", ".mp4", ".m4v", ".avi", ""]),
    st.sampled_from([(), (Chapter(0.0, 9.0, "One"),)]),
    st.sampled_from([(), (("title", "A film"),), (("date", "1999"), ("title", "x"))]),
)

_kinds = st.sampled_from(["audio", "subtitle", "video"])
tracks = st.builds(
    ask.Tracks,
    kind=_kinds,
    languages=st.one_of(st.just(()), _some_languages),
    default=st.sampled_from([None, None, True, False]),
    forced=st.sampled_from([None, None, True, False]),
    roles=st.sampled_from([(), (), ("main",), ("commentary",)]),
    title=st.sampled_from([None, None, ask.Text(contains="s"), ask.Text(regex="^S")]),
)
_leaves: st.SearchStrategy[Any] = st.one_of(
    st.builds(ask.Exists, tracks),
    st.builds(ask.Count, tracks, st.sampled_from([(("eq", 1.0),), (("gt", 1.0),), (("lte", 2.0),)])),
    st.just(ask.VideoCodecs(("hevc",))),
    st.just(ask.ContainerIs(("mkv",))),
    st.just(ask.MultiLanguage(expected=True)),
    st.just(ask.Tag("title", None)),
)
conditions = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.builds(ask.Not, inner),
        st.builds(ask.AllOf, st.lists(inner, min_size=1, max_size=2).map(tuple)),
        st.builds(ask.AnyOf, st.lists(inner, min_size=1, max_size=2).map(tuple)),
    ),
    max_leaves=4,
)
_by_language = st.sampled_from(["by_language", "keep", "drop"])
_then = st.builds(
    v.Then,
    set_language=st.lists(st.builds(v.SetLanguage, tracks=tracks, to=_languages), max_size=1).map(tuple),
    set_default=st.lists(st.builds(v.Flag, tracks=tracks, to=_flags), max_size=1).map(tuple),
    set_forced=st.lists(st.builds(v.Flag, tracks=tracks, to=_flags), max_size=1).map(tuple),
    set_tag=st.sampled_from([(), (), (v.SetTag(name="TITLE", value=""),), (v.SetTag(name="genre", value="Noir"),)]),
    skip_video=_flags,
    skip_audio=_flags,
)
_rules = st.builds(
    v.Rules,
    items=st.lists(st.builds(v.Rule, when=conditions, then=_then, otherwise=_then), min_size=1, max_size=2).map(tuple),
    match=st.sampled_from(["all", "first"]),
)


def _perhaps(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), strategy)


def _kind_lists() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(_kinds, max_size=2, unique=True).map(tuple)


_as = st.sampled_from
LOSSES: tuple[v.Loss, ...] = ("styling", "bitmap_subtitles", "attachments", "data", "pictures")
steps = st.builds(
    v.Step,
    skip_if=_perhaps(conditions),
    keep_audio=_perhaps(
        st.builds(
            v.KeepAudio,
            languages=_some_languages,
            at_least=st.integers(0, 2),
            otherwise=_as(["fail", "keep_all", "keep_first", "content_language"]),
            commentary=_by_language,
            music=_by_language,
        )
    ),
    keep_subtitles=_perhaps(
        st.builds(
            v.KeepSubtitles,
            languages=st.one_of(st.none(), st.just(()), _some_languages),
            forced=_by_language,
            commentary=_by_language,
        )
    ),
    attachments=_as(["keep", "keep_fonts", "remove", "remove_all"]),
    order=st.one_of(st.just(()), st.lists(_as(ORDER), min_size=1, max_size=6, unique=True).map(tuple)),
    defaults=_perhaps(
        st.builds(
            v.Defaults,
            video=_as(["as_is", "first"]),
            audio=_as(["as_is", "preferred", "first", "none"]),
            subtitle=_as(["as_is", "preferred", "first", "none", "when_foreign"]),
            forced=_as(["as_is", "none", "when_foreign"]),
            audio_codecs=_as([(), ("ac3",), ("flac", "aac")]),
        )
    ),
    clear=_perhaps(st.builds(v.Clear, titles=_kind_lists(), default=_kind_lists(), forced=_kind_lists(), title=_flags)),
    container=_perhaps(
        st.builds(
            v.Container,
            to=_as(["mkv", "mp4"]),
            audio=_as(["refuse", "convert"]),
            losses=st.one_of(st.just(()), st.just(LOSSES)),
        )
    ),
    video=_perhaps(
        st.builds(
            v.Video,
            to=_as(["h264", "hevc", "av1"]),
            copy=_as([(), ("vp9",)]),
            crf=st.just(22),
            max_width=_as([None, 63, 640]),
            max_height=_as([None, 361, 720]),
            unless=_perhaps(conditions),
        )
    ),
    audio=_perhaps(
        st.builds(v.Audio, to=_as(["aac", "ac3"]), copy=_as([(), ("lossless",), ("aac", "dts")]), bitrate=st.none())
    ),
    add_audio=_as(
        [
            (),
            (),
            (v.AddAudio(codec="aac"),),
            (v.AddAudio(codec="aac", channels=6, position="end"), v.AddAudio(codec="aac", channels=2)),
            (v.AddAudio(codec="aac", unless_exists=ask.Tracks(channels=(("lte", 2.0),))),),
        ]
    ),
    rules=_perhaps(_rules),
)
policies = st.builds(
    v.Policy,
    version=st.just(1),
    languages=st.builds(
        v.Languages,
        audio=st.one_of(st.just(()), _some_languages),
        subtitles=st.one_of(st.just(()), _some_languages),
    ),
    steps=st.lists(steps, min_size=1, max_size=2).map(tuple),
)
