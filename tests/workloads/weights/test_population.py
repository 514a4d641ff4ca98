"""The population report: counts that add up, however they were cut, and a page that tells them as chart and table."""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("orjson")
sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package


from drawn import chunk_of, rows_of_users  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from raddle.workloads.weights.pages.counts import CAUSES, INTERVALS, QUALITIES, SHARES  # noqa: E402
from raddle.workloads.weights.pages.figures_population import INTERVAL_NAMES, SHARE_NAMES, expected  # noqa: E402
from raddle.workloads.weights.pages.periods import periods, series  # noqa: E402
from raddle.workloads.weights.pages.population import (  # noqa: E402
    count_chunk,
    merge_counts,
    no_counts,
    population_page,
)
from raddle.workloads.weights.values import DAY  # noqa: E402

NASTY = "</script><script>alert(1)</script><!--\"'&\u2028 ${x} $x %{y}"


def sums(counts: Any) -> dict[str, int]:
    stages = [
        sum(column)
        for column in zip(*(own for cells in counts["cells"].values() for own in cells.values()), strict=True)
    ]
    return {
        "rows": sum(stages),
        "rejected": sum(stages[2:]),
        "causes": sum(counts["causes"]),
        "quality": sum(map(sum, counts["quality"])),
        "quality of rejected": sum(counts["quality"][1]),
        "users": sum(counts["shares"]),
    }


def page_of(counts: Any, **options: Any) -> str:
    given = {"title": "in.csv", "days": False, "rows_read": 10, "rejected": {}}
    return population_page(counts, **{**given, **options}).decode()


def charts_of(page: str) -> Any:
    found = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def tables_of(page: str) -> list[list[list[str]]]:
    """Return the cells of every table."""
    return [
        [
            [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        ]
        for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL)
    ]


@given(rows_of_users, st.booleans())
def test_every_row_is_counted_once(users: Any, days: bool) -> None:
    chunk, filtered = chunk_of(users, days=days)
    counts = count_chunk(chunk, filtered)
    rows, rejected = len(filtered.stage), int((filtered.stage > 1).sum())
    assert sums(counts) == {
        "rows": rows,
        "rejected": rejected,
        "causes": rejected,
        "quality": rows,
        "quality of rejected": rejected,
        "users": len(users),
    }
    assert (counts["users"], counts["rows"], counts["unused"]) == (len(users), rows, len(users))
    assert sum(counts["intervals"]) == sum(max(0, len(own) - 1) for _, own in users)
    assert sum(sum(kinds) for kinds in counts["resets"].values()) == int((filtered.reset > 0).sum())
    assert json.loads(json.dumps(counts)) == counts


@given(rows_of_users, st.data())
def test_counts_are_the_same_whatever_the_chunking_and_the_order_of_adding(users: Any, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(users)), min_size=2, max_size=2)))
    a, b, c = (count_chunk(*chunk_of(users[low:high])) for low, high in pairwise((0, *cuts, len(users))))
    whole = count_chunk(*chunk_of(users))
    kept = json.dumps([a, b, c])
    assert merge_counts(merge_counts(a, b), c) == whole
    assert merge_counts(a, merge_counts(b, c)) == whole
    assert merge_counts(c, merge_counts(a, b)) == whole
    assert merge_counts(no_counts(), whole) == whole == merge_counts(whole, no_counts())
    assert json.dumps([a, b, c]) == kept
    assert page_of(merge_counts(c, merge_counts(a, b))) == page_of(whole)


def test_no_chunk_is_no_counts() -> None:
    chunk, filtered = chunk_of([])
    assert count_chunk(chunk, filtered) == no_counts()
    assert page_of(None) == page_of(no_counts())


@pytest.mark.parametrize(
    ("stage", "kg", "cause"),
    [
        (6, 154.0, "taken back by the retrospective pass"),
        (2, 154.3, "pounds taken for kilograms"),
        (3, 31.75, "kilograms taken for pounds"),
        (3, 700.0, "decimal point in the wrong place"),
        (5, 7.0, "decimal point in the wrong place"),
        (3, 500.0, "no human weight"),
        (4, 20.0, "no human weight"),
        (2, 90.0, "heavier than expected"),
        (5, 60.0, "lighter than expected"),
    ],
)
def test_what_a_rejected_reading_looks_like(stage: int, kg: float, cause: str) -> None:
    counts = count_chunk(*chunk_of([("a", [(0, kg, 0, stage)])]))
    assert counts["causes"][CAUSES.index(cause)] == 1


