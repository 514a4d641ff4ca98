"""Entries through a provider into rows: order, statuses, resume, files that are whole or not there."""

from __future__ import annotations

import asyncio
import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

import raddle
from raddle.errors import ConfigError, MissingExtra
from raddle.journal.history import History
from raddle.workloads.classify.batch.inputs import Catalogue, Entry
from raddle.workloads.classify.batch.outputs import FIELDS, label_fields, output_row, writer
from raddle.workloads.classify.batch.run import BatchOptions, Totals, run_batch
from raddle.workloads.classify.errors import InvalidAnswer
from raddle.workloads.classify.values import Label, Product, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Fake:
    """Labels by what the name says; counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def label(self, product: Product) -> Label:
        self.asked.append(product.id)
        if product.name == "hang":
            await asyncio.Event().wait()
        if product.name == "wrong":
            raise InvalidAnswer("no JSON")
        if product.name == "bug":
            raise KeyError("oh")
        if product.name == "late":
            for _ in range(50):
                await asyncio.sleep(0)
        return Label(
            category=product.name.upper(),
            confidence=0.98765,
            margin=0.5,
            style_tags=("a", "b"),
            cached=product.name == "known",
            usage=Usage(1, 10, 2),
        )

    async def aclose(self) -> None:
        pass


def entry(place: int, name: str, **more: Any) -> Entry:
    return Entry(id=str(place), key=str(place), product=Product(id=str(place), name=name, text=name), **more)


def label_all(
    entries: Iterable[Entry], fake: Fake | None = None, **options: Any
) -> tuple[list[dict[str, Any]], Totals]:
    rows: list[dict[str, Any]] = []
    chosen = BatchOptions(**{"name": "test", "workers": 8} | options)
    return rows, asyncio.run(run_batch(fake or Fake(), entries, chosen, rows.append))


def test_rows_come_in_the_order_of_the_input_with_their_status() -> None:
    names = ["late", "sofa", "wrong", "bug", "late", "known", "hang"]
    entries = [entry(place, name) for place, name in enumerate(names)]
    entries.insert(2, Entry(id="x", key="x", error="line 4: not JSON"))
    rows, totals = label_all(entries, timeout=1)
    assert [row["id"] for row in rows] == ["0", "1", "x", "2", "3", "4", "5", "6"]
    assert [row["status"] for row in rows] == [
        *("ok", "ok", "invalid", "failed", "failed", "ok", "ok", "timed_out"),
    ]
    assert [row["category"] for row in rows][:3] == ["LATE", "SOFA", None]
    assert rows[1]["confidence"] == 0.9877
    assert rows[2]["error"] == "line 4: not JSON"
    assert rows[3]["error"] == "no JSON"
    assert "KeyError" in rows[4]["error"]
    assert rows[7]["error"]
    assert all(list(row) == list(FIELDS) for row in rows)
    assert totals.statuses == {"ok": 4, "invalid": 1, "failed": 2, "timed_out": 1}
    assert totals.categories == {"LATE": 2, "SOFA": 1, "KNOWN": 1}
    assert (totals.items, totals.cached, totals.calls, totals.input_tokens) == (8, 1, 4, 40)
    assert not totals.all_ok
    assert json.loads(json.dumps(totals.as_dict()))["items"] == 8


def test_a_provider_that_cannot_work_ends_the_run() -> None:
    class Without(Fake):
        async def label(self, product: Product) -> Label:
            raise MissingExtra("onnxruntime", "classify")

    with pytest.raises(ConfigError, match=r"pip install 'raddle\[classify\]'"):
        label_all([entry(place, "sofa") for place in range(5)], Without())


def test_the_first_that_fails_ends_it_when_asked() -> None:
    entries = [entry(0, "wrong"), *(entry(place, "sofa") for place in range(1, 200))]
    rows, totals = label_all(entries, on_error="fail", workers=1)
    assert [row["id"] for row in rows] == [str(place) for place in range(len(rows))]
    assert totals.statuses["failed"] == 1
    assert totals.statuses["cancelled"] > 0
    assert rows[-1]["status"] == "cancelled"


def test_a_provider_that_says_slow_down_is_asked_again() -> None:
    class Busy(Fake):
        async def label(self, product: Product) -> Label:
            if len(self.asked) < 3:
                self.asked.append(product.id)
                raise raddle.Rejected("429", retry_after=0.001)
            return await super().label(product)

    rows, totals = label_all([entry(0, "sofa")], Busy())
    assert rows[0]["status"] == "ok"
    assert totals.all_ok


def test_what_the_journal_has_is_not_done_again(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    entries = [entry(0, "sofa"), entry(1, "wrong"), entry(2, "bed")]
    first = Fake()
    rows, _ = label_all(entries, first, journal=journal)
    second = Fake()
    again, totals = label_all([*entries, entry(3, "desk")], second, journal=journal, resume=True)
    assert second.asked == ["3"]
    assert again[:3] == rows
    assert (totals.resumed, totals.calls) == (3, 1)
    third = Fake()
    _, totals = label_all(entries, third, journal=journal, resume="failed")
    assert third.asked == ["1"]
    assert totals.statuses == {"ok": 2, "failed": 1}
    history = History(journal)
    assert {row.label for made in history.runs() for row in history.outcomes(made.id)} == {
        "0 sofa",
        "1 wrong",
        "2 bed",
        "3 desk",
    }


def test_duplicates_are_labelled_and_flagged(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,name\n7,Sofa\n7,Sofa\n7,Bed\n")
    rows, totals = label_all(Catalogue(path=path), journal=tmp_path / "j")
    assert [(row["id"], row["category"], row["flags"]) for row in rows] == [
        ("7", "SOFA", []),
        ("7", "SOFA", ["duplicate_id"]),
        ("7", "BED", ["duplicate_id"]),
    ]
    assert totals.all_ok


def test_half_a_surrogate_pair_does_not_stop_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "\\ud800", "name": "\\udfff"}\n{"name": "Sofa"}\n')
    rows, totals = label_all(Catalogue(path=path), journal=tmp_path / "j")
    assert totals.statuses == {"ok": 2}
    again, totals = label_all(Catalogue(path=path), journal=tmp_path / "j", resume=True)
    assert again == rows
    assert totals.resumed == 2


def test_a_source_is_not_read_far_ahead() -> None:
    read = 0

    def many() -> Any:
        nonlocal read
        for place in range(100_000):
            read += 1
            yield entry(place, "wrong" if place == 10 else "sofa")

    label_all(many(), on_error="fail")
    assert read < 5000


# ---------------------------------------------------------------------------------------------------------- outputs

ROW = output_row(
    id="1", status="ok", name='=SUM("a")', **label_fields(Label(category="SOFA", confidence=1.0, style_tags=("a", "b")))
)


@pytest.mark.parametrize("name", ["out.csv", "out.tsv"])
def test_cells(tmp_path: Path, name: str) -> None:
    with writer(tmp_path / name) as write:
        write(ROW)
        write(output_row(id="2", status="invalid", error="two\nlines"))
        assert [path.name for path in tmp_path.iterdir()] == [f"{name}.part"]
    with (tmp_path / name).open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if name.endswith("tsv") else ","))
    assert tuple(rows[0]) == FIELDS
    assert rows[0]["style_tags"] == "a; b"
    assert rows[0]["name"] == '=SUM("a")'
    assert rows[1]["error"] == "two\nlines"
    assert rows[1]["category"] == rows[1]["confidence"] == rows[1]["flags"] == ""
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_json_lines(tmp_path: Path) -> None:
    with writer(tmp_path / "out.jsonl") as write:
        write(ROW)
    assert json.loads((tmp_path / "out.jsonl").read_text()) == ROW


def test_half_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    for name in ("out.jsonl", "out.csv"):
        with writer(tmp_path / name) as write:
            write(output_row(id="\ud800", status="ok"))
        assert (tmp_path / name).read_text(encoding="utf-8")


def test_an_output_that_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")

    def broken() -> None:
        with writer(out) as write:
            write(ROW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert out.read_text() == "before"


def test_an_output_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv, \.tsv, \.jsonl or \.ndjson"), writer(tmp_path / "out.xlsx"):
        pass
    assert not list(tmp_path.iterdir())
