"""The page of one user: every decision told in words, escaped, small, the same bytes every time."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import time
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raddle.workloads.weights.files import page_name, plotly_js, write_whole
from raddle.workloads.weights.values import (
    DAY,
    FIELDS,
    RESETS,
    STAGES,
    Neighbours,
    Person,
    Replay,
    Revision,
)

np = pytest.importorskip("numpy")
pytest.importorskip("orjson")

from raddle.workloads.weights.pages.explain import explain, times  # noqa: E402 - needs numpy
from raddle.workloads.weights.pages.figure import MOST_DRAWN, drawn_rows  # noqa: E402
from raddle.workloads.weights.pages.kinds import (  # noqa: E402
    CATEGORIES,
    SEVERITIES,
    before,
    categories,
    severities,
)
from raddle.workloads.weights.pages.page import failed_page, page_mark, shared_assets, user_page  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "</script><script>alert(1)</script><!--\"'&\u2028 ${x} $x %{y} <b>b</b>"
FACTS = {
    "quality_threshold": 0.6,
    "gap_days": 30.0,
    "least_kg": 0.3,
    "most_kg": 500.0,
    **{
        f"{kind}_{what}": number
        for kind in ("first", "gap", "manual")
        for what, number in (("adaptation_days", 7.0), ("adaptation_readings", 10.0), ("quality_threshold", 0.45))
    },
}
STAGE = {name: code for code, name in enumerate(STAGES)}


def a_person(
    count: int = 40,
    *,
    user: str = "u",
    sources: tuple[str, ...] = ("scale",),
    days: bool = False,
    rules: str = "v2",
    kg: float = 80.0,
    jump: int = 20,
) -> Person:
    """Return daily readings around a steady weight, every 17th far off, and a pause of 60 days after `jump`."""
    at = np.arange(count)
    clock = (0 if days else 20_000) + at + 60 * (at > jump)
    weight = kg + 0.01 * (at % 3) + np.where(at % 17 == 3, 30.0, 0.0)
    wrong = at % 17 == 3
    stage = np.where(wrong, STAGE["kalman_deviation"], STAGE["accepted"]).astype(np.uint8)
    reset = np.zeros(count, np.uint8)
    starts = [0, jump + 1] if count > jump + 1 else [0]
    stage[starts], reset[starts] = (
        STAGE["initialization"],
        [RESETS.index("first reading"), RESETS.index("gap")][: len(starts)],
    )
    out = np.full((len(FIELDS), count), np.nan)
    out[:6] = np.array([kg, -0.01, 0.4, 0.02, 0.0, 4.0])[:, None]
    out[4] = weight - kg
    out[6:] = np.array([0.9, 1.0, 0.9, 1.0, 0.77])[:, None]
    out[6, wrong], out[8, wrong], out[9, wrong] = 0.02, 0.01, 0.3
    return Person(
        id=user,
        line=at + 2,
        time=(clock * DAY).astype(np.int64),
        weight=weight,
        source=(at % len(sources)).astype(np.int64),
        source_names=sources,
        stage=stage,
        reset=reset,
        out=out,
        unused=3,
        height_m=math.nan if days else 1.72,
        days=days,
        rules=rules,
        facts=FACTS,
    )


def set_row(own: Person, row: int, **values: float) -> Person:
    """Return the person with other values in a row: `stage`, `reset`, `weight`, or any of FIELDS."""
    arrays = {name: getattr(own, name).copy() for name in ("stage", "reset", "weight", "out")}
    for name, value in values.items():
        if name in FIELDS:
            arrays["out"][FIELDS.index(name), row] = value
        else:
            arrays[name][row] = value
    return replace(own, **arrays)


def page_of(own: Person, links: Neighbours | None = None) -> str:
    return user_page(own, links or Neighbours("", "b~1.html"), mark="m").decode()


def drawn(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[0])


def text_of(page: str) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", page))


# ------------------------------------------------------------------------------------------------ the page


@pytest.mark.parametrize("days", [True, False])
@pytest.mark.parametrize("rules", ["compat", "v2"])
def test_a_page_tells_all(days: bool, rules: str) -> None:
    page = page_of(a_person(days=days, rules=rules))
    data = drawn(page)
    assert len(data["t"]) == len(data["kg"]) == len(data["f"]) == len(data["qs"]) == 40
    assert data["resets"] == [[0, 21], [1, 2], [None, 62.0]]
    assert len(data["gaps"]) == 1
    assert len(data["settling"]) == 2
    assert data["threshold"] == 0.6
    assert data["rejected"][0] == [3, 20, 37]
    assert '<a rel="next" href="b~1.html">' in page
    words = text_of(page)
    assert "3 more unread" in words
    assert "rejected: 110.0 kg is 30.0 kg above the expected 80.0 kg; up to 4.0 kg would have been believed" in words
    assert "extreme deviation" in words
    assert ("day 0 to day 99" if days else "2024-10-04 to 2025-01-11") in words
    assert len(page) < 15_000


def test_times_of_the_axis_are_seconds_or_days() -> None:
    assert drawn(page_of(a_person()))["t0"] == 20_000 * 86_400
    assert drawn(page_of(a_person()))["t"][:2] == [0, 86_400]
    assert drawn(page_of(a_person(days=True)))["t"][20:22] == [20.0, 81.0]


def test_the_mark_stands_at_the_beginning_and_changes_with_all_that_shows() -> None:
    links = Neighbours("a.html", "c.html")
    mark = page_mark("digest", "b.html", links)
    assert mark.encode() in user_page(a_person(), links, mark=mark)[:400]
    others = {
        page_mark("other", "b.html", links),
        page_mark("digest", "x.html", links),
        page_mark("digest", "b.html", Neighbours("a.html", "")),
        page_mark("digest", "b.html", Neighbours("", "c.html")),
    }
    assert len(others | {mark}) == 5


def test_shared_files_are_what_pages_name() -> None:
    assets = shared_assets()
    page = page_of(a_person())
    assert set(assets) == {"page.css", "page.js"}
    assert {f"../{name}" for name in (*assets, "plotly.min.js")} <= set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert not re.search(rb"https?://", b"".join(assets.values()))
    assert not re.search(r'(?:src|href)="https?:', page)


def test_text_of_strangers_stays_text() -> None:
    page = page_of(a_person(user=NASTY, sources=(NASTY, "x" * 1000)))
    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert "<b>b" not in page
    assert unescape(re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)[0]) == NASTY
    assert NASTY in drawn(page)["names"]
    assert max(map(len, drawn(page)["names"])) == 80
    failed = failed_page(NASTY, Neighbours(), status="failed", error=NASTY).decode()
    assert "<script>" not in failed
    assert "could not be processed (failed)" in failed


def test_what_is_no_unicode_is_drawn_all_the_same() -> None:
    assert "<h1>a?b</h1>" in page_of(a_person(user="a\udcffb", sources=("s\udcff",)))


def test_an_id_of_a_kilobyte_keeps_the_title_short() -> None:
    page = page_of(a_person(user="<i>" * 350))
    assert len(re.findall(r"<title>(.*?)</title>", page)[0]) < 600
    assert "<i>" not in re.findall(r"<h1>(.*?)</h1>", page)[0]


def test_the_same_data_gives_the_same_bytes() -> None:
    assert page_of(a_person()) == page_of(a_person())


def test_hardly_any_data_is_a_page_too() -> None:
    one = a_person(1)
    assert "one reading since the last reset" in page_of(one)
    alone = set_row(one, 0, stage=STAGE["physiological"], reset=0, **dict.fromkeys(FIELDS, math.nan))
    assert "no reading was accepted" in page_of(alone)
    assert "f" not in drawn(page_of(alone))
    nothing = replace(
        alone, **{name: getattr(alone, name)[:0] for name in ("line", "time", "weight", "source", "stage", "reset")}
    )
    assert "No reading of this user could be used." in page_of(nothing)
    unknown = set_row(alone, 0, weight=math.nan, stage=STAGE["preprocessing"])
    assert drawn(page_of(unknown))["y"] == [0.0, 1.06]


def test_readings_far_off_do_not_stretch_the_range() -> None:
    own = set_row(a_person(), 20, weight=400.0)
    low, high = drawn(page_of(own))["y"]
    assert 70 < low < 80 < high < 90


def test_the_range_holds_every_accepted_reading() -> None:
    own = set_row(a_person(), 10, weight=95.0)
    low, high = drawn(page_of(own))["y"]
    assert low < 80
    assert high > 95


def test_sources_are_numbered_by_use() -> None:
    own = a_person(60, sources=tuple(f"s{n}" for n in range(30)))
    own = replace(own, source=np.where(np.arange(60) < 30, 29, np.arange(60) % 30).astype(np.int64))
    data = drawn(page_of(own))
    assert data["names"][0] == "s29"
    assert len(data["names"]) == 30
    assert data["src"].count(0) == 31


def test_newborns_get_grams() -> None:
    page = page_of(a_person(kg=3.5, days=True))
    assert "3.51" in page
    assert "33.5 kg is 30.00 kg above the expected 3.50 kg" in page


def test_numbers_on_a_page_are_rounded_and_never_minus_zero() -> None:
    own = set_row(a_person(), 5, innovation=-0.0001)
    raw = page_of(own).split('id="data">')[1]
    assert "-0.0," not in raw
    assert not re.search(r"\d\.\d{4,}", raw.split("</script>")[0])


def test_a_page_takes_little_time() -> None:
    own, links = a_person(100), Neighbours()
    user_page(own, links, mark="m")
    best = math.inf
    for _ in range(5):
        begin = time.process_time()
        for _ in range(20):
            user_page(own, links, mark="m")
        best = min(best, (time.process_time() - begin) / 20)
    assert best < 0.006  # 0.6 ms on a quiet machine; ten times that is a mistake


# ------------------------------------------------------------------------------------------------ many readings


def test_many_readings_are_thinned_and_the_page_says_so() -> None:
    own = a_person(60_000)
    own = replace(own, time=np.cumsum(np.full(60_000, 300_000_000)))
    page = page_of(own)
    data = drawn(page)
    assert len(page) < 1_200_000
    assert data["of"] == 60_000
    assert len(data["t"]) < 9_000
    assert len(data["rejected"][0]) == int((own.stage > 1).sum())
    assert "Of 60,000 readings the chart draws" in page
    assert "The first 400 of 3,530 are listed" in page


def test_thinning_keeps_extremes_and_ends_and_is_bounded_whatever_is_rejected() -> None:
    own = a_person(30_000)
    own = set_row(set_row(own, 12_345, weight=99.0), 23_456, weight=55.0)
    kept = set(drawn_rows(own, own.stage <= 1).tolist())
    assert {0, 12_345, 23_456, 29_999} <= kept
    bad = replace(own, stage=np.full(30_000, STAGE["kalman_deviation"], np.uint8))
    assert len(drawn_rows(bad, bad.stage <= 1)) <= 3 * 1_000 + 2
    assert len(page_of(bad)) < 1_000_000


def test_all_is_drawn_up_to_the_limit() -> None:
    own = a_person(MOST_DRAWN)
    assert len(drawn_rows(own, own.stage <= 1)) == MOST_DRAWN


def test_two_hundred_resets() -> None:
    own = a_person(400)
    for row in range(40, 240):
        own.stage[row], own.reset[row] = STAGE["initialization"], RESETS.index("level change")
    page = page_of(own)
    assert len(drawn(page)["resets"][0]) == 202
    assert "200 level" in page


# ------------------------------------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"innovation": 0.3, "weight": 78.2}, "accepted: 0.3 kg above the expected 77.9 kg; up to 4.0 kg would"),
        ({"innovation": 0.0}, "accepted: just the expected weight"),
        ({"innovation": math.nan}, "accepted"),
        ({"innovation": -0.3, "allowed": math.nan}, "accepted: 0.3 kg below the expected 80.3 kg"),
        ({"stage": 0, "reset": 2}, "accepted: 1 days without an accepted reading, the filter starts anew here"),
        ({"stage": 0, "reset": 3, "weight": 88.2}, "accepted: a new level, 8.2 kg above the 80.0 kg before"),
        ({"stage": 0, "reset": 4, "weight": 74.0}, "accepted: entered by hand, 6.0 kg below the 80.0 kg before"),
        ({"stage": 2, "weight": 92.1, "filtered_weight": 77.8}, "92.1 kg is 14.3 kg above the expected 77.8 kg; up to"),
        ({"stage": 2, "weight": 81.0, "filtered_weight": 80.0}, "the readings around it speak against it"),
        ({"stage": 2, "weight": 60.0, "allowed": math.nan}, "rejected: 60.0 kg is 20.0 kg below the expected 80.0 kg"),
        ({"stage": 3, "weight": 900.0}, "rejected: 900.0 kg is no human weight (from 0.3 to 500 kg are possible)"),
        ({"stage": 4, "weight": 20.0}, "rejected: 20.0 kg at 1.72 m is a BMI of 6.8; from 10 to 100 are possible"),
        ({"stage": 4, "weight": math.nan}, "rejected: its unit is not one of weight"),
        ({"stage": 4, "weight": 70.0}, "rejected: 70.0 kg could not be prepared for the filter"),
        (
            {"stage": 5, "weight": 86.0, "quality": 0.42, "plausibility": 0.1, "consistency": 0.5},
            "quality 0.42, 0.45 is needed: far from the readings before (plausibility 0.10), a quick change (cons",
        ),
        ({"stage": 6}, "taken out afterwards"),
    ],
)
def test_words(values: dict[str, float], said: str) -> None:
    assert said in explain(set_row(a_person(), 5, **values), 5)


def test_a_user_begins_somewhere() -> None:
    assert explain(a_person(), 0) == "accepted: first reading, the filter starts here"


def test_compat_says_that_its_innovation_comes_after_the_update() -> None:
    words = explain(set_row(a_person(rules="compat"), 5, innovation=0.5), 5)
    assert words.startswith("accepted: 0.5 kg above the filtered")


@pytest.mark.parametrize(("row", "needed"), [(5, "0.45"), (19, "0.6"), (25, "0.45"), (39, "0.6")])
def test_while_the_filter_settles_in_less_quality_is_needed(row: int, needed: str) -> None:
    own = set_row(a_person(), row, stage=STAGE["quality_scoring"], quality=0.4)
    assert f", {needed} is needed" in explain(own, row)


def test_what_compat_does_not_say_of_a_rejected_reading_comes_from_the_one_before() -> None:
    own = set_row(a_person(), 5, stage=5, weight=110.0, filtered_weight=math.nan, innovation=math.nan, allowed=math.nan)
    assert "30.0 kg above the 80.0 kg before" in explain(own, 5)
    assert SEVERITIES[severities(own, np.array([5]))[0]] == "high"


@pytest.mark.parametrize(
    ("values", "category", "severity"),
    [
        ({"stage": 2, "weight": 110.0}, "extreme deviation", "high"),
        ({"stage": 2, "weight": 92.0}, "extreme deviation", "medium"),
        ({"stage": 2, "weight": 85.0}, "extreme deviation", "low"),
        ({"stage": 2, "weight": 89.0, "allowed": 1.0}, "extreme deviation", "high"),
        ({"stage": 3, "weight": 900.0}, "physiological limit", "critical"),
        ({"stage": 4, "weight": 20.0}, "impossible BMI", "critical"),
        ({"stage": 4, "weight": math.nan}, "unit", "critical"),
        ({"stage": 5, "safety": 0.0}, "bounds", "critical"),
        ({"stage": 5, "plausibility": 0.1}, "variance", "low"),
        ({"stage": 5, "consistency": 0.1}, "sustained change", "low"),
        ({"stage": 5, "reliability": 0.1}, "other", "low"),
        ({"stage": 6}, "retrospective", "low"),
    ],
)
def test_category_and_severity(values: dict[str, float], category: str, severity: str) -> None:
    own = set_row(a_person(), 5, **values)
    assert CATEGORIES[categories(own, np.array([5]))[0]] == category
    assert SEVERITIES[severities(own, np.array([5]))[0]] == severity
    page = page_of(own)
    assert f"<tr><th>{category}</th>" in page
    assert f'<i class="severity {severity}"></i>' in page


def test_a_change_within_a_day_is_a_daily_one() -> None:
    own = set_row(a_person(), 5, stage=5, consistency=0.1)
    own.time[5] = own.time[4] + 3_600_000_000
    assert CATEGORIES[categories(own, np.array([5]))[0]] == "daily change"


def test_before() -> None:
    own = a_person()
    assert before(own)[[0, 1, 3, 4, 5]].tolist() == [-1, 0, 2, 2, 4]
    assert before(replace(own, line=own.line[:0], stage=own.stage[:0])).tolist() == []


def test_times_for_people() -> None:
    ticks = np.array([0, 86_400_000_000 + 25_260_000_000, -60_000_000])
    assert times(ticks, days=False) == ["1970-01-01", "1970-01-02 07:01", "1969-12-31 23:59"]
    assert times(ticks[:2], days=True) == ["day 0", "day 1.29"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["v2", "compat"]), st.booleans(), st.sampled_from([FACTS, {}]))
def test_any_row_has_words_and_any_person_a_page(seed: int, rules: str, days: bool, facts: dict[str, float]) -> None:
    chance = np.random.default_rng(seed)
    odd = np.array([math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-300, 0.0, -0.0, 80.0, 79.0, 0.5])
    stage = chance.integers(0, len(STAGES), 12).astype(np.uint8)
    own = replace(
        a_person(12, rules=rules, days=days),
        stage=stage,
        reset=np.where(stage == 0, chance.integers(1, len(RESETS), 12), 0).astype(np.uint8),
        weight=chance.choice(odd, 12),
        out=chance.choice(odd, (len(FIELDS), 12)),
        facts=facts,
    )
    for row in range(12):
        assert re.match(r"(accepted|rejected|taken out)", explain(own, row))
    page = page_of(own)
    assert len(drawn(page)["t"]) == 12
    assert "nan" not in text_of(page.split('<script type="application/json"')[0])


# ------------------------------------------------------------------------------------------------ revisions


def revised() -> Person:
    own = set_row(a_person(), 10, stage=STAGE["retrospective"])
    windows = (
        Replay(0, int(own.time[8]), int(own.time[14]), 6, (10,), (("iqr", "modified_z"),), 80.9, 80.1, "applied"),
        Replay(0, int(own.time[30]), int(own.time[35]), 5, (31,), (("temporal",),), 80.0, 61.0, "refused: 19.0 kg <b>"),
    )
    changes = (
        Revision(10, 1, 6, 81.5, 80.2, 0.0, 0.0, 0),
        Revision(11, 1, 1, 81.0, 80.2, 0.0, 0.0, 0),
        Revision(37, 1, 2, 81.0, math.nan, 0.0, 0.0, -1),
    )
    return replace(own, replays=windows, revisions=changes)


def test_revisions_are_marked_listed_and_told() -> None:
    own = revised()
    page = page_of(own)
    assert drawn(page)["revised"] == [[10, 11, 37], [1, 1, 1], [81.5, 81.0, 81.0]]
    words = re.sub(r"\s+", " ", text_of(page))
    assert "taken out afterwards, found by iqr, modified z, in the window 2024-10-12 to 2024-10-18 of 6" in words
    assert "refused: 19.0 kg <b>" in words
    assert "accepted → taken out" in words
    assert "81.5 → 80.2" in words
    assert "81.0 → –" in words
    assert "readings that came later" in words
    assert explain(own, 11).endswith("; revised: the filtered weight was 81.0 kg before")
    assert explain(own, 37).endswith("; revised: was accepted before")


def test_a_user_with_nothing_revised_has_no_such_table() -> None:
    assert "Looked at again" not in page_of(a_person())


# ------------------------------------------------------------------------------------------------ in a browser

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    library = plotly_js()
    if library is None:
        pytest.skip("plotly is not installed")
    for name, content in shared_assets().items():
        (tmp_path / name).write_bytes(content)
    shutil.copy(library, tmp_path)
    folder = tmp_path / "users"
    folder.mkdir()
    (folder / "u.html").write_bytes(user_page(set_row(revised(), 3, weight=400.0), Neighbours(), mark="m"))
    seen = subprocess.run(
        [
            str(CHROMIUM),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--window-size=1200,1000",
            "--virtual-time-budget=8000",
            "--dump-dom",
            (folder / "u.html").as_uri() + "#paper",
        ],
        capture_output=True,
        timeout=120,
        check=True,
        text=True,
    ).stdout
    words = text_of(seen.split('<script type="application/json"')[0])
    assert "gap 62 d" in words
    assert ">400<" in seen  # an arrow at the edge with its weight
    for panel in ("trend, kg/week", "reading minus expectation, kg", "plausibility"):
        assert panel in words
    for entry in ("filtered weight", "±2 standard deviations", "scale 36", "rejected, high 3", "reset 1", "revised 3"):
        assert entry in re.sub(r"\s+", " ", words)
    assert seen.count('class="scatterlayer') == 4


# ------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "user",
    [
        "../../evil",
        "a/b",
        "a\\b",
        "x" * 1000,
        "..",
        ".",
        "",
        "con",
        "Anna",
        "nul",
        "a b",
        "a\0b",
        "é",
        "a~b",
        "CON",
        "-x",
    ],
)
def test_file_names_are_safe(user: str) -> None:
    name = page_name(user)
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*(~[0-9a-f]{16})?\.html", name)
    assert len(name) < 90
    assert name not in {"con.html", "nul.html"}


@given(st.text(max_size=12), st.text(max_size=12))
def test_different_users_have_different_names(one: str, other: str) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    for first, second in ((one, other), (one, one.swapcase())):
        assert (page_name(first).lower() == page_name(second).lower()) == (first == second)


def test_a_plain_id_keeps_its_name() -> None:
    assert page_name("32db8801-d2d1-0d2c-f98c-ecde300759c2") == "32db8801-d2d1-0d2c-f98c-ecde300759c2.html"


def test_a_file_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_whole(tmp_path / "x", "text")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
