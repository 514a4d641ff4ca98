"""Rules and conditions: what each asks, what each does, and in which order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from typing import TYPE_CHECKING

from drawn_media import audio, conditions, cover, files, media, planned, policy_of, refused, subtitle, video

from raddle.workloads.media.plan.asking import holds
from raddle.workloads.media.plan.telling import because
from raddle.workloads.media.policy import conditions as ask
from raddle.workloads.media.policy.values import Words

if TYPE_CHECKING:
    from raddle.workloads.media.values import MediaFile

FILE = media(
    video("hevc", width=3840, height=1600, title="Main"),
    audio("eng", "truehd", channels=8, default=True, dispositions=frozenset({"original"})),
    audio("fre", "ac3", channels=6, title="VFF", dispositions=frozenset({"dub"})),
    audio("jpn", "aac", title="Commentary by the crew"),
    subtitle("eng", title="English SDH"),
    subtitle("ger", forced=True),
    cover(),
    duration=5400.0,
    identity=(1, 1, 4_000_000_000, 1),
    tags=(("TITLE", "A Film"), ("genre", "Noir")),
)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("exists: {type: audio, language: en}", True),
        ("exists: {type: audio, language: [ger, deu]}", False),
        ("missing: {type: audio, language: ger}", True),
        ("missing: {type: audio, language: jpn, role: main}", True),
        ("exists: {type: subtitle, forced: true, language: de}", True),
        ("exists: {type: subtitle, default: true}", False),
        ("exists: {type: audio, codec: lossless, channels: {gte: 6}}", True),
        ("exists: {type: audio, channels: {gt: 2, lt: 6}}", False),
        ("exists: {type: audio, channels: 6}", True),
        ("exists: {type: video, width: {gt: 1920}, height: {lte: 1600}}", True),
        ("exists: {codec: mjpeg}", False),  # covers are no tracks
        ("exists: {title: vff}", True),
        ("exists: {title: {is: VF}}", False),
        ("exists: {title: {regex: '^vf'}}", True),
        ("exists: {title: {contains: FF, regex: V}}", True),
        ("exists: {type: audio, original: true, language: eng}", True),
        ("exists: {type: audio, dub: true, language: eng}", False),
        ("exists: {type: subtitle, hearing_impaired: true}", True),
        ("exists: {role: commentary}", True),
        ("count: {type: audio, eq: 3}", True),
        ("count: {type: audio, gt: 3}", False),
        ("count: {type: audio, role: main, gte: 2, lte: 2}", True),
        ("count: {type: attachment, eq: 0}", True),
        ("video_codec: [h264, h265]", True),
        ("video_codec: h264", False),
        ("audio_codec: [dts, ac-3]", True),
        ("audio_language: fr", True),
        ("subtitle_language: [fre, ita]", False),
        ("multi_language_audio: true", True),
        ("container: [mkv, webm]", True),
        ("container: mp4", False),
        ("size_under: 4GB", False),
        ("size_over: 3.9GB", True),
        ("duration_under: 1h30m", False),
        ("duration_over: 89m59s", True),
        ("bitrate_over: 5.9M", True),
        ("bitrate_under: 5.9M", False),
        ("height_over: 1080p", True),
        ("height_under: 4k", True),
        ("tag: title", True),
        ("tag: {name: title, is: a film}", True),
        ("tag: {name: Genre, contains: oir}", True),
        ("tag: {name: date}", False),
        ("not: {container: mkv}", False),
        ("and: [{container: mkv}, {tag: title}]", True),
        ("or: [{container: mp4}, {tag: title}]", True),
        ("{container: mkv, video_codec: h264}", False),  # all keys of a mapping
        ("all: [{not: {any: [{container: mp4}, {tag: date}]}}, {exists: {type: video}}]", True),
    ],
)
def test_conditions(condition: str, expected: bool) -> None:
    step = policy_of(
        f"skip_if: {condition if condition[0] == '{' else '{' + condition + '}'}\nattachments: remove"
    ).steps[0]
    assert step.skip_if is not None
    assert holds(step.skip_if, FILE, Words()) is expected


def test_what_is_not_known_never_holds() -> None:
    file = media(audio(channels=None), duration=None)
    for text in ("duration_under: 9h", "duration_over: 0s", "bitrate_under: 9M", "height_under: 8k", "height_over: 16"):
        step = policy_of(f"skip_if: {{{text}}}\nattachments: remove").steps[0]
        assert step.skip_if is not None
        assert not holds(step.skip_if, file, Words())
    assert not holds(ask.Exists(ask.Tracks(channels=(("gte", 0.0),))), file, Words())


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, conditions)
def test_not_and_or_are_what_logic_says(file: MediaFile, condition: ask.Condition) -> None:
    truth = holds(condition, file, Words())
    assert holds(ask.Not(condition), file, Words()) is not truth
    assert holds(ask.AllOf((condition, condition)), file, Words()) is truth
    assert holds(ask.AnyOf((condition, ask.Not(condition))), file, Words())
    assert not holds(ask.AllOf((condition, ask.Not(condition))), file, Words())


def rule(text: str, file: MediaFile = FILE) -> tuple[str, ...]:
    return planned(f"rules:\n  - {text}", file).changes


def test_the_rule_of_the_example() -> None:
    text = "{when: {missing: {type: audio, language: eng}}, then: {set_forced: {type: subtitle, language: eng}}}"
    file = media(video(), audio("jpn"), subtitle("eng"), subtitle("ger"))
    assert rule(text, file) == ("set forced of subtitle 1 (eng, subrip)",)
    assert rule(text) == ()


def test_a_new_default_is_the_only_one_of_its_kind() -> None:
    changes = rule("{when: {exists: {type: video}}, then: {set_default: {type: audio, language: fre}}}")
    assert changes == (
        "clear default of audio 1 (eng, truehd 7.1)",
        'set default of audio 2 (fre, ac3 5.1 "VFF")',
    )
    gone = rule("{when: {exists: {type: video}}, then: {set_default: {type: audio, language: eng, to: false}}}")
    assert gone == ("clear default of audio 1 (eng, truehd 7.1)",)
    nobody = rule("{when: {exists: {type: video}}, then: {set_default: {type: audio, language: ita}}}")
    assert nobody == ()


def test_languages_and_tags() -> None:
    then = "{set_language: {type: audio, title: VFF, to: fr-CA}, set_tag: {Title: '', date: 1999}}"
    text = f"{{when: {{tag: title}}, then: {then}}}"
    assert rule(text) == ("clear tag TITLE", 'tag date: "1999"')
    file = media(audio("und", title="VFF"), tags=(("title", "x"),))
    assert rule(text, file) == (
        'language of audio 1 (und, aac 2.0 "VFF"): und to fre',
        "clear tag title",
        'tag date: "1999"',
    )


def test_warnings_come_without_changes_too() -> None:
    plan = planned("rules: [{when: {exists: {role: commentary}}, then: {warn: has commentary}}]", FILE)
    assert (plan.changes, plan.warnings, plan.method) == ((), ("has commentary",), "none")


def test_a_rule_can_fail_a_file() -> None:
    text = "rules: [{when: {missing: {type: audio, language: ita}}, then: {fail: no Italian sound}}]"
    assert refused(text, FILE, "^rules.fail=no Italian sound$")


def test_else_belongs_to_its_own_rule() -> None:
    """In the original only the last rule's else counted, and only when no rule matched."""
    text = """
    rules:
      - {when: {container: mp4}, then: {warn: one}, else: {warn: not one}}
      - {when: {container: mkv}, then: {warn: two}, else: {warn: not two}}
      - {when: {container: avi}, then: {warn: three}, else: {warn: not three}}
    """
    assert planned(text, FILE).warnings == ("not one", "two", "not three")
    first = text.replace("rules:\n", "rules:\n      match: first\n      items:\n")
    assert planned(first, FILE).warnings == ("not one", "two")


