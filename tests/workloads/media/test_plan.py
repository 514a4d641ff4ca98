"""Plans: what each operation does, what it leaves alone, and that a second run has nothing to do."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from typing import TYPE_CHECKING

from drawn_media import (
    LOSSES,
    audio,
    cover,
    files,
    font,
    media,
    planned,
    policies,
    policy_of,
    refused,
    result,
    subtitle,
    video,
)

from raddle.workloads.media.plan import Plan, Refusal, Skip, collisions, make_plan, predict, preview, result_time
from raddle.workloads.media.values import Chapter, MediaFile, Stream

if TYPE_CHECKING:
    from raddle.workloads.media.policy import Policy


def left(plan: Plan) -> list[str]:
    """The streams of the result in short: kind's letter and language."""
    return [f"{output.kind[0]}:{output.language}" for output in plan.outputs]


# -------------------------------------------------------------------------------------------------- the properties


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, policies)
def test_planning_on_the_result_of_a_plan_changes_nothing(file: MediaFile, policy: Policy) -> None:
    step = policy.steps[0]
    plan = make_plan(file, step, policy)
    event(type(plan).__name__ if not isinstance(plan, Plan) else f"Plan {plan.method}")
    if isinstance(plan, Plan):
        again = make_plan(predict(plan), step, policy)
        assert isinstance(again, Skip) or (isinstance(again, Plan) and not again.changes), again


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, policies)
def test_no_stream_is_lost_that_no_operation_named(file: MediaFile, policy: Policy) -> None:
    step = policy.steps[0]
    plan = make_plan(file, step, policy)
    if not isinstance(plan, Plan):
        return
    kept = Counter(output.source for output in plan.outputs if not output.added)
    assert all(count == 1 for count in kept.values())
    gone = [stream for stream in file.streams if stream.index not in kept]
    losses = step.container.losses if step.container and step.container.to != file.container else ()
    may_go = {
        "audio": step.keep_audio is not None,
        "subtitle": step.keep_subtitles is not None or "bitmap_subtitles" in losses,
        "attachment": step.attachments != "keep" or "attachments" in losses,
        "data": "data" in losses or (bool(file.chapters) and file.container in {"mp4", "mov"}),
    }
    for stream in gone:
        assert "pictures" in losses if stream.picture else may_go.get(stream.kind, False), stream
    assert sum(change.startswith("remove ") for change in plan.changes) >= sum(one.kind != "data" for one in gone)
    assert plan.chapters == bool(file.chapters)
    assert [output.source for output in plan.outputs if output.added and output.codec is None] == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, policies)
def test_nothing_grows_and_nothing_that_fits_is_encoded(file: MediaFile, policy: Policy) -> None:
    step = policy.steps[0]
    plan = make_plan(file, step, policy)
    if not isinstance(plan, Plan):
        return
    for output in plan.outputs:
        source = file.streams[output.source]
        if output.codec is None:
            continue
        width, channels = output.codec.option("width"), output.codec.option("channels")
        assert source.picture is False
        assert width is None or (int(width) <= (source.width or 0) and int(width) % 2 == 0)
        assert channels is None or int(channels) <= (source.channels or 0)
        if source.kind == "video" and step.video:
            assert source.codec != step.video.to or width is not None


@given(files)
@settings(max_examples=100, deadline=None)
def test_a_step_that_names_nothing_for_a_file_plans_nothing(file: MediaFile) -> None:
    kept = planned("keep_subtitles: {languages: all}", file)
    assert kept.changes == ()
    assert kept.method == "none"
    assert kept.target == file.path
    assert predict(kept) == file


# ---------------------------------------------------------------------------------------------------------- audio