def test_rules_that_do_not_tell_what_they_expected() -> None:
    users = [("a", [(0, 70.0, 0, 1), (DAY, 154.0, 0, 5)]), ("b", [(0, 154.0, 0, 5)])]
    chunk, filtered = chunk_of(users)
    filtered.out[0][filtered.stage > 1] = np.nan
    causes = count_chunk(chunk, filtered)["causes"]
    assert (causes[CAUSES.index("pounds taken for kilograms")], causes[-1]) == (1, 1)


def test_a_reading_that_nothing_is_known_about() -> None:
    chunk, filtered = chunk_of([("a", [(0, 80.0, 0, 5)])])
    filtered.out[:] = np.nan
    counts = count_chunk(chunk, filtered)
    assert counts["causes"][-1] == 1
    assert counts["quality"][1][QUALITIES - 1] == 1


@pytest.mark.parametrize(("rejected", "place"), [(0, 0), (1, 1), (2, 2), (5, 3), (6, 4), (20, 5), (50, 6), (51, 7)])
def test_users_by_share_rejected(rejected: int, place: int) -> None:
    rows = [(at * DAY, 70.0, 0, 2 if at < rejected else 1) for at in range(100)]
    shares = count_chunk(*chunk_of([("a", rows), ("b", [])]))["shares"]
    assert shares[place] == shares[-1] == 1
    assert len(SHARE_NAMES) == len(SHARES) + 1 == len(shares) - 1