def test_a_rule_can_keep_a_file_from_being_encoded() -> None:
    """In the original skip_video_transcode did nothing: the file was encoded."""
    step = """
    video: {to: h264}
    audio: {to: aac}
    rules:
      - {when: {height_over: 1080p}, then: {skip_video: true}}
      - {when: {audio_codec: truehd}, then: {skip_audio: true}}
    """
    assert planned(step, FILE).changes == ()
    assert planned(step, media(video("hevc"), audio(codec="ac3"))).method == "encode"


def test_no_rule_sees_the_work_of_another() -> None:
    step = """
    rules:
      - {when: {missing: {type: audio, language: eng}}, then: {set_language: {type: audio, language: und, to: eng}}}
      - {when: {exists: {type: audio, language: und}}, then: {warn: language was not said}}
    """
    plan = planned(step, media(video(), audio("und")))
    assert plan.warnings == ("language was not said",)
    assert plan.method == "headers"


def test_rules_ask_of_what_stays() -> None:
    step = """
    keep_audio: {languages: [eng, jpn]}
    rules: [{when: {count: {type: audio, gt: 2}}, then: {fail: too many}}]
    """
    assert planned(step, FILE).changes == ('remove audio 2 (fre, ac3 5.1 "VFF")',)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(files, conditions)
def test_what_holds_can_be_said(file: MediaFile, condition: ask.Condition) -> None:
    if holds(condition, file, Words()):
        assert because(condition, file, Words())


def test_reasons_name_the_alternative_that_holds() -> None:
    condition = (
        policy_of(
            """
        skip_if:
          any:
            - {container: mp4}
            - {not: {all: [{tag: x}, {multi_language_audio: true}]}, count: {type: audio, gt: 2}}
        attachments: remove
        """
        )
        .steps[0]
        .skip_if
    )
    assert condition is not None
    assert because(condition, FILE, Words()) == "not (tag x and multi_language_audio true) and count > 2 of audio"