@pytest.mark.parametrize(
    ("step", "streams", "expected"),
    [
        ("keep_audio: {languages: [eng]}", [audio("eng"), audio("fre")], ["eng"]),
        ("keep_audio: {languages: [en]}", [audio("eng"), audio("fre")], ["eng"]),
        ("keep_audio: {languages: [deu]}", [audio("ger"), audio("fre")], ["ger"]),
        ("keep_audio: {languages: [ger]}", [audio("deu"), audio("fre")], ["deu"]),
        ("keep_audio: {languages: [zho]}", [audio("cmn"), audio("fre")], ["cmn"]),
        ("keep_audio: {languages: [eng, und]}", [audio("und"), audio("fre")], ["und"]),
        ("keep_audio: {languages: [eng], at_least: 0}", [audio("fre")], []),
        ("keep_audio: {languages: [eng], otherwise: keep_all}", [audio("fre"), audio("jpn")], ["fre", "jpn"]),
        ("keep_audio: {languages: [eng], otherwise: keep_first}", [audio("fre"), audio("jpn")], ["fre"]),
        (
            "keep_audio: {languages: [eng], otherwise: content_language}",
            [audio("jpn"), audio("fre"), audio("jpn")],
            ["jpn", "jpn"],
        ),
        (
            "keep_audio: {languages: [eng], otherwise: keep_first, at_least: 2}",
            [audio("jpn"), audio("fre"), audio("ita")],
            ["jpn", "fre"],
        ),
        # commentary alone is no sound for the film
        (
            "keep_audio: {languages: [eng], otherwise: keep_first}",
            [audio("jpn"), audio("eng", title="Commentary")],
            ["jpn", "eng"],
        ),
        ("keep_audio: {languages: [eng], commentary: drop}", [audio("eng"), audio("eng", title="Commentary")], ["eng"]),
        (
            "keep_audio: {languages: [eng], music: keep}",
            [audio("eng"), audio("fre", title="Game OST"), audio("fre", title="Lost Dialog")],
            ["eng", "fre"],
        ),
        ("keep_audio: {languages: [eng]}", [], []),
        ("keep_audio: {languages: [eng], at_least: 2}", [audio("eng")], ["eng"]),
    ],
)
def test_keep_audio(step: str, streams: list[Stream], expected: list[str]) -> None:
    plan = planned(step, media(video(), *streams, subtitle("fre")))
    assert [output.language for output in plan.outputs if output.kind == "audio"] == expected
    assert left(plan)[-1] == "s:fre"


@pytest.mark.parametrize(
    "title", ["Lost Dialog", "English 5.1 (Ghost)", "Host", "Costa Rica", "musical", "AC-3 Commentator"]
)
def test_words_inside_words_say_nothing(title: str) -> None:
    plan = planned(
        "keep_audio: {languages: [eng], music: keep, commentary: keep}", media(audio("eng"), audio("fre", title=title))
    )
    assert left(plan) == ["a:eng"]


@pytest.mark.parametrize(
    "stream",
    [
        audio("fre", title="Audio-Commentary with X"),
        audio("fre", title="DIRECTOR'S COMMENTARY"),
        audio("fre", title="kommentar_2"),
        audio("fre", dispositions=frozenset({"comment"})),
    ],
)
def test_commentary_is_known_by_whole_words_and_by_its_flag(stream: Stream) -> None:
    assert left(planned("keep_audio: {languages: [eng], commentary: keep}", media(audio("eng"), stream))) == [
        "a:eng",
        "a:fre",
    ]


def test_without_a_fallback_too_few_tracks_are_refused_with_the_remedy() -> None:
    refused("keep_audio: {languages: [eng]}", media(audio("fre"), audio("jpn")), "fre, jpn.*otherwise: keep_all")


def test_a_plan_says_what_it_removes() -> None:
    plan = planned(
        "keep_audio: {languages: [eng]}", media(video(), audio("eng"), audio("fra", title="VF"), audio("eng"))
    )
    assert plan.changes == ('remove audio 2 (fra, aac 2.0 "VF")',)
    assert plan.method == "remux"


# ------------------------------------------------------------------------------------------------------- subtitles


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("keep_subtitles: {languages: [eng]}", ["eng", "eng", "eng"]),
        ("keep_subtitles: {languages: none}", []),
        ("keep_subtitles: {languages: all}", ["eng", "eng", "fre", "ger", "eng"]),
        ("keep_subtitles: {languages: [eng], forced: keep}", ["eng", "eng", "fre", "eng"]),
        ("keep_subtitles: {languages: none, forced: keep}", ["eng", "fre"]),
        ("keep_subtitles: {languages: [eng], forced: drop}", ["eng", "eng"]),
        ("keep_subtitles: {languages: [eng], commentary: drop}", ["eng", "eng"]),
    ],
)
def test_keep_subtitles(step: str, expected: list[str]) -> None:
    texts = [
        subtitle("eng"),
        subtitle("eng", forced=True),
        subtitle("fre", forced=True),
        subtitle("ger"),
        subtitle("eng", title="Commentary by X"),
    ]
    plan = planned(step, media(video(), audio(), *texts))
    assert [output.language for output in plan.outputs if output.kind == "subtitle"] == expected