@pytest.mark.parametrize(("hours", "place"), [(0, 0), (11, 0), (12, 1), (48, 2), (30 * 24, 3), (31 * 24, 4), (9000, 6)])
def test_time_between_readings(hours: int, place: int) -> None:
    rows = [(hours * DAY // 24, 70.0, 0, 1), (0, 70.0, 0, 1)]  # compat takes rows as the file has them
    intervals = count_chunk(*chunk_of([("a", rows)]))["intervals"]
    assert intervals[place] == 1
    assert len(INTERVAL_NAMES) == len(INTERVALS) + 1 == len(intervals)


@pytest.mark.parametrize(
    ("day", "days", "month"),
    [
        (0, False, "0"),
        (30, False, "0"),
        (31, False, "1"),
        (365, False, "12"),
        (-1, False, "-1"),
        (30, True, "0"),
        (31, True, "1"),
        (1461, True, "48"),
        (-1, True, "-1"),
    ],
)
def test_months(day: int, days: bool, month: str) -> None:
    counts = count_chunk(*chunk_of([("a", [(day * DAY, 70.0, 1, 1)])], days=days))
    assert counts["cells"] == {"upload": {month: [0, 1, 0, 0, 0, 0, 0]}}


@given(
    st.dictionaries(st.integers(-3_000, 30_000), st.integers(1, 5_000), min_size=1, max_size=60),
    st.booleans(),
)
def test_periods_hold_every_row_once(rows: dict[int, int], days: bool) -> None:
    cut = periods(rows, days=days)
    found = series({str(month): [count] for month, count in rows.items()}, cut, 1)
    assert sum(count for (count,) in found) == sum(rows.values())
    assert len(cut) <= 203
    drawn = [period for period in cut if period.x is not None]
    assert all(one.end == other.first for one, other in pairwise(drawn))
    assert len({period.label for period in cut}) == len(cut)
    strays = sum(count for (count,), period in zip(found, cut, strict=True) if period.x is None)
    assert strays <= sum(rows.values()) / 500


def test_one_wrong_year_does_not_make_the_chart_a_line() -> None:
    rows = dict.fromkeys(range(600, 636), 1000)
    cut = periods({**rows, -800: 3, 2000: 1}, days=False)
    assert [period.label for period in cut[:2]] == ["before", "2020-01"]
    assert (cut[-1].label, len(cut)) == ("after", 38)


@pytest.mark.parametrize(
    ("length", "days", "labels"),
    [
        (3, False, ["1970-01", "1970-02", "1970-03"]),
        (100, False, ["1970 Q1", "1970 Q2", "1970 Q3"]),
        (300, False, ["1970", "1971", "1972"]),
        (2000, False, ["1970 to 1979", "1980 to 1989", "1990 to 1999"]),
        (3, True, ["day 0 to 30", "day 30 to 61", "day 61 to 91"]),
        (100, True, ["year 0 to 0.25", "year 0.25 to 0.5", "year 0.5 to 0.75"]),
    ],
)
def test_periods_are_named(length: int, days: bool, labels: list[str]) -> None:
    assert [period.label for period in periods(dict.fromkeys(range(length), 10), days=days)][:3] == labels


def test_charts_and_tables_tell_the_same() -> None:
    chunk, filtered = chunk_of(
        [
            (
                "a",
                [
                    (at * DAY * 9, 70.0 + (80 if at % 10 == 3 else 0), at % 2, 2 if at % 10 == 3 else 1)
                    for at in range(100)
                ],
            )
        ]
    )
    page = page_of(count_chunk(chunk, filtered), rows_read=104, rejected={"no_weight": 3, "bad_time": 1, "where": 0})
    charts, tables = charts_of(page), tables_of(page)
    time = next(table for table in tables if table[0] == ["period", "readings", "accepted", "rejected", "share"])
    assert [int(row[2].replace(",", "")) for row in time[1:]] == charts["time"]["data"][0]["y"]
    assert [int(row[3].replace(",", "")) for row in time[1:]] == charts["time"]["data"][1]["y"]
    sources = next(table for table in tables if table[0][0] == "source")
    assert sources[1:] == [
        ["scale", "50", "50", "0", "0", "0.0 %", "0.0", "20.0"],
        ["upload", "50", "40", "10", "10", "20.0 %", "200.0", "20.0"],
    ]
    assert charts["sources"]["data"][0]["x"] == [0.0, 200.0]
    assert [choice["name"] for choice in charts["time"]["choices"]] == ["all sources", "scale", "upload"]
    reasons = next(table for table in tables if table[0][0] == "rows that were not used")
    assert reasons[1:] == [["no weight", "3", "75.0 %"], ["time missing or not readable", "1", "25.0 %"]]
    shown = {chart for chart in charts if f'data-figure="{chart}"' in page}
    assert shown == set(charts)
    assert page.count('role="img"') == page.count("data-figure=") == 7


def test_known_sources_have_their_own_expectation() -> None:
    assert (expected("https://api.iglucose.com"), expected("care-team-upload"), expected("?")) == (151.4, 3.6, 20.0)


def test_text_of_strangers_stays_text() -> None:
    chunk, filtered = chunk_of([("a", [(0, 70.0, 0, 1), (DAY, 70.0, 1, 2)])])
    counts = count_chunk(chunk, filtered)
    counts["cells"] = {
        NASTY: counts["cells"]["scale"],
        "\ud800": counts["cells"]["upload"],
        "": counts["cells"]["scale"],
    }
    page = page_of(counts, title=NASTY, rejected={NASTY: 2})
    assert page.count("<script") == page.count("</script>") == 3
    assert "alert(1)</script>" not in page
    text = page.partition('<script type="application/json"')[0]
    assert text.count("&lt;/script&gt;&lt;script&gt;alert(1)") == 4  # title, heading, source, reason
    names = [choice["name"] for choice in charts_of(page)["time"]["choices"]]
    assert NASTY in names
    assert "(no source)" in names
    assert all("<" not in name for name in charts_of(page)["sources"]["data"][0]["customdata"])  # Plotly reads markup


def test_many_sources_end_in_others() -> None:
    cells = {f"s{at:04}": {"0": [0, 1000 - at, at, 0, 0, 0, 0]} for at in range(300)}
    page = page_of({**no_counts(), "cells": cells})
    sources = next(table for table in tables_of(page) if table[0][0] == "source")
    assert len(sources) == 61
    assert sources[-1][:2] == ["241 other sources", "241,000"]
    assert charts_of(page)["sources"]["rows"] == 14
    assert len(page) < 60_000
