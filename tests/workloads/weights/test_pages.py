"""Pages: escaped, small, the same bytes every time, under names that are safe anywhere."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raddle.workloads.weights.figure import figure
from raddle.workloads.weights.files import page_name, write_whole
from raddle.workloads.weights.filter import filter_user
from raddle.workloads.weights.index import index_page, user_row
from raddle.workloads.weights.pages import failed_page, user_page
from raddle.workloads.weights.values import PageJob, Readings
from raddle.workloads.weights.work import draw, is_drawn, make_job

if TYPE_CHECKING:
    from pathlib import Path

NASTY = "</script><script>alert(1)</script><!--\"'&\u2028 ${x} $x %{y}"


def readings(user: str = "u", source: str = "patient-device", *, count: int = 40, days: bool = False) -> Readings:
    scale = 1 if days else 86_400_000_000
    return Readings(
        user=user,
        lines=tuple(range(2, count + 2)),
        times=tuple((20_000 + day + (60 if day > count // 2 else 0)) * scale for day in range(count)),
        weights_kg=tuple(80.0 + (30 if day % 17 == 3 else 0.1 * (day % 3)) for day in range(count)),
        sources=(0,) * count,
        source_names=(source,),
        days=days,
        unused=3,
    )


def page_of(own: Readings) -> str:
    page = PageJob("users", page_name(own.user), "", "b~1.html")
    return user_page(own, filter_user(own), page, mark="m").decode()


def embedded(page: str) -> Any:
    return json.loads(re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', page, re.DOTALL)[0])


@pytest.mark.parametrize("days", [True, False])
def test_a_page_tells_all(days: bool) -> None:
    own = readings(days=days)
    page = page_of(own)
    traces = {trace["name"]: trace for trace in embedded(page)["data"]}
    assert len(traces["patient-device"]["x"]) + len(traces["rejected"]["x"]) == 40
    assert {"±2 standard deviations", "filtered weight", "across a restart", "filter restarted", "trend"} <= set(traces)
    assert "62 days without an accepted reading" in traces["filter restarted"]["customdata"][0]
    assert '<a rel="next" href="b~1.html">' in page
    assert "3 more rows could not be used" in page
    assert re.search(r"[+]\d\d[.]\d kg from the expected 8\d[.]\d kg; up to [34][.]\d kg is believed", page)
    assert len(page) < 40_000


def test_text_of_strangers_stays_text() -> None:
    own = readings(NASTY, NASTY)
    page = page_of(own)
    assert "alert(1)</script>" not in page.replace("&lt;/script&gt;", "")
    assert page.count("<script") == 3
    assert page.count("</script>") == 3
    assert unescape(re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)[0]) == NASTY
    names = [trace["name"] for trace in embedded(page)["data"]]
    assert any(name.startswith("&lt;/script&gt;") for name in names)
    index = index_page(
        [user_row(own, filter_user(own), page_name(NASTY))], title=NASTY, days=False, rows_read=1, rejected={}
    ).decode()
    assert index.count("<script") == 2
    assert embedded(index)["rows"][0][0] == NASTY
    failed = failed_page(NASTY, PageJob("users", "x.html"), status="failed", error=NASTY).decode()
    assert "<script>" not in failed


def test_the_same_data_gives_the_same_bytes() -> None:
    assert page_of(readings()) == page_of(readings())


def test_readings_far_off_are_arrows_at_the_edge_that_tell_their_weight() -> None:
    own = readings()
    weights = (*own.weights_kg[:20], 400.0, *own.weights_kg[21:])
    own = Readings(own.user, own.lines, own.times, weights, own.sources, own.source_names, own.days)
    drawn = figure(own, filter_user(own))
    low, high = drawn["layout"]["yaxis"]["range"]
    rejected = next(trace for trace in drawn["data"] if trace["name"] == "rejected")
    assert all(low <= kilograms <= high for kilograms in rejected["y"])
    at = [facts[1] for facts in rejected["customdata"]].index(400.0)
    assert rejected["marker"]["symbol"][at] == "triangle-up"


@pytest.mark.parametrize("weights", [(70.0,), (900.0,), (900.0, 0.1), (70.0, 70.0)])
def test_hardly_any_data_is_a_page_too(weights: tuple[float, ...]) -> None:
    own = readings(count=len(weights))
    own = Readings(own.user, own.lines, own.times, weights, own.sources, own.source_names, own.days)
    assert "<h1>u</h1>" in page_of(own)


def test_many_sources_share_the_last_colour() -> None:
    own = readings(count=40)
    own = Readings(
        own.user,
        own.lines,
        own.times,
        (80.0,) * 40,
        tuple(n % 20 for n in range(40)),
        tuple(f"s{n}" for n in range(20)),
        own.days,
    )
    traces = [trace for trace in figure(own, filter_user(own))["data"] if "marker" in trace]
    assert len(traces) == 6
    assert traces[-1]["name"] == "other sources"
    assert sum(len(trace["x"]) for trace in traces) == 40


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


def test_a_page_shows_what_it_was_drawn_from(tmp_path: Path) -> None:
    page = PageJob(str(tmp_path), "u.html", "a.html", "b.html")
    job = make_job(readings(), page)
    assert not is_drawn(job)
    draw(job, filter_user(job.readings))
    assert is_drawn(job)
    assert not is_drawn(make_job(readings(count=39), page))
    assert not is_drawn(make_job(readings(), PageJob(str(tmp_path), "u.html", "a.html", "c.html")))
    assert [path.name for path in tmp_path.iterdir()] == ["u.html"]


def test_a_file_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_whole(tmp_path / "x", "text")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