def test_a_filter_of_subtitles_leaves_order_and_flags_alone() -> None:
    """The original moved commentary behind subtitles and changed two default flags."""
    file = media(
        video(default=False), audio(title="Commentary", default=True), subtitle("fre"), subtitle("eng"), audio("jpn")
    )
    plan = planned("keep_subtitles: {languages: [eng]}", file)
    assert left(plan) == ["v:und", "a:eng", "s:eng", "a:jpn"]
    assert [output.default for output in plan.outputs] == [False, True, False, False]
    assert len(plan.changes) == 1


def test_four_operations_are_one_plan_over_one_probe() -> None:
    """The original applied the plan three times with stale numbers: no subtitle was left."""
    texts = [subtitle("ger"), subtitle("eng"), subtitle("fre"), subtitle("jpn")]
    file = media(video(), audio("ger"), audio("eng", title="Commentary"), audio("jpn"), audio("eng"), *texts)
    plan = planned(
        """
        keep_audio: {languages: [eng, jpn]}
        keep_subtitles: {languages: [eng, jpn]}
        order: [video, audio, audio_commentary, subtitle]
        defaults: {audio: preferred, subtitle: none}
        """,
        file,
        top="languages: {audio: [jpn, eng], subtitles: [jpn, eng]}",
    )
    assert [output.source for output in plan.outputs] == [0, 3, 4, 2, 8, 6]
    assert [output.default for output in plan.outputs] == [True, True, False, False, False, False]


# ----------------------------------------------------------------------------------------------------- attachments


@pytest.mark.parametrize(
    ("way", "text", "expected"),
    [
        ("keep_fonts", "ass", ["a.ttf", "b.otf"]),
        ("keep_fonts", "subrip", ["a.ttf", "b.otf"]),
        ("remove", "ass", ["a.ttf", "b.otf"]),
        ("remove", "subrip", []),
        ("remove_all", "ass", []),
        ("keep", "ass", ["a.ttf", "b.otf", "notes.txt"]),
    ],
)
def test_attachments(way: str, text: str, expected: list[str]) -> None:
    names = [
        font("a.ttf"),
        font("b.otf", "application/octet-stream"),
        replace(font("notes.txt", "text/plain"), codec=""),
    ]
    file = media(video(), subtitle(codec=text), *names, cover())
    plan = planned(f"attachments: {way}\nkeep_subtitles: {{languages: all}}", file)
    assert [file.streams[one.source].filename for one in plan.outputs if one.kind == "attachment"] == expected
    assert plan.outputs[-1].kind == "video"
    assert bool(plan.warnings) == (way == "remove" and text == "ass")


# ----------------------------------------------------------------------------------------------------- order, flags


def test_order_is_by_class_then_language_then_as_it_was() -> None:
    file = media(
        subtitle("ger"),
        audio("fre"),
        subtitle("eng", forced=True),
        audio("eng", title="Commentary"),
        audio("eng"),
        video(),
        font(),
        cover(),
    )
    plan = planned("order: [video, audio, audio_commentary, subtitle, subtitle_forced]", file)
    assert [output.source for output in plan.outputs] == [5, 4, 1, 3, 0, 2, 6, 7]
    assert plan.changes[0].startswith("order: video 1, audio 3, audio 1, audio 2, subtitle 1")


def test_classes_that_are_not_listed_follow_in_their_order() -> None:
    file = media(subtitle("ger"), subtitle("eng"), audio("fre"), audio("eng", title="Commentary"), audio("eng"))
    plan = planned("order: [audio]", file)
    assert [output.source for output in plan.outputs] == [3, 4, 2, 0, 1]


def test_covers_and_fonts_before_tracks_are_no_change_by_themselves() -> None:
    assert planned("order: [video, audio]", media(cover(), font(), video(), audio())).changes == ()


@pytest.mark.parametrize(
    ("step", "top", "expected"),
    [
        ("defaults: {audio: preferred}", "languages: {audio: [eng]}", [False, True, False]),
        ("defaults: {audio: preferred}", "languages: {audio: [ita]}", [False, True, False]),
        ("defaults: {audio: preferred, audio_codecs: [ac3]}", "languages: {audio: [eng]}", [False, False, True]),
        ("defaults: {audio: first}", "languages: {}", [True, False, False]),
        ("defaults: {audio: none}", "languages: {}", [False, False, False]),
        ("defaults: {subtitle: none}", "languages: {}", [False, False, True]),
    ],
)
def test_default_audio(step: str, top: str, expected: list[bool]) -> None:
    file = media(audio("eng", title="Commentary"), audio("eng"), audio("eng", "ac3", default=True))
    assert [output.default for output in planned(step, file, top=top).outputs] == expected


