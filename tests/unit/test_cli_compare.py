"""`raddle runs compare`, and what `raddle runs show` adds up."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import raddle
from raddle.cli import main
from raddle.cli._account import account_of, busy_share, percentiles, seconds, text
from raddle.cli._compare import Group, _speed, compare
from raddle.cli._go_on import how_to_go_on
from raddle.journal.history import History, RunRow

RUN = RunRow(
    id=1,
    uid="0" * 32,
    name="my run",
    function="m:f",
    version="1",
    python="3.11",
    total=None,
    backend="threads",
    workers=2,
    created=100.0,
    ended=110.0,
    state="ended",
    command="",
    summary=None,
    sessions=1,
    pid=1,
    host="h",
)


def first(n: int) -> int:
    if n in {1, 2, 3}:
        raise ValueError(n)
    if n == 4:
        raise KeyError(n)
    return n


def second(n: int) -> int:
    if n in {3, 4}:
        raise ValueError(n)
    if n == 5:
        raise OSError(n)
    return n


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two runs: items 0 to 9, then items 0 to 7 and 20."""
    journal = tmp_path / "runs.db"
    for name, func, items in (("a", first, range(10)), ("b", second, [*range(8), 20])):
        list(raddle.run(func, items, backend="serial", journal=journal, name=name, retry=0))
    return journal


