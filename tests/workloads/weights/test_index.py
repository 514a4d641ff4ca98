"""The index: a small row for each user, the same whatever the chunking, and a page that nothing breaks out of."""

from __future__ import annotations

import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("orjson")
sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package


from drawn import chunk_of, rows_of_users  # noqa: E402
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from raddle.workloads.weights.files import page_name  # noqa: E402
from raddle.workloads.weights.ingest.fields import REASONS  # noqa: E402
from raddle.workloads.weights.pages.counts import INGEST_REASONS  # noqa: E402
from raddle.workloads.weights.pages.index import (  # noqa: E402
    COLUMNS,
    failed_row,
    index_assets,
    index_page,
    index_rows,
)
from raddle.workloads.weights.values import DAY, FIELDS, Chunk, Filtered  # noqa: E402

NASTY = "</script><script>alert(1)</script><!--\"'&\u2028 ${x} $x %{y}"


class Parsed(HTMLParser):
    """The scripts of a page and the text outside of them; asserts that all that is opened is closed."""

    VOID = frozenset({"meta", "link", "input"})

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        else:
            self.text += data


def rows_of(chunk: Chunk, filtered: Filtered, revisions: dict[int, int] | None = None) -> list[list[Any]]:
    return index_rows(chunk, filtered, [page_name(user) for user in chunk.users], revisions or {})


def told(row: list[Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, row, strict=True))


def page_of(rows: list[list[Any]], **options: Any) -> bytes:
    given = {"title": "in.csv", "days": False, "rows_read": 10, "rejected": {}}
    return index_page(rows, **{**given, **options})


def test_a_row_tells_all() -> None:
    days = [(day * DAY, 80 + day / 10, 0, 1) for day in range(31)]
    days[10] = (10 * DAY, 170.0, 0, 2)
    chunk, filtered = chunk_of([("a", days), ("B", []), ("c", [(5 * DAY, 900.0, 0, 3)])])
    filtered.reset[:] = 0
    filtered.reset[[0, 5, 9]] = (1, 2, 3)
    filtered.out[FIELDS.index("quality")] = np.where(np.arange(32) < 31, 0.8, np.nan)
    first, second, third = (told(row) for row in rows_of(chunk, filtered, {0: 4}))
    course = first.pop("course")
    assert first == {
        "user": "a",
        "name": 0,
        "readings": 31,
        "rejected": 1,
        "unused": 1,
        "kg": 83.0,
        "trend": 0.07,
        "change": 3.0,
        "first": 0,
        "last": 30,
        "quality": 80,
        "resets": 2,
        "revisions": 4,
    }
    assert len(course) == 32
    assert list(course) == sorted(course)
    assert (course[0], course[-1]) == ("0", "z")
    assert (second["name"], second["readings"], second["first"], second["kg"], second["course"]) == (
        page_name("B"),
        0,
        None,
        None,
        "",
    )
    assert (third["rejected"], third["change"], third["trend"], third["quality"], third["last"]) == (
        1,
        None,
        None,
        None,
        5,
    )


def test_a_course_goes_by_time_not_by_number() -> None:
    early = [(day * DAY, 80.0, 0, 1) for day in range(100)]
    chunk, filtered = chunk_of([("a", [*early, (1000 * DAY, 100.0, 0, 1)])])
    course = told(rows_of(chunk, filtered)[0])["course"]
    assert course[:3] == "000"
    assert len(set(course)) > 20


def test_newborns_are_told_to_10_grams_and_nothing_is_minus_zero() -> None:
    chunk, filtered = chunk_of([("a", [(0, 3.456, 0, 1), (DAY, 3.4561, 0, 1)])], days=True)
    filtered.states[0, 1] = -1e-9
    row = told(rows_of(chunk, filtered)[0])
    assert (row["kg"], row["change"]) == (3.46, 0.0)
    assert "-0.0" not in json.dumps(row)


@given(rows_of_users, st.data())
def test_rows_are_the_same_whatever_the_chunking(users: Any, draw: st.DataObject) -> None:
    whole = rows_of(*chunk_of(users))
    cut = draw.draw(st.integers(0, len(users)))
    pieces = [rows_of(*chunk_of(piece)) for piece in (users[:cut], users[cut:])]
    assert pieces[0] + pieces[1] == whole
    assert json.loads(json.dumps(whole)) == whole
    for row, (_, own) in zip(map(told, whole), users, strict=True):
        assert row["readings"] == len(own)
        assert row["rejected"] == sum(stage > 1 for *_, stage in own)


def test_rows_in_any_order_give_the_same_course() -> None:
    days = [(day * DAY, 80 + day % 9, 0, 1) for day in range(50)]
    courses = {told(rows_of(*chunk_of([("a", rows)]))[0])["course"] for rows in (days, days[::-1])}
    assert len(courses) == 1


def test_totals_stand_in_the_tiles_and_failures_in_the_list() -> None:
    chunk, filtered = chunk_of([("a", [(0, 70.0, 0, 1), (DAY, 170.0, 0, 2)])])
    rows = [*rows_of(chunk, filtered, {0: 3}), failed_row("b", "b.html", readings=7, unused=2)]
    page = Parsed(page_of(rows, rows_read=12, rejected={"no_weight": 3, "new_reason": 1}))
    listed = json.loads(page.scripts[0])
    assert listed["columns"] == list(COLUMNS)
    assert listed["rows"] == rows
    assert told(listed["rows"][1])["rejected"] is None
    for text in (
        "1 failed",
        "12",
        "4 not used",
        "50.0 % of the readings",
        "4 rows not used",
        "no weight",
        "new reason",
        "of 1 user",
    ):
        assert text in page.text
    assert page.text.index("no weight") < page.text.index("new reason")


@pytest.mark.parametrize("user", [NASTY, "x" * 1000, "\u05d0\u05d1\u05d2 \u202e", "\ud800", "", "a/b", "<b>"])
def test_ids_of_strangers_stay_text(user: str) -> None:
    page = page_of([failed_row(user, "x~1.html")], title=NASTY, rejected={NASTY: 1})
    parsed = Parsed(page)
    assert len(parsed.scripts) == 2
    assert parsed.scripts[1] == ""
    assert json.loads(parsed.scripts[0])["rows"][0][0] == user
    assert parsed.text.count(NASTY) == 4  # title, heading, the reason twice
    assert parsed.tags.count("b") == 5  # figures of the tiles


def test_nothing_at_all_is_a_page_too() -> None:
    assert "Every row was used." in Parsed(page_of([])).text


def test_a_user_costs_little_and_the_same_rows_give_the_same_bytes() -> None:
    days = [(day * DAY * 2 + 1_640_995_200_000_000, 80 + day % 13 / 10, 0, 1) for day in range(300)]
    users = [(f"{at:08x}-0000-4000-8000-000000000000", days) for at in range(200)]
    rows = rows_of(*chunk_of(users))
    page = page_of(rows)
    assert (len(page) - len(page_of([]))) / len(users) < 150
    assert page_of(rows) == page


def test_every_reason_of_the_reader_has_words() -> None:
    assert set(REASONS) - {""} <= set(INGEST_REASONS)


def test_assets_are_all_that_the_pages_link_to() -> None:
    page = page_of([]).decode()
    assert set(index_assets()) == {"index.css", "index.js", "population.js"}
    assert {"page.css", "index.css", "index.js"} <= {
        part.split('"')[0] for part in page.replace("src", "href").split('href="')
    }
    assert all(content for content in index_assets().values())