@pytest.mark.parametrize(
    ("sound", "step", "default", "forced"),
    [
        ("jpn", "defaults: {subtitle: when_foreign}", [False, True, False], [True, False, False]),
        ("eng", "defaults: {subtitle: when_foreign}", [False, False, False], [True, False, False]),
        ("und", "defaults: {subtitle: when_foreign}", [False, False, False], [True, False, False]),
        ("eng", "defaults: {subtitle: preferred}", [False, True, False], [True, False, False]),
        ("eng", "defaults: {subtitle: first}", [True, False, False], [True, False, False]),
        ("eng", "defaults: {forced: none}", [False, False, True], [False, False, False]),
        ("jpn", "defaults: {forced: when_foreign, subtitle: when_foreign}", [True, False, False], [True, False, False]),
    ],
)
def test_default_subtitles(sound: str, step: str, default: list[bool], forced: list[bool]) -> None:
    texts = [subtitle("eng", forced=True), subtitle("eng"), subtitle("ger", default=True)]
    plan = planned(step, media(audio(sound), *texts))
    assert [output.default for output in plan.outputs[1:]] == default
    assert [output.forced for output in plan.outputs[1:]] == forced


def test_headers_alone_suffice_for_flags_titles_and_languages() -> None:
    file = media(video(title="x264 by me"), audio(title="Commentary", forced=True), tags=(("title", "T"),))
    plan = planned("clear: {titles: [video, audio], forced: [audio], title: true}", file)
    assert plan.method == "headers"
    assert plan.outputs[1].title == "Commentary"  # nothing else tells what the track is
    assert plan.changes == (
        'clear title of video 1 (h264 1920x1080 "x264 by me")',
        'clear forced of audio 1 (eng, aac 2.0 "Commentary")',
        "clear tag title",
    )
    mp4 = replace(file, container="mp4", path="/films/a.mp4")
    assert planned("clear: {titles: [video]}", mp4).method == "remux"


def test_clearing_forced_and_keeping_by_it_is_refused_when_the_policy_is_read() -> None:
    with pytest.raises(ValueError, match=r"line \d+: steps\[1\].clear: .*the next run loses them"):
        policy_of("keep_subtitles: {languages: [eng], forced: keep}\nclear: {forced: [subtitle]}")


# ------------------------------------------------------------------------------------------------------- container


def test_a_container_alone_is_a_change() -> None:
    """The original said "mp4 -> mkv" and did nothing when nothing else changed."""
    file = media(video(), audio(), path="/films/a.b.mp4", container="mp4", chapters=(Chapter(0, 9, "One"),))
    plan = planned("container: {to: mkv}", file)
    assert (plan.container, plan.target, plan.method) == ("mkv", "/films/a.b.mkv", "remux")
    assert plan.changes == ("container mp4 to mkv",)
    assert plan.chapters


@pytest.mark.parametrize(
    ("path", "container", "target"),
    [
        ("/f/A.MKV", "mkv", None),
        ("/f/a.mp4", "mkv", "/f/a.mkv"),
        ("/f/a.m4v", "mp4", None),
        ("/f.d/a", "mp4", "/f.d/a.mp4"),
        ("/f/a.avi", "mp4", "/f/a.mp4"),
    ],
)
def test_the_name_follows_the_content_when_the_container_is_named(
    path: str, container: str, target: str | None
) -> None:
    plan = planned(f"container: {{to: {container}}}", media(video(), path=path, container=container))
    assert plan.target == (target or path)
    assert bool(plan.changes) == (target is not None)


def test_chapters_of_mp4_come_without_the_track_that_held_them() -> None:
    data = Stream(index=0, kind="data", codec="bin_data")
    file = media(video(), data, path="/a.mp4", container="mp4", chapters=(Chapter(0, 9, "One"),))
    assert [one.kind for one in planned("container: {to: mkv}", file).outputs] == ["video"]
    refused("container: {to: mkv}", replace(file, chapters=()), "data 1 .*add data to container.losses")


