"""Policies: what is read, what is refused and how it is said, what resume goes by, and that the page is complete."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package

from drawn_media import audio, font, media, policies, policy_of, subtitle, video

from raddle.errors import ConfigError
from raddle.workloads.media.plan import Plan, Refusal, predict, preview
from raddle.workloads.media.policy import Policy, load_policy, parse_policy, policy_digest
from raddle.workloads.media.policy import conditions as ask
from raddle.workloads.media.policy import values as v
from raddle.workloads.media.policy.asking import CONDITIONS, COUNT, TAG
from raddle.workloads.media.policy.codecs import ALIASES, CODECS, is_codec
from raddle.workloads.media.policy.schema import ORDER, SHAPES
from raddle.workloads.media.values import Kind

HEAD = "version: 1\nsteps:\n  - attachments: remove\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text, source="p.yaml")
    first, *lines = str(caught.value).splitlines()
    assert first.startswith("policy=p.yaml"), first
    return [line.strip() for line in lines] or [first]


def test_the_example_of_the_format() -> None:
    policy = policy_of(
        """
        skip_if: {any: [{video_codec: [h265, av1]}, {size_under: 500MB}]}
        video: {to: hevc, max_height: 1080p}
        """,
        "languages: {audio: [en, no], subtitles: de}\nsafety: {min_free: 20GB, reject_larger_than: 105%}",
    )
    assert policy.languages == v.Languages(audio=("eng", "nor"), subtitles=("ger",))
    assert policy.safety.min_free == v.Free(size=20_000_000_000)
    assert policy.safety.reject_larger_than == 105.0
    (step,) = policy.steps
    wanted = ask.AnyOf((ask.VideoCodecs(("hevc", "av1")), ask.Measure("size", (("lt", 5e8),))))
    assert step.skip_if == wanted
    assert step.video == v.Video(to="hevc", crf=28, max_height=1080)


def test_all_problems_come_at_once_by_line() -> None:
    text = """version: 2
langauges: {audio: [english, xx]}
safety:
  verify: packet
  min_free: 120%
steps:
  - keep_audio: {languages: [], at_leest: 1}
    video: {to: mpeg4, crf: 99}
    rules:
      - when: {mising: {type: audio}}
        then: {set_language: {type: audio, language: eng}, fial: x}
  - audio: {to: aac, copy: [ac3x]}
    audio: {to: aac}
  - video: {to: hevc, crf: 60, two_pass: true, preset: quick}
