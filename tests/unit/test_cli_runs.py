"""`raddle runs`."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import raddle
from raddle.cli import main
from raddle.cli._again import arguments_of
from raddle.journal._started import started_as
from raddle.journal.history import History

#: what a retry adds to the command
OURS = ["--journal", "/tmp/j.db", "--name", "job", "--retry-failed"]


def odd(n: int) -> dict[str, object]:
    if n % 5 == 0:
        raise ValueError(f"n={n}\x1b[2J")
    if n == 2:
        return "text"  # type: ignore[return-value]
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
    assert (found[2]["value"], found[3]["value"]) == ("text", {"n": 3})
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
    assert [(row["value"], row["value_kind"]) for row in rows[:4]] == [
        ("", ""),
        ("{'n': 1, 'more': {'set'}}", "repr"),
        ("text", "text"),
        ('{"n": 3}', "json"),
    ]
    assert (rows[5]["status"], rows[5]["error_type"]) == ("failed", "ValueError")
    assert rows[5]["traceback"].startswith("Traceback")
    assert not list(tmp_path.glob(".out.csv*"))


PARQUET = """
import sys
import polars as pl
from raddle.cli import main
code = main(["runs", "export", *sys.argv[1:], "--format", "parquet", "-o", "out.parquet"])
print(pl.read_parquet("out.parquet").sort("position").head(4).write_json())
sys.exit(code)
"""


@pytest.mark.parametrize("which", [["second"], ["second", "--no-values"], ["first", "--status", "failed"]])
def test_export_parquet(journal: str, tmp_path: Path, which: list[str]) -> None:
    # In a process of its own: polars brings threads, and the tests that fork want a process without any.
    if importlib.util.find_spec("polars") is None:
        pytest.skip("polars is not installed")
    command = [sys.executable, "-c", PARQUET, *which]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == (0 if which[0] == "first" else 4)
    if which == ["second"]:
        assert [(row["value"], row["value_kind"]) for row in rows] == [
            (None, ""),
            ("{'n': 1, 'more': {'set'}}", "repr"),
            ("text", "text"),
            ('{"n": 3}', "json"),
        ]
        assert (rows[0]["status"], rows[0]["error_type"], rows[0]["attempts"]) == ("failed", "ValueError", 1)
        assert isinstance(rows[0]["started"], float)
    elif rows:
        assert "value" not in rows[0]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] == "." or "parquet" in path.name) == [
        "out.parquet"
    ]


def test_export_parquet_needs_polars(journal: str, tmp_path: Path) -> None:
    program = "import sys; sys.modules['polars'] = None\n" + PARQUET.replace("import polars as pl\n", "pl = None\n", 1)
    command = [sys.executable, "-c", program, "second"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert "raddle: polars, which writes Parquet, is not installed: pip install 'raddle[" in done.stderr
    assert not (tmp_path / "out.parquet").exists()


def test_total_is_known_once_a_source_without_length_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with raddle.run(odd, iter(range(7)), backend="threads", journal="raddle.db", name="whole") as run:
        list(run)
    with raddle.run(odd, iter(range(7)), backend="threads", journal="raddle.db", name="part", on_error="fail") as run:
        list(run)
    assert main(["runs", "list"]) == 0
    _, whole, part = capsys.readouterr().out.splitlines()
    assert whole.split()[-4:] == ["2", "7", "threads", whole.split()[-1]]
    assert part.split()[-3] in {"?", "7"}
    assert main(["runs", "show", "whole"]) == 0
    assert "items      5 ok, 2 failed of 7" in capsys.readouterr().out


def test_the_command_of_a_workload_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = str(tmp_path / "j.db")
    with started_as(["theirs", "run", "exec"]):
        list(raddle.run(int, ["x"], backend="serial", journal=journal, name="a"))
    list(raddle.run(int, ["x"], backend="serial", journal=journal, name="b"))
    commands = [json.loads(run.command or "{}").get("argv") for run in History(journal).runs()]
    assert commands == [["theirs", "run", "exec"], None]
    assert main(["runs", "show", "a", "--journal", journal]) == 0
    assert f"next       cd {Path.cwd()} && raddle theirs run exec" in capsys.readouterr().out
    assert main(["runs", "retry", "a", "--journal", journal]) == 2
    assert "was started by raddle theirs, which is started again by itself" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["map", "m:f", "in.csv", "--resume"], ["map", *OURS, "m:f", "in.csv", "--resume"]),
        (["--traceback", "exec", "-j2", "--", "cmd"], ["--traceback", "exec", *OURS, "-j2", "--", "cmd"]),
    ],
)
def test_retry_starts_the_same_command(argv: list[str], expected: list[str]) -> None:
    assert arguments_of(argv, "job", Path("/tmp/j.db")) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "third"], "RUN=third: not in raddle.db; its runs are: first, second"),
        (["list", "--journal", "x.db"], "--journal=x.db: no such file; name the journal, or set RADDLE_JOURNAL"),
        (["export", "--format", "xml"], "--format=xml: must be one of jsonl, csv"),
        (["export", "--status", "fail"], "--status=fail: must be one of ok, failed, timed_out, crashed"),
        (["export", "-o", "no/such/folder/x"], "cannot be written: No such file"),
        (["export", "--format", "parquet"], "--format=parquet: needs a file to write to: --output FILE"),
        (["retry", "third"], "RUN=third: not in raddle.db"),
        (["retry", "second"], "RUN=second: was not started by raddle map or raddle exec; in Python: raddle.run("),
    ],
)
def test_usage_errors(journal: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_help_says_what_each_command_does_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--help"]) == 0
    told = capsys.readouterr().out
    assert "..." not in told.partition("Commands:")[2]
    assert "and how to go on" in " ".join(told.split())
    assert main(["runs", "show", "--help"]) == 0
    assert "raddle runs show [OPTIONS] [RUN]\n" in capsys.readouterr().out


def test_a_folder_is_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "--journal", str(tmp_path)]) == 2
    assert f"journal={tmp_path} is a folder: give the path of a file in it" in capsys.readouterr().err


def test_a_file_that_is_no_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.db").write_text("hello " * 1000)
    assert main(["runs", "list", "--journal", str(tmp_path / "x.db")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("raddle: ")
    assert "x.db" in error