def test_what_mp4_cannot_hold_needs_the_policys_word() -> None:
    file = media(
        video(), audio("eng", "dts"), subtitle(), subtitle(codec="ass"), subtitle(codec="hdmv_pgs_subtitle"), font()
    )
    reason = refused("container: {to: mp4}", file, "container.audio: convert")
    for word in ("styling", "bitmap_subtitles", "attachments"):
        assert f"add {word} to container.losses" in reason
    plan = planned("container: {to: mp4, audio: convert, losses: [styling, bitmap_subtitles, attachments]}", file)
    assert [one.codec.to if one.codec else None for one in plan.outputs] == [None, "aac", "mov_text", "mov_text"]
    assert plan.outputs[1].codec
    assert plan.outputs[1].codec.option("bitrate") == "256000"
    assert "remove attachment 1 (Sans.ttf)" in plan.changes


def test_old_pictures_for_mp4_are_never_encoded_unasked() -> None:
    file = media(video("vp8"), path="/a.webm", container="webm")
    refused("container: {to: mp4}", file, r"encode it with video: \{to: hevc\}")
    assert planned("container: {to: mp4}\nvideo: {to: hevc}", file).method == "encode"


def test_codecs_of_the_policy_say_what_sound_becomes() -> None:
    step = "container: {to: mp4, audio: convert, codecs: {dts: {to: eac3, bitrate: 640k}}}"
    plan = planned(step, media(audio("eng", "dts", channels=8)))
    assert plan.outputs[0].codec
    assert plan.outputs[0].codec.to == "eac3"
    assert dict(plan.outputs[0].codec.options) == {"bitrate": "640000", "channels": "6"}


def test_text_from_mp4_becomes_what_matroska_reads() -> None:
    plan = planned("container: {to: mkv}", media(video(), subtitle(codec="mov_text"), path="/a.mp4", container="mp4"))
    assert plan.outputs[1].codec
    assert plan.outputs[1].codec.to == "subrip"
    assert plan.method == "remux"


def test_an_mp4_always_has_a_default_of_each_kind() -> None:
    file = media(video(default=False), audio("jpn"), audio(), path="/a.mp4", container="mp4")
    assert planned("clear: {default: [audio]}", file).changes == ()
    plan = planned("keep_audio: {languages: [eng]}", file)
    assert [one.default for one in plan.outputs] == [True, True]


def test_a_container_that_is_not_written_is_left_alone_or_refused() -> None:
    file = media(video(), audio(), audio("fre"), path="/a.avi", container="avi")
    assert planned("keep_audio: {languages: [eng, fre]}", file).changes == ()
    refused("keep_audio: {languages: [eng]}", file, r"container=avi cannot be written; add container: \{to: mkv\}")


def test_a_name_that_would_be_too_long_is_refused() -> None:
    refused("container: {to: mkv}", media(video(), path=f"/f/{'ü' * 126}.ts", container="ts"), "255 bytes")


def test_dispositions_that_mp4_cannot_say_are_told() -> None:
    plan = planned("container: {to: mp4}", media(video(), audio(dispositions=frozenset({"original", "dub"}))))
    assert plan.outputs[1].dispositions == {"dub"}
    assert plan.warnings == ("container.to=mp4 cannot say: original",)


# -------------------------------------------------------------------------------------------------------- encoding


def test_encoding_keeps_all_other_streams() -> None:
    """The original dropped all but one subtitle and all attachments."""
    file = media(video(), audio(), subtitle(), subtitle("fre"), font(), cover())
    plan = planned("video: {to: hevc}", file)
    assert [one.source for one in plan.outputs] == [0, 1, 2, 3, 4, 5]
    assert [one.codec is not None for one in plan.outputs] == [True, False, False, False, False, False]
    assert plan.outputs[0].codec
    assert plan.outputs[0].codec.option("crf") == "28"
    assert plan.changes == ("encode video 1 (h264 1920x1080) to hevc, crf 28",)