"""
    found = problems(text)
    assert found[:2] == [
        "line 1: version=2: must be 1, the only version there is",
        "line 2: langauges: unknown key; did you mean languages?",
    ]
    for wanted in (
        "line 4: safety.verify=packet: must be one of packets, decode; did you mean packets?",
        "line 5: safety.min_free=120%: must be below 100%",
        "line 7: steps[1].keep_audio.at_leest=1: unknown key; did you mean at_least?",
        "line 7: steps[1].keep_audio.languages: must not be empty",
        "line 8: steps[1].video.crf=99: must be from 0 to 63",
        "line 10: steps[1].rules[1].when.mising: unknown key; did you mean missing?",
        "line 11: steps[1].rules[1].then.fial=x: unknown key; did you mean fail?",
        "line 11: steps[1].rules[1].then.set_language.to: is missing",
        "line 12: steps[2].audio.copy[1]=ac3x: unknown codec; did you mean ac3?",
        "line 13: steps[2].audio: the key is already on line 12; remove one",
        "line 14: steps[3].video.crf=60: must be at most 51 for hevc",
        "line 14: steps[3].video.two_pass=true: needs bitrate",
    ):
        assert wanted in found
    assert [int(line.split()[1].rstrip(":")) for line in found] == sorted(
        int(line.split()[1].rstrip(":")) for line in found
    )


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("{}", "the step does nothing"),
        ("skip_if: {container: mkv}", "the step does nothing"),
        ("keep_audio: {at_least: 1}", "keep_audio.languages: is missing"),
        (
            "keep_audio: {languages: [english]}",
            r"languages\[1\]=english: is no language code of ISO 639; did you mean eng",
        ),
        ("keep_audio: {languages: eng, at_least: 0, otherwise: keep_all}", "no effect with at_least=0"),
        ("keep_audio: {languages: eng, at_least: one}", "at_least=one: must be a whole number"),
        ("keep_subtitles: {languages: [eng], forced: maybe}", "must be one of by_language, keep, drop"),
        ("attachments: [keep]", "must be one value, not a list"),
        ("order: [video, sound]", r"order\[2\]=sound: must be one of"),
        ("defaults: preferred", "defaults=preferred: must be a mapping of video, audio"),
        ("container: {to: avi}", "must be one of mkv, mp4"),
        ("container: {to: mp4, losses: [pgs]}", "must be one of styling"),
        ("container: {to: mp4, codecs: {dtx: {to: aac}}}", "dtx: unknown codec; did you mean dts"),
        ("video: {to: hevc, crf: 20, bitrate: 2M}", "crf and bitrate exclude each other"),
        ("video: {to: av1, preset: 99}", "or 0 .best. to 13"),
        ("video: {to: hevc, max_height: huge}", "number of lines"),
        ("video: {to: hevc, tune: 'x -y'}", "must be a word"),
        ("video: {to: hevc, bitrate: 5000}", "192k or 2.5M"),
        ("add_audio: {codec: ac3, channels: 7.1}", "at most 6 for ac3"),
        ("add_audio: {codec: aac, unless_exists: false}", "each run would add one more"),
        ("audio: {to: aac}\nadd_audio: {codec: ac3}", "put ac3 into audio.copy"),
        ("skip_if: {size_under: 500}\nattachments: remove", "size with its unit"),
        ("skip_if: {duration_over: soon}\nattachments: remove", "length of time"),
        ("skip_if: {}\nattachments: remove", "skip_if: must not be empty"),
        ("skip_if: {any: {container: mkv}}\nattachments: remove", "skip_if.any: must be a list"),
        ("skip_if: {exists: {}}\nattachments: remove", "say which tracks"),
        ("skip_if: {count: {type: audio}}\nattachments: remove", "say one of eq, lt"),
        ("skip_if: {exists: {title: {regex: '('}}}\nattachments: remove", "is no regular expression"),
        ("skip_if: {tag: {is: x}}\nattachments: remove", "tag.name: is missing"),
        ("rules: []", "must not be empty"),
        ("rules: [{then: {warn: x}}]", "when: is missing"),
        ("rules: [{when: {container: mkv}, then: {skip_video: false}}]", "leave it out"),
        ("rules: [{when: {container: mkv}, then: {set_tag: {'a=b': x}}}]", "without ="),
    ],
)
def test_what_is_refused(step: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        policy_of(step)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; it needs version: 1"),
        ("# nothing", "is empty"),
        ("a: [1, 2", "line 1, column 9: is no YAML"),
        ("a: b: c", "line 1, column 5: is no YAML"),
        ("version: 1\n\tsteps: []", "line 2, column 1: is no YAML"),
        ("a: \x01", "line 1: has a character"),
        ("just words", "must be a mapping of version"),
        ("version: 1", "steps: is missing"),
        ("version: 1\nsteps: []", "line 2: steps: must not be empty"),
        ("a: &a [*a, *a]", "over 20000 values or 50 levels"),
        ("[" * 60 + "]" * 60, "over 20000 values or 50 levels"),
        ("[" * 5000 + "]" * 5000, "levels"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{c}: &{c} [{','.join([f'*{b}'] * 9)}]\n" for b, c in zip("abcdef", "bcdefg", strict=True)),
            "aliases included",
        ),
        ("!!python/object/apply:os.system [echo]", "must be a mapping"),
        ("--- \nversion: 1\n---\nversion: 2", "is no YAML"),
    ],
)
def test_what_is_no_policy_says_where(text: str, message: str) -> None:
    assert re.search(message, "\n".join(problems(text))), problems(text)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_policy(text).steps


@given(st.text(alphabet="version: 1\nsteps:[]{},-&*!#|>'\"keep_audiolanguages", max_size=120))
@settings(max_examples=200, deadline=None)
def test_what_looks_like_a_policy_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_policy(text).steps


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_policy(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_policy(tmp_path)
    path = tmp_path / "p.yaml"
    path.write_bytes(b"version: 1\n# gr\xfc\xdfe\n")
    with pytest.raises(ConfigError, match=r"line 2: is not UTF-8"):
        load_policy(path)
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="1000001 bytes"):
        load_policy(path)
    path.write_bytes(b"\xef\xbb\xbf" + HEAD.encode())
    assert load_policy(path) == parse_policy(HEAD)
    path.write_bytes(HEAD.encode("utf-16"))
    with pytest.raises(ConfigError):
        load_policy(path)


# -------------------------------------------------------------------------------------------------------- digests

BASE = "keep_audio: {languages: [eng, ger]}\nvideo: {to: hevc}\ncontainer: {to: mkv}"


@pytest.mark.parametrize(
    ("step", "top"),
    [
        (
            "container: {to: mkv}\nvideo: {to: h265, crf: 28}\nkeep_audio: {at_least: 1, languages: [en, deu]} # same",
            "",
        ),
        (BASE + "\nname: a name", ""),
        (BASE + "\nattachments: keep", ""),
        (BASE, "on_error: stop"),
        (BASE, "safety: {verify: decode, originals: keep, min_free: 1GB, trash_days: 1}"),
        (BASE.replace("hevc}", "hevc, threads: 4}"), ""),
        (BASE, "languages: {}"),
    ],
)
def test_the_digest_stays_when_results_do(step: str, top: str) -> None:
    assert policy_digest(policy_of(step, top)) == policy_digest(policy_of(BASE, ""))


@pytest.mark.parametrize(
    ("step", "top"),
    [
        (BASE.replace("eng, ger", "ger, eng"), ""),
        (BASE.replace("eng, ger", "eng"), ""),
        (BASE.replace("hevc", "av1"), ""),
        (BASE.replace("hevc}", "hevc, crf: 27}"), ""),
        (BASE + "\nattachments: remove", ""),
        (BASE + "\nskip_if: {size_under: 1MB}", ""),
        (BASE, "times: now"),
        (BASE, "languages: {audio: [eng]}"),
        (BASE, "words: {music: [x]}"),
        (BASE, "safety: {reject_larger_than: 100%}"),
        (BASE, "safety: {hardlinks: break}"),
    ],
)
def test_the_digest_changes_when_results_may(step: str, top: str) -> None:
    assert policy_digest(policy_of(step, top)) != policy_digest(policy_of(BASE, ""))


@given(policies, policies)
@settings(max_examples=60, deadline=None)
def test_different_steps_have_different_digests(one: Policy, other: Policy) -> None:
    assert (policy_digest(one) == policy_digest(other)) == (one == other)
    assert re.fullmatch("[0-9a-f]{64}", policy_digest(one))


def test_digests_are_the_same_in_every_process() -> None:
    """Resume compares with what another process wrote. A new figure means that files are done again."""
    assert policy_digest(parse_policy(HEAD)).startswith("ae4fa002e4a9")


# --------------------------------------------------------------------------------------------------------- codecs


def test_names_of_codecs() -> None:
    assert all(is_codec(name) for name in ("h264", "lossless", "pgs", "DTS-HD".lower()))
    assert not is_codec("h263x")
    known = frozenset().union(*CODECS.values()) | {"dts_hd"}
    assert set(ALIASES.values()) <= known


# ------------------------------------------------------------------------------------------------------ the page

READ_BY_FUNCTIONS = {v.Free, v.Flag, v.SetLanguage, v.SetTag}
NAMES = {"Condition": ask.Condition, "Tracks": ask.Tracks, "Kind": Kind}


def _classes(cls: type) -> set[type]:
    found: set[type] = {cls}
    for hint in typing.get_type_hints(cls, localns=NAMES).values():
        found |= {
            inner for one in _leaves(hint) if dataclasses.is_dataclass(one) for inner in _classes_once(one, found)
        }
    return found


def _classes_once(cls: Any, seen: set[type]) -> set[type]:
    inside_conditions = cls.__module__.endswith("conditions") and cls not in {ask.Tracks, ask.Text}
    return set() if cls in seen or inside_conditions else _classes(cls)


def _leaves(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is typing.Literal:
        return [hint]
    inner = typing.get_args(hint)
    return [leaf for one in inner for leaf in _leaves(one)] if inner else [hint]


def test_every_field_of_every_value_can_be_written() -> None:
    classes = _classes(Policy)
    assert len(classes) > 20
    for cls in classes - READ_BY_FUNCTIONS:
        shape = SHAPES[cls]
        assert {field for field, _ in shape.keys.values()} == {field.name for field in dataclasses.fields(cls)}, cls


def test_the_page_has_every_key_and_every_word(root: Path) -> None:
    page = (root / "docs/reference/media-policy.md").read_text()
    words = set(re.findall(r"`([^`\n]+)`", page))
    words |= {part for word in words for part in re.split(r"[.:, ]+", word)}
    for cls in _classes(Policy) - READ_BY_FUNCTIONS:
        missing = set(SHAPES[cls].keys) - words
        assert not missing, (cls, missing)
        for name, hint in typing.get_type_hints(cls, localns=NAMES).items():
            for leaf in _leaves(hint):
                values = typing.get_args(leaf) if typing.get_origin(leaf) is typing.Literal else ()
                assert {str(value) for value in values} <= words, (cls, name)
    assert {*CONDITIONS, *COUNT, *TAG, *ORDER} <= words


def test_the_policies_on_the_page_are_valid(root: Path) -> None:
    page = (root / "docs/reference/media-policy.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        parse_policy(block)


# ---------------------------------------------------------------------------------------------------- the examples

RICH = media(
    video("h264", width=3840, height=2160, title="Encoded by nobody"),
    audio("jpn", "dts", channels=6, default=True),
    audio("eng", "ac3", channels=6, forced=True),
    audio("eng", title="Commentary by the crew"),
    audio("fre", "ac3", title="VF"),
    subtitle("fre"),
    subtitle("eng", "ass"),
    subtitle("ger", forced=True),
    font(),
    font("notes.txt", "text/plain"),
)
MP4 = media(video("mpeg4", width=720, height=576), audio("und", "mp3"), path="/films/b.m4v", container="mp4")
FOREIGN = media(video(), audio("jpn", "ac3", channels=6), subtitle(title="Signs & songs"), subtitle())

EXAMPLES = {
    "add-stereo": (FOREIGN, 'add audio (jpn, aac, 2.0, 192 kbit/s "Stereo") made of audio 1 (jpn, ac3 5.1)'),
    "anime": (RICH, 'remove audio 3 (eng, aac 2.0 "Commentary by the crew")'),
    "flags-only": (FOREIGN, 'set forced of subtitle 1 (eng, subrip "Signs & songs")'),
    "keep-my-languages": (RICH, 'remove audio 4 (fre, ac3 2.0 "VF")'),
    "phone-mp4": (RICH, "convert subtitle 2 (eng, ass) to mov_text"),
    "save-space": (MP4, "encode video 1 (mpeg4 720x576) to hevc, crf 22, preset slow"),
    "to-mkv": (MP4, "container mp4 to mkv"),
    "whole-library": (RICH, "encode video 1 (h264 3840x2160) to hevc, 1920x1080, crf 22, preset medium"),
}


def test_every_example_is_known(root: Path) -> None:
    assert {path.stem for path in (root / "docs/policies").glob("*")} == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_plan_what_they_say_and_nothing_twice(root: Path, name: str) -> None:
    policy = load_policy(root / "docs/policies" / f"{name}.yaml")
    file, change = EXAMPLES[name]
    results = preview(file, policy)
    assert change in [one for plan in results if isinstance(plan, Plan) for one in plan.changes]
    assert len(results) == len(policy.steps)
    for other in (RICH, MP4, FOREIGN):
        first = preview(other, policy)
        assert not any(isinstance(one, Refusal) for one in first)
        again = preview(next(predict(one) for one in reversed(first) if isinstance(one, Plan)), policy)
        assert not [change for one in again if isinstance(one, Plan) for change in one.changes]
