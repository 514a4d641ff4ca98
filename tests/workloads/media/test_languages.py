"""All spellings of a language are one; what is no code is told apart, with what was perhaps meant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.workloads.media.languages import canonical, nearest, normal


@pytest.mark.parametrize(
    ("spellings", "code"),
    [
        (("en", "eng", "EN", "en-US", "eng_GB"), "eng"),
        (("de", "deu", "ger"), "ger"),
        (("fr", "fra", "fre"), "fre"),
        (("zh", "zho", "chi", "cmn", "zh-Hant"), "chi"),
        (("nl", "nld", "dut"), "dut"),
        (("cs", "ces", "cze"), "cze"),
        (("ms", "msa", "may", "zsm"), "may"),
        (("no", "nor"), "nor"),
        (("nb", "nob"), "nob"),
        (("fa", "fas", "per", "pes"), "per"),
        (("yue",), "yue"),
        (("und",), "und"),
        (("mul",), "mul"),
        (("qaa",), "qaa"),
        (("qtz",), "qtz"),
    ],
)
def test_spellings_are_equal(spellings: tuple[str, ...], code: str) -> None:
    assert {canonical(spelling) for spelling in spellings} == {code}


@pytest.mark.parametrize("word", ["", "e", "xx", "english", "quz1", "xyz", "12", "ünd", "qu\u0131", "e n"])
def test_what_is_no_code(word: str) -> None:
    assert canonical(word) is None


def test_all_twenty_codes_that_differ_in_639_2_are_equal() -> None:
    pairs = """bod-tib ces-cze cym-wel deu-ger ell-gre eus-baq fas-per fra-fre hye-arm isl-ice kat-geo mkd-mac mri-mao
    msa-may mya-bur nld-dut ron-rum slk-slo sqi-alb zho-chi"""
    for pair in pairs.split():
        terminology, bibliographic = pair.split("-")
        assert canonical(terminology) == canonical(bibliographic) == bibliographic


@pytest.mark.parametrize(
    ("said", "code"), [("", "und"), ("  ", "und"), ("ENG", "eng"), ("x-klingon", "x-klingon"), ("deu", "ger")]
)
def test_what_a_file_says_is_never_lost(said: str, code: str) -> None:
    assert normal(said) == code


@pytest.mark.parametrize(
    ("word", "code"), [("english", "eng"), ("German", "ger"), ("engl", "eng"), ("japanes", "jpn"), ("q" * 40, None)]
)
def test_what_was_perhaps_meant(word: str, code: str | None) -> None:
    assert nearest(word) == code


@settings(deadline=None)
@given(st.text(max_size=8))
def test_codes_of_codes_are_themselves(word: str) -> None:
    code = canonical(word)
    assert code is None or canonical(code) == code
    assert normal(normal(word)) == normal(word)
