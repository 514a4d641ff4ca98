"""The state: what it keeps, that it is whole whenever it is looked at, and that equal content is equal bytes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

np = pytest.importorskip("numpy")
sys.path.insert(0, str(Path(__file__).parent))

from store_parts import (  # noqa: E402
    SIZE,
    SOURCES,
    opened,
    part_of,
    parts,
    people,
    revised_of,
    rows_of,
)

from raddle.errors import ConfigError, RaddleError  # noqa: E402
from raddle.workloads.weights.files import remove_leftovers  # noqa: E402
from raddle.workloads.weights.store.database import connect  # noqa: E402
from raddle.workloads.weights.store.history import RESULTS, ROWS  # noqa: E402
from raddle.workloads.weights.store.readers import ReadPool  # noqa: E402
from raddle.workloads.weights.store.revisions import write_revisions  # noqa: E402
from raddle.workloads.weights.values import DAY, RESETS, STAGES  # noqa: E402

if TYPE_CHECKING:
    from raddle.workloads.weights.store.state import State

TABLES = ("meta", "files", "snapshots", "history", "results", "resets", "revisions", "replays", "readings")


def content(path: Path) -> dict[str, list[Any]]:
    with closing(connect(path, write=False)) as base:
        return {table: base.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}


def known_files(path: Path) -> dict[str, int]:
    """What a state calls known, seen from beside."""
    return dict(ask(path, "SELECT digest, number FROM files WHERE finished"))


def ask(path: Path, query: str, *values: object) -> list[Any]:
    with closing(connect(path, write=False)) as base:
        return base.execute(query, values).fetchall()


def made(path: Path, every: list[Any], *, finished: bool = True, **options: Any) -> Path:
    with opened(path, **options) as state:
        state.begin_file(1, "one.csv", "digest of one")
        for number, part in enumerate(every):
            state.put(part, revised_of(part, 3) if number % 2 else None)
        state.finish(known=finished)
    return path


def put_all(state: State, every: list[Any]) -> None:
    for part in every:
        state.put(part)


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------------------------------------------- what it keeps


def test_readable_columns_and_the_view(tmp_path: Path) -> None:
    part = part_of({"b": [rows_of("b", 1, count=30)], "a\x00é": [rows_of("a", 1, count=5)]})
    path = made(tmp_path / "s.sqlite", [part])
    found = ask(path, "SELECT * FROM user_state WHERE user_id = 'b'")[0]
    live, chunk = part.filtered, part.chunk
    assert found[1:6] == tuple(live.states[0, :5].tolist())
    when = str(chunk.time[29].astype("M8[us]")) if hasattr(chunk.time[29], "astype") else ""
    assert found[6] == f"{when.removesuffix('.000000')}+00:00"
    accepted = int((live.stage[:30] <= 1).sum())
    restarts = int((live.reset[:30] > 1).sum())
    assert found[7:13] == (30, accepted, 30 - accepted, restarts, 30, 1)
    assert found[13:16] == (pytest.approx(1.51), 1, 1)
    assert found[16] == live.states[0].astype("<f8").tobytes()
    assert len(found[16]) == 8 * SIZE
    assert ask(path, "SELECT count(*) FROM user_state WHERE user_id = ?", "a\x00é") == [(1,)]
    whys = [why for (why,) in ask(path, "SELECT why FROM resets WHERE user_id = 'b' ORDER BY time")]
    assert whys == [RESETS[code] for code in live.reset[:30][live.reset[:30] > 0]]
    befores = ask(path, "SELECT before_kg, after_kg FROM resets WHERE why = 'first reading' AND user_id = 'b'")
    assert befores == [(None, live.out[0, 0])]


def test_before_a_reset_is_the_last_accepted_reading_of_the_same_user(tmp_path: Path) -> None:
    part = part_of({"a": [rows_of("a", 1, count=6)], "b": [rows_of("b", 1, count=6)]})
    part.filtered.stage[:] = [0, 1, 2, 1, 1, 1, 0, 2, 1, 1, 1, 1]
    part.filtered.reset[:] = [1, 0, 0, 2, 0, 0, 1, 0, 3, 0, 0, 0]
    path = made(tmp_path / "s.sqlite", [part])
    weight = part.filtered.out[0]
    found = ask(path, "SELECT user_id, why, before_kg, after_kg FROM resets WHERE why != 'first reading' ORDER BY 1")
    assert found == [("a", "gap", weight[1], weight[3]), ("b", "level change", weight[6], weight[8])]


def test_a_user_without_an_accepted_reading_has_no_weight(tmp_path: Path) -> None:
    part = part_of({"a": [rows_of("a", 1, count=3)]})
    part.filtered.states[:] = np.nan
    path = made(tmp_path / "s.sqlite", [part])
    row = ask(path, "SELECT weight_kg, trend_kg_day, p00, p11, last_time, since_restart FROM user_state")
    assert row == [(None, None, None, None, None, 0)]


def test_days_are_days(tmp_path: Path) -> None:
    part = part_of({"a": [rows_of("a", 1, count=3)]}, days=True)
    path = made(tmp_path / "s.sqlite", [part], days=True, keep_readings=True)
    assert ask(path, "SELECT last_time FROM user_state") == [(part.chunk.time[-1] / DAY,)]
    assert ask(path, "SELECT time, at FROM readings ORDER BY time") == [
        (t / DAY, None) for t in part.chunk.time.tolist()
    ]


def test_readings_are_kept_on_request(tmp_path: Path) -> None:
    part = part_of({"a": [rows_of("a", 1, count=40)]})
    assert ask(made(tmp_path / "no.sqlite", [part]), "SELECT count(*) FROM readings") == [(0,)]
    path = tmp_path / "yes.sqlite"
    with opened(path, keep_readings=True) as state:
        state.begin_file(1, "one.csv", "x")
        state.put(part, revised_of(part, 7))
        state.finish()
    rows = ask(
        path, "SELECT line, at, weight_kg, source, stage, reset, filtered_weight, quality FROM readings ORDER BY time"
    )
    final = revised_of(part, 7).filtered
    assert [row[0] for row in rows] == part.chunk.line.tolist()
    assert rows[0][1] == str(part.chunk.time[0].astype("M8[us]").astype("M8[s]")) + "Z"
    assert [row[2] for row in rows] == final.weight.tolist()
    assert [row[3] for row in rows] == [part.chunk.source_names[code] for code in part.chunk.source]
    assert [row[4] for row in rows] == [STAGES[code] for code in final.stage]
    assert [row[5] for row in rows] == [RESETS[code] for code in final.reset]
    assert [row[6] for row in rows] == final.out[0].tolist()
    assert [row[7] for row in rows] == [None if np.isnan(x) else x for x in final.out[6].tolist()]


def test_words_of_the_schema_are_those_of_the_rules(tmp_path: Path) -> None:
    part = part_of({"a": [rows_of("a", 1, count=len(STAGES))]})
    part.filtered.stage[:] = np.arange(len(STAGES))
    part.filtered.reset[: len(RESETS)] = np.arange(len(RESETS))
    path = made(tmp_path / "s.sqlite", [part], keep_readings=True)
    rows = ask(path, "SELECT stage, reset FROM readings ORDER BY time")
    assert [row[0] for row in rows] == list(STAGES)
    assert [row[1] for row in rows[: len(RESETS)]] == list(RESETS)


# -------------------------------------------------------------------------------------------------------- file by file


@pytest.mark.parametrize("by_time", [True, False])
def test_history_is_what_was_put(tmp_path: Path, by_time: bool) -> None:
    rows = {"a": rows_of("a", 1, count=9), "b": rows_of("b", 1, count=4)}
    part = part_of({user: [each] for user, each in rows.items()}, by_time=by_time)
    path = made(tmp_path / "s.sqlite", [part])
    with opened(path) as state:
        assert state.known_files == {"digest of one": 1} == known_files(path)
        history = state.history(["b", "nobody", "a"])
    assert history.users == ("b", "nobody", "a")
    assert history.starts.tolist() == [0, 4, 4, 13]
    for user, span in (("a", slice(4, 13)), ("b", slice(0, 4))):
        for name in ("line", "file", "time", "value", "unit"):
            assert getattr(history, name)[span].tolist() == rows[user][name].tolist()
        sources = [SOURCES[code] for code in rows[user]["source"].tolist()]
        assert [history.source_names[code] for code in history.source[span].tolist()] == sources
        at = part.chunk.users.index(user)
        said = slice(*part.chunk.starts[at : at + 2].tolist())
        order = np.argsort(part.chunk.line[said])
        assert history.stage[span].tolist() == part.filtered.stage[said][order].tolist()
        assert history.reset[span].tolist() == part.filtered.reset[said][order].tolist()
        assert history.filtered_weight[span].tolist() == part.filtered.out[0, said][order].tolist()
        assert history.trend[span].tolist() == part.filtered.out[1, said][order].tolist()
    assert history.height_m[[0, 2]].tolist() == [pytest.approx(1.51)] * 2
    assert np.isnan(history.height_m[1])
    assert history.value.flags.c_contiguous
    assert history.value.dtype == np.float64


def test_a_second_file_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    first, second = rows_of("a", 1, count=8), rows_of("a", 2, count=5)
    other = rows_of("b", 2, count=3)
    made(path, [part_of({"a": [first]})], keep_readings=True)
    both = part_of({"a": [first, second], "b": [other]}, fresh=2)
    with opened(path, keep_readings=True) as state:
        state.begin_file(2, "two.csv", "digest of two")
        state.put(both)
        state.flush()
        # not yet: what is not finished does not count
        assert state.history(["a"]).starts.tolist() == [0, 8]
        assert known_files(path) == {"digest of one": 1}
        state.finish_files()
        state.finish()
    with opened(path, keep_readings=True) as state:
        history = state.history(["a", "b"])
        assert state.known_files == {"digest of one": 1, "digest of two": 2}
    assert history.line.tolist() == [*first["line"].tolist(), *second["line"].tolist(), *other["line"].tolist()]
    assert history.file.tolist() == [1] * 8 + [2] * 8
    order = [at for at in np.lexsort((both.chunk.line, both.chunk.file)) if at < 13]
    assert history.stage[:13].tolist() == both.filtered.stage[order].tolist()
    assert history.filtered_weight[:13].tolist() == both.filtered.out[0, order].tolist()
    assert ask(path, "SELECT user_id, readings, version, ingest, unused FROM user_state") == [
        ("a", 13, 2, 2, 2),
        ("b", 3, 1, 2, 1),
    ]
    assert ask(path, "SELECT ingest, readings FROM snapshots WHERE user_id = 'a'") == [(1, 8), (2, 13)]
    # one word on each reading, the last
    for table in ("readings", "results", "resets"):
        assert ask(path, f"SELECT DISTINCT ingest FROM {table}") == [(2,)], table
    assert ask(path, "SELECT count(*) FROM readings") == [(16,)]
    assert not list(tmp_path.glob("*-wal")) + list(tmp_path.glob("*.lock"))


def test_two_files_in_one_run_are_one_ingest(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with opened(path) as state:
        state.begin_file(1, "one.csv", "x")
        state.begin_file(2, "two.csv", "y")
        state.put(part_of({"a": [rows_of("a", 1, count=4), rows_of("a", 2, count=3)]}))
        state.finish_files()
        state.finish()
    with opened(path) as state:
        assert state.known_files == {"x": 1, "y": 2}
        assert state.history(["a"]).file.tolist() == [1] * 4 + [2] * 3
    assert ask(path, "SELECT user_id, file, count FROM history") == [("a", 1, 4), ("a", 2, 3)]


def test_what_a_run_left_unfinished_is_taken_away_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    made(path, [part_of({"a": [rows_of("a", 1, count=8)]})], keep_readings=True)
    before = content(path)
    with opened(path, keep_readings=True) as state:
        state.begin_file(2, "broken.csv", "never finished")
        part = part_of(
            {"a": [rows_of("a", 1, count=8), rows_of("a", 2, count=8)], "z": [rows_of("z", 2, count=2)]}, fresh=2
        )
        state.put(part, revised_of(part, 3))
    assert ask(path, "SELECT count(*) FROM user_state") == [(2,)]
    with opened(path, keep_readings=True) as state:
        assert state.known_files == {"digest of one": 1}
        state.begin_file(2, "other.csv", "another")
        assert content(path) == before | {"files": [*before["files"], (2, "other.csv", "another", 2, 0)]}


def test_putting_again_takes_the_place_of_what_was_put(tmp_path: Path) -> None:
    every = parts(30, 7)
    once, twice = tmp_path / "once", tmp_path / "twice"
    made(once, every, keep_readings=True)
    with opened(twice, keep_readings=True, batch_size=3) as state:
        state.begin_file(1, "one.csv", "digest of one")
        for part in every:  # as the main pass does, then the retrospective one
            state.put(part, revised_of(part, 5, kg=1.0))
            state.put(part)
        for number, part in enumerate(every):
            state.put(part, revised_of(part, 3) if number % 2 else None)
            state.put(part, revised_of(part, 3) if number % 2 else None)
        state.finish_files()
        state.finish()
    assert content(twice) == content(once)
    assert digest(twice) == digest(once)


def test_a_file_is_not_taken_twice(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(2, 2))
    with opened(path) as state:
        with pytest.raises(ConfigError, match=r"file=again.csv: its content is that of one.csv, file 1: leave it out"):
            state.begin_file(2, "again.csv", "digest of one")
        with pytest.raises(ConfigError, match=r"number=1 is taken by one.csv: use the next free one"):
            state.begin_file(1, "new.csv", "new")


def test_looking_into_a_state_changes_no_byte(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(5, 2))
    for files in (1, 2):
        before = path.read_bytes()
        with opened(path) as state:
            assert len(state.known_files) == files
            assert len(state.history(list(people(5))).line)
        assert path.read_bytes() == before
        if files == 1:
            with opened(path) as state:
                state.begin_file(2, "more.csv", "digest of two")
                state.put(part_of({"zz": [rows_of("zz", 2, count=3)]}, fresh=2))
                state.finish()


def test_a_part_must_have_all_earlier_rows(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", [part_of({"a": [rows_of("a", 1, count=8)]})])
    state = opened(path)
    state.begin_file(2, "two.csv", "two")
    state.put(part_of({"a": [rows_of("a", 2, count=8)]}, fresh=2))
    with pytest.raises(ValueError, match=r"user='a': rows=0 of earlier files, the state has 8: merge its history"):
        state.flush()
    with pytest.raises(ValueError, match="merge its history"):
        state.put(part_of({"b": [rows_of("b", 2, count=8)]}, fresh=2))
    with pytest.raises(ValueError, match="merge its history"):
        state.close()
    assert known_files(path) == {"digest of one": 1}


# ----------------------------------------------------------------------------------------------------- the audit trail


def test_revisions_and_replays(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    part = part_of({"a": [rows_of("a", 1, count=8)], "b": [rows_of("b", 1, count=8)]})
    revised = revised_of(part, 11)
    with opened(path) as state:
        state.begin_file(1, "one.csv", "x")
        state.put(part)
        state.put(part, revised)
        state.finish_files()
        state.finish()
    row = ask(path, "SELECT * FROM revisions")
    assert len(row) == 1
    assert row[0][:6] == ("b", 1, 1, 1, int(np.argsort(np.argsort(part.chunk.line[8:]))[3]), int(part.chunk.line[11]))
    assert row[0][7:11] == (STAGES[part.filtered.stage[11]], "retrospective", part.filtered.out[0, 11], 70.0)
    assert row[0][13] == "replay"
    assert row[0][16] == "applied"
    replay = ask(path, "SELECT user_id, rows, outliers, before_kg, after_kg, verdict FROM replays")
    where = f'[{{"file": 1, "line": {part.chunk.line[11]}, "methods": ["iqr", "temporal"]}}]'
    assert replay == [("b", 9, where, 80.0, 79.5, "applied")]
    # the state is that after the revision, and what is published for the main pass stays
    assert ask(path, "SELECT weight_kg FROM user_state WHERE user_id = 'b'") == [(70.0,)]
    with opened(path) as state:
        published = state.history(["b"])
    assert 6 not in published.stage
    finals = ask(path, "SELECT user_id, final IS NULL FROM results")
    assert finals == [("a", 1), ("b", 0)]
    final = np.frombuffer(ask(path, "SELECT final FROM results WHERE user_id = 'b'")[0][0], dtype=RESULTS)
    assert (final["stage"] == 6).sum() == 1
    csv = tmp_path / "revisions.csv"
    assert write_revisions(csv, path) == 1
    lines = csv.read_text().splitlines()
    assert lines[0].startswith("user_id,file,line,time,old_stage,new_stage,")
    assert lines[1].startswith(f"b,1,{part.chunk.line[11]},")
    assert lines[1].endswith(",applied")


def test_no_revisions_no_file(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(2, 2))
    csv = tmp_path / "revisions.csv"
    csv.write_text("of an earlier run")
    assert write_revisions(csv, path) == 0
    assert not csv.exists()


@pytest.mark.parametrize("now", ["the same", "another", "none"])
def test_a_later_ingest_tells_what_is_news(tmp_path: Path, now: str) -> None:
    path = tmp_path / "s.sqlite"
    first = part_of({"a": [rows_of("a", 1, count=8)]})
    made(path, [part_of({"0": [rows_of("0", 1, count=8)]}), first])  # the second one is revised, at row 3
    rows = [rows_of("a", 1, count=8), rows_of("a", 2, count=1)]
    both = part_of({"a": rows}, fresh=2)
    at = int(np.flatnonzero((both.chunk.file == 1) & (both.chunk.line == first.chunk.line[3]))[0])
    revised = revised_of(both, at, kg=70.0 if now == "the same" else 60.0)
    # the window of the first time; trend is not what is looked at here
    revised.filtered.out[1, at] = first.filtered.out[1, 3]
    change = replace(revised.revisions[0], new_trend=float(first.filtered.out[1, 3]))
    revised = replace(revised, revisions=(change,))
    if now == "none":
        revised = replace(revised, filtered=both.filtered, replays=(), revisions=())
    with opened(path) as state:
        state.begin_file(2, "two.csv", "y")
        state.put(both, revised)
        state.finish_files()
        state.finish()
    news = ask(path, "SELECT old_stage, new_stage, new_filtered_weight, cause FROM revisions WHERE ingest = 2")
    live = (STAGES[both.filtered.stage[at]], float(both.filtered.out[0, at]))
    expected = {
        "the same": [],
        "another": [(live[0], "retrospective", 60.0, "replay")],
        "none": [("retrospective", live[0], live[1], "later readings")],
    }
    assert news == expected[now]
    assert len(ask(path, "SELECT * FROM replays")) == 1
    assert write_revisions(tmp_path / "revisions.csv", path) == len(news)


# ----------------------------------------------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": "compat"}, r"made with rules=v2, this run has rules=compat: run with the same, or use another path"),
        ({"profile": "custom", "digest": "d"}, r"profile=balanced digest=abc, this run has profile=custom digest=d"),
        ({"days": True}, r"was made with time=utc, this run has time=days"),
        ({"keep_readings": True}, r"was made with keep_readings=no, this run has keep_readings=yes"),
        ({"batch_size": 0}, r"db_write_batch_size=0 is too small: give 1 or more"),
        ({"read_connections": 0}, r"db_read_connections=0 is too small: give 1 or more"),
    ],
)
def test_other_rules_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = made(tmp_path / "s.sqlite", parts(2, 2))
    with pytest.raises(ConfigError, match=message):
        opened(path, **options)
    with opened(path) as state:  # and nothing is left locked
        assert state.known_files


def test_a_state_without_a_finished_file_is_anybodys(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(2, 2), finished=False)
    other = made(path, parts(3, 2), rules="compat")
    assert digest(other) == digest(made(tmp_path / "new.sqlite", parts(3, 2), rules="compat"))


@pytest.mark.parametrize("kind", ["text", "other", "newer"])
def test_other_files_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.sqlite"
    if kind == "text":
        path.write_text("user_id,weight\n" * 100)
        message = r"is not a state of raddle weights .*: use another path, or move it away"
    else:
        with closing(sqlite3.connect(path)) as base:
            base.execute("CREATE TABLE t (x)")
            message = r"is not a state of raddle weights \(application_id=0x0\)"
            if kind == "newer":
                base.execute(f"PRAGMA application_id = {0x72647774}")
                base.execute("PRAGMA user_version = 99")
                message = r"written by a newer raddle \(version=99, this one knows 1\): upgrade raddle"
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        opened(path)
    assert path.read_bytes() == before


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with opened(path), pytest.raises(ConfigError, match=r"is in use by another run: wait for its end"):
        opened(path, lock_seconds=0)
    opened(path, lock_seconds=0).close()
    with pytest.raises(ConfigError, match=r"cannot be written there: .*: use another path"):
        opened(tmp_path / "no" / "s.sqlite")


def test_a_full_disk_is_told_to_who_puts(tmp_path: Path) -> None:
    state = opened(tmp_path / "s.sqlite", batch_size=1)
    state.begin_file(1, "one.csv", "x")
    pages = state._connection.execute("PRAGMA page_count").fetchone()[0]
    state._connection.execute(f"PRAGMA max_page_count = {pages + 1}")  # SQLite's own "disk full"
    every = parts(400, 4)
    with pytest.raises(RaddleError, match=r"database or disk is full: see that there is space"):
        put_all(state, every)
    with pytest.raises(RaddleError, match="disk is full"):
        state.flush()
    with pytest.raises(RaddleError, match="disk is full"):
        state.close()
    assert ask(tmp_path / "s.sqlite", "SELECT digest FROM files WHERE finished") == []


def test_nothing_is_put_before_a_file_is_begun(tmp_path: Path) -> None:
    with opened(tmp_path / "s.sqlite") as state, pytest.raises(ValueError, match="call begin_file first"):
        state.put(parts(1, 1)[0])


# ---------------------------------------------------------------------------------------------------------- same bytes


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    every = parts(50, 7)
    reference = digest(made(tmp_path / "0", every))
    for number, batch in enumerate((1, 2, 13, 1000)):
        assert digest(made(tmp_path / f"b{number}", every, batch_size=batch)) == reference
    backwards = tmp_path / "backwards"
    with opened(backwards, batch_size=5) as state:
        state.begin_file(1, "one.csv", "digest of one")
        for number, part in reversed(list(enumerate(every))):
            state.put(part, revised_of(part, 3) if number % 2 else None)
        state.finish_files()
        state.finish(tmp_path / "elsewhere")
    assert digest(tmp_path / "elsewhere") == reference
    assert not list(tmp_path.glob("*-wal")) + list(tmp_path.glob("*.tmp")) + list(tmp_path.glob("*.lock"))
    # finished again, for instance by a run that was killed in between: the same
    with opened(tmp_path / "0") as state:
        state.finish()
    assert digest(tmp_path / "0") == reference


def test_chunks_and_the_numbering_of_sources_do_not_matter(tmp_path: Path) -> None:
    everyone = people(20)
    one = part_of(everyone)
    cut = [part_of({user: rows}, names=tuple(reversed(SOURCES))) for user, rows in everyone.items()]
    hoard = part_of(everyone, names=(*(f"s{number}" for number in range(9000)), *SOURCES))
    paths = []
    for number, every in enumerate(([one], cut, [hoard])):
        with opened(tmp_path / str(number), keep_readings=True) as state:
            state.begin_file(1, "one.csv", "x")
            for part in every:
                state.put(part)
            state.finish_files()
            state.finish()
        paths.append(tmp_path / str(number))
    assert content(paths[0]) == content(paths[1]) == content(paths[2])
    assert len({digest(path) for path in paths}) == 1


# --------------------------------------------------------------------------------------------- batches, readers, kills


def test_commits_are_for_so_many_users(tmp_path: Path) -> None:
    for size, commits in ((1, 50), (20, 2), (49, 1), (51, 0)):
        with opened(tmp_path / f"{size}", batch_size=size) as state:
            state.begin_file(1, "one.csv", "x")
            put_all(state, parts(50, 7))
            assert "raddle-weights-state" in [thread.name for thread in threading.enumerate()]
            state.flush()
            assert "raddle-weights-state" not in [thread.name for thread in threading.enumerate()]
            assert state.commits == commits + (50 % size > 0)
            put_all(state, parts(50, 7)[:1])  # and goes on


def whole(connection: sqlite3.Connection, rows: int) -> int:
    """See that each user is there with all rows and all results, or not at all; return how many are."""
    connection.execute("BEGIN")
    try:
        users = connection.execute(
            "SELECT user_id, readings, length(state), (SELECT sum(count) FROM history h WHERE h.user_id = s.user_id),"
            " (SELECT sum(length(rows)) FROM history h WHERE h.user_id = s.user_id),"
            " (SELECT length(live) FROM results r WHERE r.user_id = s.user_id),"
            " (SELECT count(*) FROM readings r WHERE r.user_id = s.user_id) FROM snapshots s"
        ).fetchall()
        others = [
            connection.execute(f"SELECT count(DISTINCT user_id) FROM {table}").fetchone()[0]
            for table in ("history", "results", "readings")
        ]
    finally:
        connection.execute("ROLLBACK")
    for user, count, state, kept, length, live, readings in users:
        assert count == kept == readings >= rows, user
        assert (state, length, live) == (8 * SIZE, count * ROWS.itemsize, count * RESULTS.itemsize), user
    assert set(others) == {len(users)}
    return len(users)


def test_readers_never_see_half_a_user(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    seen: list[int] = []
    failed: list[BaseException] = []
    stop = threading.Event()
    start = threading.Barrier(7)

    def look(pool: ReadPool) -> None:
        try:
            start.wait()
            while not stop.is_set():
                with pool.connection() as connection:
                    seen.append(whole(connection, 20))
        except BaseException as error:  # noqa: BLE001 - a thread's edge: the test fails with it
            failed.append(error)

    with opened(path, batch_size=3, read_connections=2, keep_readings=True) as state:
        state.begin_file(1, "one.csv", "x")
        threads = [threading.Thread(target=look, args=(state.readers,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        start.wait()
        every = parts(120, 7)
        for part in every:  # and once more, in place of the first
            state.put(part)
            state.put(part, revised_of(part, 2))
        state.flush()
        stop.set()
        for thread in threads:
            thread.join()
        assert not failed, failed
        assert 1 <= state.readers.most <= 2
        assert len(set(seen)) > 1, "the readers came too late"
        with state.readers.connection() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM snapshots")


def test_no_more_connections_than_asked_for(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(10, 5))
    users = list(people(10))
    with ReadPool(path, size=3) as pool:
        together = threading.Barrier(3)

        def hold() -> None:
            with pool.connection() as connection:
                together.wait()  # three are lent out at once
                assert connection.execute("SELECT count(*) FROM snapshots").fetchone() == (10,)

        threads = [threading.Thread(target=hold) for _ in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pool.most == 3
        assert open_files(path) == 3
        assert len(pool.history(users).users) == 10
        pool.drain()
        assert open_files(path) == 0
        assert len(pool.history(users).users) == 10
    assert open_files(path) == 0
    with pytest.raises(RaddleError, match=r"is closed: open it again"):
        pool.history(users)


def open_files(path: Path) -> int:
    folder = Path("/proc/self/fd")
    return sum(os.path.realpath(entry) == str(path.resolve()) for entry in folder.iterdir())


def test_history_in_parallel_is_that_of_one(tmp_path: Path) -> None:
    path = made(tmp_path / "s.sqlite", parts(700, 100, rows=3))  # more users than a statement takes marks
    users = list(people(700))
    found: list[Any] = []
    with opened(path, read_connections=2) as state:
        threads = [threading.Thread(target=lambda: found.append(state.history(users))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = state.history(users)
    assert len(found) == 4
    for history in found:
        assert history.time.tolist() == alone.time.tolist()
        assert history.source.tolist() == alone.source.tolist()


def test_a_state_read_by_somebody_else_goes_on(tmp_path: Path) -> None:
    """A pool that is never closed, such as that of a worker, keeps nothing from being finished or replaced."""
    path = tmp_path / "s.sqlite"
    made(path, [part_of({"a": [rows_of("a", 1, count=8)]})])
    pool = ReadPool(path, size=1)
    assert len(pool.history(["a"]).line) == 8
    with opened(path) as state:
        state.begin_file(2, "two.csv", "y")
        state.put(part_of({"a": [rows_of("a", 1, count=8), rows_of("a", 2, count=2)]}, fresh=2))
        assert len(pool.history(["a"]).line) == 8
        state.finish_files()
        state.finish()
    assert len(pool.history(["a"]).line) == 10
    shutil.copy(made(tmp_path / "new.sqlite", [part_of({"a": [rows_of("a", 1, count=3)]})]), path)
    pool.close()


KILLS = [5, pytest.param(50, marks=[pytest.mark.chaos, pytest.mark.timeout(600)])]


@pytest.mark.parametrize("kills", KILLS)
def test_killed_at_random_moments(tmp_path: Path, kills: int) -> None:
    users = 140
    script = str(Path(__file__).with_name("store_parts.py"))

    def argv(path: Path, batch: int) -> list[str]:
        return [sys.executable, script, str(path), str(users), str(batch)]

    unharmed, path = tmp_path / "unharmed", tmp_path / "killed"
    subprocess.run(argv(unharmed, 100), check=True, capture_output=True)
    rng = random.Random(int(os.environ.get("RADDLE_SEED", "0")))
    stored, finished = [], 0
    for kill in range(kills):
        with subprocess.Popen(argv(path, rng.choice((1, 3, 10))), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for _ in range(rng.randrange(1, 22)):
                process.stdout.readline()
            process.kill()
        assert ask(path, "PRAGMA integrity_check") == [("ok",)], kill
        known = known_files(path)
        with closing(connect(path, write=False)) as base:
            stored.append(whole(base, 20))
        if known:
            assert stored[-1] == users
            finished += 1
            path.unlink()
            for left in tmp_path.glob("killed-*"):
                left.unlink()
    last = subprocess.run(argv(path, 7), check=True, capture_output=True, text=True)
    assert last.stdout.endswith("whole\n")
    assert content(path) == content(unharmed)
    assert digest(path) == digest(unharmed)
    assert any(0 < count < users for count in stored), stored
    print(f"killed with {stored} of {users} users stored, {finished} times after the end; same bytes")


def test_what_a_killed_run_leaves_is_removed_with_what_sqlite_kept_beside_it(tmp_path: Path) -> None:
    """Killed in the middle of writing the state out, and once more, by the same names, of a run that is to go well."""
    foreign = [".notes.tmp", ".state.sqlite.12-ab.tmp", "state.sqlite.12-34.tmp", ".x.12-34.tmp-old"]
    for name in foreign:
        tmp_path.joinpath(name).touch()
    program = """
import os, signal, sqlite3, sys
from pathlib import Path
from raddle.workloads.weights.files import replaced

base = sqlite3.connect(":memory:")
base.execute("CREATE TABLE t AS WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM c LIMIT 50000) "
             "SELECT x, hex(randomblob(20)) AS y FROM c")
with replaced(Path(sys.argv[1])) as spare:
    def seen():
        if list(spare.parent.glob(".*-journal")) and spare.stat().st_size:
            os.kill(os.getpid(), signal.SIGKILL)
    base.set_progress_handler(seen, 1000)
    base.execute("VACUUM INTO ?", (str(spare),))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "state.sqlite")], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert len([path for path in tmp_path.iterdir() if path.name not in foreign]) == 2, "a file and its journal"
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(foreign)