@pytest.mark.parametrize(
    ("size", "step", "expected"),
    [
        ((1920, 1080), "max_height: 720", ("1280", "720")),
        ((3840, 1600), "max_height: 1080", ("2592", "1080")),
        ((1920, 800), "max_height: 1080", None),
        ((640, 360), "max_height: 1080p", None),
        ((1920, 1080), "max_width: 1281", ("1280", "720")),
        ((1000, 3000), "max_height: 1081, max_width: 900", ("360", "1080")),
        ((720, 576), "max_height: 4k", None),
    ],
)
def test_size_limits_never_enlarge(size: tuple[int, int], step: str, expected: tuple[str, str] | None) -> None:
    plan = planned(f"video: {{to: hevc, {step}}}", media(video("hevc", width=size[0], height=size[1])))
    codec = plan.outputs[0].codec
    assert (expected is None) == (codec is None)
    assert codec is None or (codec.option("width"), codec.option("height")) == expected


def test_high_dynamic_range_is_not_lost_unasked() -> None:
    file = media(video("hevc", colour=(("color_transfer", "smpte2084"),)))
    refused("video: {to: h264}", file, "hdr: lose")
    assert planned("video: {to: h264, hdr: lose}", file).method == "encode"
    assert planned("video: {to: av1}", file).method == "encode"


@pytest.mark.parametrize(
    ("copy", "encoded"),
    [("[]", ["dts", "ac3", "flac"]), ("[lossless]", ["dts", "ac3"]), ("[lossy]", ["flac"]), ("[dts, ac-3]", ["flac"])],
)
def test_audio_is_encoded_unless_it_fits(copy: str, encoded: list[str]) -> None:
    file = media(video(), audio(codec="dts", channels=6), audio(codec="aac"), audio(codec="ac3"), audio(codec="flac"))
    plan = planned(f"audio: {{to: aac, copy: {copy}, bitrate: 192k}}", file)
    assert [file.streams[one.source].codec for one in plan.outputs if one.codec] == encoded


def test_the_codecs_match_of_the_picture_does_not_hide_the_sound() -> None:
    """The original ignored audio when the picture had the codec already."""
    plan = planned("video: {to: hevc}\naudio: {to: aac}", media(video("hevc"), audio(codec="ac3")))
    assert [one.codec is not None for one in plan.outputs] == [False, True]


ADD = "add_audio: {codec: aac, channels: 2, bitrate: 160k}"


def test_a_downmix_stands_after_its_source_once() -> None:
    file = media(video(), audio("jpn", "ac3", channels=6), audio("eng", "ac3", channels=6, default=True), subtitle())
    plan = planned(ADD, file)
    added = plan.outputs[3]
    assert (added.source, added.added, added.title, added.default, added.language) == (2, True, "Stereo", False, "eng")
    assert plan.outputs[2].codec is None
    assert added.codec
    assert dict(added.codec.options) == {"bitrate": "160000", "channels": "2"}
    assert plan.changes == ('add audio (eng, aac, 2.0, 160 kbit/s "Stereo") made of audio 2 (eng, ac3 5.1)',)
    again = make_plan(predict(plan), policy_of(ADD).steps[0], policy_of(ADD))
    assert isinstance(again, Plan)
    assert not again.changes


@pytest.mark.parametrize(
    ("step", "streams", "added"),
    [
        (ADD, [audio("eng", "aac", channels=2)], False),
        (ADD, [audio("eng", "ac3", channels=1)], False),  # nothing is mixed up
        (ADD, [audio("eng", "ac3", channels=2)], True),
        (ADD, [audio("eng", "ac3", channels=None)], False),
        (ADD, [audio("eng", "ac3", channels=6, title="Commentary")], False),
        (ADD, [], False),
        (ADD, [audio("eng", "dts", channels=6), audio("jpn", "aac")], True),
        (
            "add_audio: {codec: aac, unless_exists: {channels: {lte: 2}}}",
            [audio(channels=6), audio("jpn", "mp2")],
            False,
        ),
        ("add_audio: {codec: aac, from: {language: fre}}", [audio(channels=6)], False),
        ("add_audio: {codec: aac, channels: 5.1}", [audio(codec="truehd", channels=8)], True),
    ],
)
def test_add_audio(step: str, streams: list[Stream], added: bool) -> None:
    assert any(one.added for one in planned(step, media(video(), *streams)).outputs) == added


def test_a_downmix_that_would_be_encoded_again_is_refused_when_read() -> None:
    with pytest.raises(ValueError, match=r"put ac3 into audio\.copy"):
        policy_of("audio: {to: aac}\nadd_audio: {codec: ac3, channels: 6}")


# ----------------------------------------------------------------------------------------- steps, targets and times


