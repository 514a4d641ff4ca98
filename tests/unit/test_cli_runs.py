"""`raddle runs`."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pytest

import raddle
from raddle.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def odd(n: int) -> dict[str, object]:
    if n % 5 == 0:
        raise ValueError(f"n={n}\x1b[2J")
    return {"n": n, "more": {"set"}} if n == 1 else {"n": n}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A journal with two runs: `first`, all ok, and `second`, 4 of 20 failed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RADDLE_JOURNAL", raising=False)
    for name, items in (("first", range(1, 5)), ("second", range(20))):
        with raddle.run(odd, items, backend="threads", workers=2, journal="raddle.db", name=name, retry=0) as run:
            assert len(list(run)) == len(items)
    return str(tmp_path / "raddle.db")


def test_list(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list"]) == 0  # ./raddle.db is the default
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["id", "name", "state", "started"]
    assert first.split()[1:3] == ["first", "ended"]
    assert " 16  4       20  threads 2" in second
    assert main(["runs", "list", "--json", "--journal", journal]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["name"], run["counts"]) for run in found] == [
        ("first", {"ok": 4}),
        ("second", {"ok": 16, "failed": 4}),
    ]


def test_show(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", "--journal", journal]) == 0  # the latest
    text = capsys.readouterr().out
    assert "run        second (id 2" in text
    assert "items      16 ok, 4 failed of 20" in text
    assert "4 failed ValueError, such as item 0 0: n=0 [2J" in text
    assert "\x1b" not in text
    assert main(["runs", "show", "first", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["total"], found["failures"]) == ("first", 4, [])


def test_failures(journal: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "failures", "second", "--limit", "2", "--traceback"]) == 0
    shown = capsys.readouterr()
    assert "item 0 0 failed: ValueError: n=0" in shown.out
    assert "    ValueError: n=0" in shown.out
    assert "2 more" in shown.err
    assert main(["runs", "failures", "2", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["position"] for each in found] == [0, 5, 10, 15]
    assert found[0]["error"]["type"] == "ValueError"


def test_export_jsonl(journal: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["runs", "export", "second"]) == 0
    found = sorted(map(json.loads, capsysbinary.readouterr().out.splitlines()), key=lambda each: each["position"])
    assert [each["position"] for each in found] == list(range(20))
    assert found[2]["value"] == {"n": 2}
    assert found[1]["value_repr"] == "{'n': 1, 'more': {'set'}}"
    assert found[0]["error"]["message"] == "n=0\x1b[2J"
    assert main(["runs", "export", "second", "--status", "failed", "--no-values"]) == 0
    found = list(map(json.loads, capsysbinary.readouterr().out.splitlines()))
    assert len(found) == 4
    assert "value" not in found[0]


def test_export_csv_to_a_file_that_is_whole(journal: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.csv").write_text("old")
    assert main(["runs", "export", "second", "--format", "csv", "-o", "out.csv"]) == 0
    assert "20 outcomes of 'second' in out.csv" in capsys.readouterr().err
    rows = sorted(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())), key=lambda row: int(row["position"]))
    assert len(rows) == 20
    assert rows[2]["value"] == '{"n": 2}'
    assert (rows[5]["status"], rows[5]["error_type"]) == ("failed", "ValueError")
    assert rows[5]["traceback"].startswith("Traceback")
    assert not list(tmp_path.glob(".out.csv*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "third"], "RUN=third: not in raddle.db; its runs are: first, second"),
        (["list", "--journal", "x.db"], "--journal=x.db: no such file; name the journal, or set RADDLE_JOURNAL"),
        (["export", "--format", "xml"], "--format=xml: must be one of jsonl, csv"),
        (["export", "--status", "fail"], "--status=fail: must be one of ok, failed, timed_out, crashed"),
        (["export", "-o", "no/such/folder/x"], "cannot be written: No such file"),
    ],
)
def test_usage_errors(journal: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.db").write_text("hello " * 1000)
    assert main(["runs", "list", "--journal", str(tmp_path / "x.db")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("raddle: ")
    assert "x.db" in error