def test_items_that_ended_otherwise(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "compare", "a", "b", "--journal", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["name"], run["counts"]) for run in found["runs"]] == [
        ("a", {"ok": 6, "failed": 4}),
        ("b", {"ok": 6, "failed": 3}),
    ]
    assert found["changed"] == {
        "complete": True,
        "counts": [
            {"before": "failed", "after": "ok", "items": 2},
            {"before": "ok", "after": "failed", "items": 1},
        ],
        "first": [
            {"position": 1, "item": "1", "before": "failed", "after": "ok"},
            {"position": 2, "item": "2", "before": "failed", "after": "ok"},
            {"position": 5, "item": "5", "before": "ok", "after": "failed"},
        ],
    }
    assert {(each["error_type"], each["before"], each["after"], each["change"]) for each in found["failures"]} == {
        ("ValueError", 3, 2, "fewer"),
        ("KeyError", 1, 0, "gone"),
        ("OSError", 0, 1, "new"),
    }
    assert found["speed"]["matched"] == 3  # 0, 6, 7
    assert main(["runs", "compare", "a", "b", "--journal", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "3 items ended otherwise: 2 failed -> ok, 1 ok -> failed" in shown
    assert "1 -> 0  failed KeyError (gone)" in shown


def test_an_item_that_is_in_one_run_only(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for name, items in (("a", [0, 1]), ("b", [0])):
        list(raddle.run(first, items, backend="serial", journal=path, name=name, retry=0))
    history = History(path)
    runs = history.runs()
    assert compare(history, runs[0], history, runs[1]).changes == {("failed", "not there"): 1}
    assert compare(history, runs[1], history, runs[0]).changes == {("not there", "failed"): 1}
    same = compare(history, runs[0], history, runs[0])
    assert (same.changes, same.matched, same.slower, same.ratio) == ({}, 1, 0, 1.0)


@pytest.mark.parametrize(
    ("before", "after", "change"), [(0, 2, "new"), (2, 0, "gone"), (2, 2, "as many"), (2, 3, "more"), (3, 2, "fewer")]
)
def test_what_became_of_a_kind_of_failure(before: int, after: int, change: str) -> None:
    assert Group("failed", "E", before, after).change == change


def test_slower_and_faster() -> None:
    old = {b"a": (1, 1.0), b"b": (2, 1.0), b"c": (3, 0.0001), b"d": (4, 2.0), b"e": (5, 1.0)}
    new = {b"a": (11, 1.4), b"b": (12, 1.6), b"c": (13, 0.0009), b"d": (14, 1.0), b"x": (15, 9.0)}
    matched, slower, faster, ratio, moved = _speed(old, new)
    assert (matched, slower, faster, ratio) == (4, 1, 1, 1.6)
    assert [number for _, number, _, _ in moved] == [12, 14]


# ---------------------------------------------------------------------------------------------------- reading much


def test_a_sample_of_many(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    list(raddle.run(abs, range(3000), backend="serial", journal=path, name="a"))
    list(raddle.run(abs, range(3000, 4000), backend="serial", journal=path, name="b"))
    list(raddle.run(abs, range(25_000), backend="serial", journal=path, name="a", resume=True))
    history = History(path)
    run = history.runs()[0]
    assert sum(history.counts(run.id).values()) == 25_000
    rows = [row for page in history.timed(run.id) for row in page]
    assert len({row[1] for row in rows}) == len(rows) == 25_000
    sample = history.sample(run.id)
    assert not sample.exact
    assert 10_000 < len(sample.seconds) <= 20_000
    assert history.sample(2).exact
    found = compare(history, run, history, history.runs()[1])
    assert (found.matched, found.before.exact) == (1000, True)


def test_items_of_a_sample_are_the_same_in_both(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for name, items in (("a", range(120_000)), ("b", range(119_999, -1, -1))):
        with raddle.run(abs, items, backend="serial", journal=path, name=name) as run:
            assert sum(1 for _ in run) == 120_000
    history = History(path)
    found = compare(history, *[each for run in history.runs() for each in (run, history)][:3])  # type: ignore[arg-type]
    assert 50_000 < found.matched == len(found.before.seconds) < 70_000
    assert not found.before.exact


@given(st.lists(st.floats(0, 1e6), max_size=300))
def test_percentiles(values: list[float]) -> None:
    found = list(percentiles(sorted(values)).values())
    assert found == sorted(found)
    assert set(found) <= set(values)
    assert not found or found[-1] == max(values)


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0 µs"), (6.41e-7, "0.641 µs"), (0.0805, "80.5 ms"), (3.21, "3.2 s"), (75, "1:15 min")]
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


# ---------------------------------------------------------------------------------------------------------- show


def test_where_the_time_went(path: Path) -> None:
    history = History(path)
    account = account_of(history, history.runs()[0])
    share = busy_share(replace(account, run=replace(account.run, created=0.0, ended=sum(account.seconds.seconds))))
    assert share == pytest.approx(1 / account.run.workers)
    assert busy_share(replace(account, run=replace(account.run, sessions=2))) is None
    assert busy_share(replace(account, run=replace(account.run, ended=None))) is None
    lines = list(text(account))
    assert [line.split()[0] for line in lines[:5]] == ["run", "function", "state", "started", "ended"]
    assert any(line.startswith("item time  p50 ") for line in lines)
    assert any("resume='failed'" in line for line in lines)


MAP = ["map", "m:f", "in.txt", "--workers", "2"]


def started(argv: list[str], **more: object) -> str:
    return json.dumps({"argv": argv, "cwd": "/some where", "stdin": False, **more})


@pytest.mark.parametrize(
    ("changes", "counts", "lines"),
    [
        ({}, {"ok": 3}, []),
        ({"state": "running", "ended": None}, {"ok": 3}, ["raddle runs watch 'my run' --journal /j.db"]),
        ({}, {"failed": 1}, ["raddle.run(func, items, journal='/j.db', name='my run', resume='failed')"]),
        (
            {"state": "stopped"},
            {"ok": 1},
            ["raddle.run(func, items, journal='/j.db', name='my run', resume=True)"],
        ),
        (
            {"function": "raddle.workloads.weights.batch:page"},
            {"failed": 1},
            ["the same raddle weights command once more, with --resume"],
        ),
        (
            {"function": "raddle.workloads.media.batch:do", "command": started(["media", "run", "p.yaml", "a map"])},
            {"failed": 1},
            ["cd '/some where' && raddle media run --resume p.yaml 'a map'"],
        ),
        (
            {"function": "theirs:do", "command": started(["theirs", "run"]), "state": "interrupted"},
            {},
            ["cd '/some where' && raddle theirs run"],
        ),
        (
            {"command": started(MAP)},
            {"failed": 1},
            ["raddle runs retry 'my run' --journal /j.db    # what did not end ok"],
        ),
        (
            {"command": started([*MAP, "--journal", "j.db", "--retry-failed"]), "state": "interrupted"},
            {"failed": 1},
            [
                "raddle runs retry 'my run' --journal /j.db    # what did not end ok and what never ran",
                (
                    "cd '/some where' && raddle map --name 'my run' --resume m:f in.txt --workers 2 --journal j.db"
                    "    # the latter"
                ),
            ],
        ),
        (
            {"command": started(["exec", "prog", "--name", "{}"], stdin=True), "state": "stopped"},
            {},
            [
                "... | raddle runs retry 'my run' --journal /j.db    # what did not end ok and what never ran",
                (
                    "cd '/some where' && ... | raddle exec --journal /j.db --name 'my run' --resume prog --name '{}'"
                    "    # the latter"
                ),
            ],
        ),
    ],
)
def test_how_to_go_on(changes: dict[str, object], counts: dict[str, int], lines: list[str]) -> None:
    assert how_to_go_on(replace(RUN, **changes), counts, "/j.db") == lines  # type: ignore[arg-type]


def test_the_command_that_is_shown_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("def f(line):\n    return 1 // int(line)\n")
    Path("in.txt").write_text("1\n0\n2\n")
    words = ["map", "mine.py:f", "in.txt", "--backend", "serial", "--journal", "j.db", "--on-error", "fail"]
    assert main([*words, "--progress", "none"]) == 3
    capsys.readouterr()
    assert main(["runs", "show", "--journal", "j.db"]) == 0
    shown = capsys.readouterr().out
    assert "of 3" in shown  # the command line counted them
    command = next(line for line in shown.splitlines() if "--resume" in line).partition("&& raddle ")[2]
    assert main(shlex.split(command, comments=True)) == 3
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["ok", "failed", "ok"]