def test_a_step_that_undoes_its_own_work_is_refused() -> None:
    step = """
    keep_audio: {languages: [und], otherwise: keep_all}
    rules: [{when: {exists: {type: audio, language: und}}, then: {set_language: {type: audio, language: und, to: eng}}}]
    keep_subtitles: {languages: [ger]}
    """
    assert planned(step, media(audio("und"), audio("fre"))).changes  # keep_all then: nothing is lost
    step = """
    rules:
      - when: {exists: {type: audio, default: true}}
        then: {set_default: {type: audio, to: false}}
        else: {set_default: {type: audio}}
    """
    refused(step, media(audio(default=True)), "undoes its own work")
    step = """
    keep_audio: {languages: [und, eng]}
    rules: [{when: {exists: {type: audio, language: und}}, then: {set_language: {type: audio, language: und, to: jpn}}}]
    """
    refused(step, media(audio("und"), audio("eng")), "undoes its own work.*remove audio 1")


def test_skip_if_leaves_the_file() -> None:
    step = "skip_if: {any: [{video_codec: [hevc, av1]}, {size_under: 500MB}]}\nvideo: {to: hevc}"
    hevc, small = result(step, media(video("hevc"))), result(step, media(video(), identity=(1, 2, 10, 4)))
    assert isinstance(hevc, Skip)
    assert hevc.reason == "skip_if: video_codec hevc, av1"
    assert isinstance(small, Skip)
    assert small.reason == "skip_if: size < 500 MB"
    assert isinstance(result(step, media(video())), Plan)


def test_later_steps_are_previewed_on_what_earlier_ones_give() -> None:
    policy = replace(policy_of("keep_audio: {languages: [eng]}"), steps=())
    steps = (*policy_of("keep_audio: {languages: [eng]}").steps, *policy_of("container: {to: mp4}").steps)
    first, second = preview(media(video(), audio("fre", "dts"), audio()), replace(policy, steps=steps))
    assert isinstance(second, Plan)
    assert second.source == predict(first) if isinstance(first, Plan) else False
    assert second.target == "/films/a.mp4"
    refusals = preview(media(audio("fre")), replace(policy, steps=steps))
    assert [type(one) for one in refusals] == [Refusal]


def test_results_that_would_meet_are_refused_whatever_the_order() -> None:
    def into_mkv(path: str, container: str) -> Plan:
        return planned("container: {to: mkv}", media(video(), path=path, container=container))

    avi, mov, own = into_mkv("/f/a.avi", "avi"), into_mkv("/f/a.mov", "mov"), into_mkv("/f/a.mkv", "mkv")
    alone = into_mkv("/f/b.avi", "avi")

    def bad(*plans: Plan, existing: tuple[str, ...] = ()) -> set[str]:
        return {refusal.source.path for refusal in collisions(plans, existing)}

    assert bad(avi, mov, alone) == bad(mov, alone, avi) == {"/f/a.avi", "/f/a.mov"}
    assert bad(avi, own) == bad(own, avi) == {"/f/a.avi"}
    assert bad(avi, alone, existing=("/f/a.mkv",)) == {"/f/a.avi"}
    assert bad(avi, own, alone, existing=("/f/a.avi", "/f/a.mkv", "/f/b.avi")) == {"/f/a.avi"}
    (refusal,) = collisions([avi, own])
    assert refusal.reason == "target=/f/a.mkv is another file; move one of them away first"


@pytest.mark.parametrize(
    ("times", "tags", "expected"),
    [
        ("preserve", (), 4),
        ("now", (), None),
        ("release_date", (("DATE", "1970-01-02"),), 86_400 * 10**9),
        ("release_date", (("date", "1971"),), 365 * 86_400 * 10**9),
        ("release_date", (("date", "soon"), ("creation_time", "1970-01-02T10:11:12Z")), 86_400 * 10**9),
        ("release_date", (("date", "9999-99-99"),), 9999),
        ("release_date", (), 4),
    ],
)
def test_times_of_results(times: str, tags: tuple[tuple[str, str], ...], expected: int | None) -> None:
    policy = policy_of("attachments: remove", top=f"times: {times}")
    found = result_time(media(video(), tags=tags), policy)
    assert found == expected or (expected == 9999 and found is not None and found > 10**18)


def test_losses_have_names_in_the_format() -> None:
    assert planned(
        f"container: {{to: mp4, losses: [{', '.join(LOSSES)}]}}", media(video(), font(), cover("webp"))
    ).changes
