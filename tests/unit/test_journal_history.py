"""What a viewer in another process reads of a run: pages in every order, charts, what the run decided."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raddle
from raddle import _events as events
from raddle._model import Status, Summary
from raddle._ports import Lease, Record
from raddle.errors import ConfigError, JournalDamaged, JournalError
from raddle.journal import SqliteJournal, _paging, _sql
from raddle.journal._alive import alive
from raddle.journal._happenings import Happenings
from raddle.journal.history import History, Order, OutcomeRow
from raddle.testing.journal_suite import Heard, entry, failed, header

if TYPE_CHECKING:
    from collections.abc import Callable

ORDERS = list(get_args(Order))
KEYS: dict[str, Callable[[Any], Any]] = {
    "recorded": lambda row: row.id,
    "newest": lambda row: -row.id,
    "slowest": lambda row: (-row.seconds, -row.id),
    "position": lambda row: (row.position, row.id),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def fill(path: Path, count: int, *, resume: bool = True, first: int = 0) -> None:
    """Leave a session that recorded so many items out of order, a fiftieth of them failed."""
    chance = random.Random(count)
    journal, heard = SqliteJournal(path, synchronous="OFF"), Heard()
    journal.begin(header(total=count), resume=resume, put=heard.put)
    for start in range(first, first + count, 700):
        positions = list(range(start, min(start + 700, first + count)))
        chance.shuffle(positions)
        pairs = [
            (failed(place, b"%d" % place), b"") if place % 50 == 7 else entry(place, b"%d" % place)
            for place in positions
        ]
        outcomes = [
            (outcome._replace(seconds=chance.choice([0.0, chance.random()])), value) for outcome, value in pairs
        ]
        journal.append(Record(start, outcomes=outcomes))
    heard.wait(start)
    journal.close(Summary(admitted=count, source_ended=True))


def all_pages(history: History, order: Any, limit: int, **what: Any) -> list[OutcomeRow]:
    rows: list[OutcomeRow] = []
    cursor = None
    while True:
        page = history.page(1, order=order, cursor=cursor, limit=limit, **what)
        assert len(page.rows) <= limit
        rows += page.rows
        cursor = page.cursor
        if cursor is None:
            return rows


# ------------------------------------------------------------------------------------------------------------ pages


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> History:
    """20,000 outcomes of two sessions, and two of another run in between."""
    path = tmp_path_factory.mktemp("big") / "runs.db"
    fill(path, 12_000)
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header("other"), resume=True, put=heard.put)
    journal.append(Record(1, outcomes=[entry(0, b"a"), entry(1, b"b")]))
    heard.wait(1)
    journal.close(None)
    fill(path, 8_000, first=12_000)
    return History(path)


@pytest.fixture(scope="module")
def rows(big: History) -> list[OutcomeRow]:
    return list(big.outcomes(1))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "what",
    [{}, {"status": "failed"}, {"status": "ok"}, {"error_type": "ValueError"}, {"search": "77"}, {"search": "%"}],
)
def test_pages_give_all_rows_in_order(big: History, rows: list[OutcomeRow], order: str, what: dict[str, Any]) -> None:
    def fits(row: OutcomeRow) -> bool:
        text = f"{row.label} {row.key} {row.error_type} {row.error_message}"
        return (
            row.status == what.get("status", row.status)
            and row.error_type == what.get("error_type", row.error_type)
            and what.get("search", "") in text
        )

    expected = sorted(filter(fits, rows), key=KEYS[order])
    limit = 997 if len(expected) > 1000 else 30
    assert [row.id for row in all_pages(big, order, limit, **what)] == [row.id for row in expected]


def test_a_search_looks_at_text_and_not_at_capitals(big: History) -> None:
    assert [row.position for row in big.page(1, search="ITEM 10007").rows] == [10_007]
    assert big.page(1, search="item_10007").rows == []
    assert big.page(1, search="broKEN", limit=3).cursor is not None
    assert big.page(3, search="x").rows == big.page(99).rows == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"order": "fastest"}, "order='fastest' is unknown: give one of recorded, newest, slowest, position"),
        ({"limit": 0}, "limit=0 is out of range"),
        ({"limit": 10_001}, "limit=10001 is out of range"),
        ({"search": "x" * 1001}, "1001 characters"),
        ({"cursor": ""}, "cursor='' is none"),
        ({"cursor": "[" * 10_000}, "is none of order='recorded'"),
        ({"cursor": '["newest",1,1]'}, "leave it out"),
        ({"cursor": '["recorded",NaN,1]'}, "leave it out"),
        ({"cursor": '["recorded",-Infinity,1]'}, "leave it out"),
        ({"cursor": f'["recorded",{1 << 70},1]'}, "leave it out"),
        ({"cursor": '["recorded",true,1]'}, "leave it out"),
        ({"status": "good"}, "good"),
    ],
)
def test_what_cannot_be_asked_for(big: History, what: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        big.page(1, **what)


@pytest.mark.parametrize("ask", ["page", "throughput", "spans", "counts", "happenings", "under_way", "failures"])
def test_a_number_beyond_all_numbers(big: History, ask: str) -> None:
    assert not getattr(big, ask)(12345) or ask == "page"
    with pytest.raises(ConfigError, match="64 bits"):
        getattr(big, ask)(1 << 80)


def schema() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:")
    conn.executescript(files("raddle.journal").joinpath("schema.sql").read_text())
    conn.execute(f"PRAGMA user_version={_sql.schema_version()}")
    conn.execute("INSERT INTO run VALUES (1, 'u', 'r', 'f', '', '', NULL, 't', 1, 0, NULL, 'ended', NULL, '', 0)")
    conn.execute("INSERT INTO session VALUES (1, 1, 0, NULL, 1, 'h', 1, 0)")
    return conn


Rows = list[tuple[int, float, bool]]
rows_of = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([0.0, 0.5, 1.25, 7.0]), st.booleans()), min_size=0, max_size=40
)


@given(
    st.sampled_from(ORDERS), st.lists(rows_of, min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 60),
    st.sampled_from([None, "ok", "failed"]), st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_each_row_once_while_rows_are_appended(
    order: Any, parts: list[Rows], limit: int, look: int, status: str | None, bounded: bool
) -> None:
    """Rows that were there at the first page come exactly once, in order; later ones at most once."""
    with closing(schema()) as conn:

        def append(rows: Rows) -> None:
            first = conn.execute("SELECT coalesce(max(id), 0) + 1 FROM outcome").fetchone()[0]
            for position, seconds, good in rows:
                conn.execute(
                    "INSERT INTO outcome (run_id, session_id, item_id, position, label, status, attempts, started, "
                    "seconds, worker) VALUES (1, 1, X'00', ?, 'x', ?, 1, 5.0, ?, 'w')",
                    (position, "ok" if good else "failed", seconds),
                )
            if rows and bounded:
                places, times, goods = zip(*rows, strict=True)
                bounds = (
                    first,
                    first + len(rows) - 1,
                    goods.count(False),
                    min(places),
                    max(places),
                    5.0,
                    13.0,
                    max(times),
                )
                conn.execute(_sql.query("add_stretch"), bounds)

        append(parts[0])
        wanted = {
            row[0] for row in conn.execute("SELECT id FROM outcome WHERE ? IS NULL OR status = ?", (status, status))
        }
        seen: list[int] = []
        cursor, waiting = None, parts[1:]
        while True:
            what = _paging.wanted(order=order, status=status, error_type=None, search="", cursor=cursor, limit=limit)
            numbers, cursor = _paging.find(conn, 1, what, look=look)
            seen += numbers
            if cursor is None:
                break
            if waiting:
                append(waiting.pop())
        assert len(seen) == len(set(seen))
        assert wanted <= set(seen)
        if not parts[1:]:
            ranks = {
                row[0]: {"recorded": row[0], "newest": -row[0], "slowest": (-row[2], -row[0])}.get(order, row[1::-1])
                for row in conn.execute("SELECT id, position, seconds FROM outcome")
            }
            assert seen == sorted(seen, key=ranks.__getitem__)


# ----------------------------------------------------------------------------------------------------------- charts


def test_counts_follow_items_that_were_run_again(path: Path) -> None:
    fill(path, 3000)
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put, retry_failed=True)
    ids = [b"%d" % place for place in range(3000)]
    again = list(range(7, 507, 50))
    known = journal.known(ids)
    assert not set(again) & known.keys()
    journal.append(Record(1, outcomes=[entry(place, b"%d" % place) for place in again]))
    heard.wait(1)
    journal.close(None)
    history = History(path)
    rows = list(history.outcomes(1))
    counted = {status: sum(row.status is status for row in rows) for status in (Status.OK, Status.FAILED)}
    assert history.counts(1) == counted == {Status.OK: 2950, Status.FAILED: 50}
    assert all(sorted(all_pages(history, order, 999), key=KEYS["recorded"]) == rows for order in ORDERS)
    assert sum(bucket.ok + bucket.not_ok for bucket in history.throughput(1)) >= 3000


def test_throughput_has_all_items_in_equal_spans(big: History) -> None:
    run = big.runs()[0]
    buckets = big.throughput(1, buckets=7)
    assert sum(bucket.ok for bucket in buckets) == 19_600
    assert sum(bucket.not_ok for bucket in buckets) == 400
    assert [
        round(bucket.at - run.created - number * buckets[0].seconds, 3) for number, bucket in enumerate(buckets)
    ] == [0] * 7
    assert run.ended is not None
    assert buckets[-1].at + buckets[-1].seconds == pytest.approx(run.ended, abs=0.01)
    with pytest.raises(ConfigError, match="buckets=0"):
        big.throughput(1, buckets=0)


def test_spans_are_the_latest_attempts_with_those_that_were_not_the_last(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    now = time.monotonic()
    good = [entry(place, b"%d" % place)[0]._replace(started=now + place, seconds=0.5) for place in range(10)]
    tried = failed(3, b"3")._replace(started=now + 2.6, seconds=0.3)
    journal.append(Record(1, outcomes=[(outcome, b"x") for outcome in good], retried=[tried]))
    heard.wait(1)
    journal.close(None)
    history = History(path)
    offset = time.time() - time.monotonic()
    all_of = history.spans(1)
    assert [(span.position, span.status, span.worker) for span in all_of[2:5]] == [
        (2, "ok", "thread-0"),
        (None, "failed", "thread-1"),
        (3, "ok", "thread-0"),
    ]
    assert len(all_of) == 11
    assert [span.position for span in history.spans(1, limit=2)] == [8, 9]
    some = history.spans(1, since=now + offset + 4.2, until=now + offset + 6.2)
    assert [span.position for span in some] == [4, 5, 6]
    with pytest.raises(ConfigError, match="limit=0"):
        history.spans(1, limit=0)


def test_what_is_under_way(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    journal.append(Record(1, lease=Lease(0, "w-0", [b"a", b"b", b"c"], 1)))
    journal.append(Record(2, lease=Lease(1, "w-1", [b"d"], 2)))
    heard.wait(2)
    history = History(path)
    before = history.mark()
    found = history.under_way(1)
    assert [(one.worker, one.items, one.attempt) for one in found] == [("w-0", 3, 1), ("w-1", 1, 2)]
    assert abs(found[0].started - time.time()) < 30
    assert history.mark() == before
    journal.append(Record(3, ended=[0]))
    heard.wait(3)
    assert history.mark() != before
    assert [one.worker for one in history.under_way(1)] == ["w-1"]
    journal.close(None)
    assert history.under_way(1) == history.under_way(2) == []


def test_failures_show_the_traceback_of_the_first(big: History) -> None:
    (group,) = big.failures(1)
    assert (group.count, group.example_message) == (400, "broken")
    assert group.example_traceback
    assert group.example_traceback.startswith("Traceback")


# ------------------------------------------------------------------------------------------------------- happenings


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_happenings_of_each_kind() -> None:
    woken: list[None] = []
    seen = Happenings(lambda: woken.append(None), clock=Time())
    seen.chosen_before("serial, because")
    for event in (
        events.RunStarted("r", "serial", 1, None),
        events.LimitChanged(4, "faster"),
        events.LimitChanged(2, "threads: 3 ms each", "threads"),
        events.WorkerReplaced("w-1", "killed by SIGKILL"),
        events.RunStopping("asked"),
        events.ItemsEnded([]),
    ):
        seen.observe(event)
    seen.saw(events.Memory(50, 100))
    seen.saw(events.Memory(60, 100))
    assert len(woken) == 1
    assert [one[1:] for one in seen.take()] == [
        ("choice", 1, "serial, because"),
        ("limit", 4, "faster"),
        ("choice", 2, "threads: 3 ms each"),
        ("worker", None, "w-1: killed by SIGKILL"),
        ("stopping", None, "asked"),
        ("memory", 0.5, "50 of 100 bytes"),
    ]
    assert seen.take() == []


@pytest.mark.parametrize("days", [0.01, 1, 30])
def test_happenings_are_few_however_long_and_wild_the_run(days: float) -> None:
    clock = Time()
    seen = Happenings(lambda: None, clock=clock)
    steps = 100_000
    for number in range(steps):
        clock.now = days * 86_400 * number / steps
        seen.observe(events.LimitChanged(number, "up"))
        seen.observe(events.WorkerReplaced("w", "died"))
        seen.saw(events.Memory(1, 2))
    seen.observe(events.RunEnded(Summary()))
    kinds: dict[str, list[Any]] = {}
    for one in seen.take():
        kinds.setdefault(one.kind, []).append(one)
    assert kinds["limit"][-1].number == steps - 1
    assert all(len(found) < 12_000 for found in kinds.values())
    assert "more before it" in kinds["worker"][-1].text


def test_happenings_of_real_runs(path: Path) -> None:
    def work(number: int) -> int:
        if number == 30:
            os._exit(3)
        return number

    with raddle.run(
        work, range(200), backend="processes", workers=2, journal=path, name="dies", on_error="fail", memory="auto"
    ) as run:
        list(run)
    history = History(path)
    found = history.happenings(1)
    kinds = {one.kind for one in found}
    assert {"worker", "stopping"} <= kinds
    assert "memory" in kinds or not Path("/proc/meminfo").exists()
    assert [one.id for one in found] == sorted(one.id for one in found)
    run_row = history.runs()[0]
    assert all(run_row.created - 1 <= one.at <= time.time() for one in found)
    assert history.happenings(1, after=found[0].id) == found[1:]
    assert history.happenings(1, limit=1) == found[:1]
    assert history.happenings(2) == []


def test_the_choice_of_auto(path: Path) -> None:
    # as many as it takes: a busy machine shows little with each
    with raddle.run(str, itertools.count(), journal=path, name="auto") as run:
        next(outcome for outcome in run if run.summary.decision)
    choices = [one for one in History(path).happenings(1) if one.kind == "choice"]
    assert [one.text for one in choices] == [run.summary.decision]


KILLED = """
import os, signal, sys, time
from raddle import _events as events
from raddle._ports import Record
from raddle.journal import SqliteJournal
from raddle.testing.journal_suite import Heard, entry, header
journal, heard = SqliteJournal(sys.argv[1]), Heard()
journal.begin(header(), resume=True, put=heard.put)
observe, _ = journal.watch(None)
for number in range(50):
    observe(events.LimitChanged(number, "up"))
    journal.append(Record(number, outcomes=[entry(number, b"%d" % number)]))
    heard.wait(number)
observe(events.RunStopping("alone"))
while True:
    print("waiting", flush=True)
    time.sleep(0.1)
"""


def test_happenings_survive_a_kill_and_come_without_a_commit_too(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout
        try:
            history = History(path)
            for _ in child.stdout:
                if (found := history.happenings(1)) and found[-1].kind == "stopping":
                    break
        finally:
            child.send_signal(signal.SIGKILL)
    found = history.happenings(1)
    assert [one.number for one in found[:-1]] == list(range(50))
    assert found[-1].text == "alone"
    assert history.runs()[0].state == "interrupted"
    assert dict(history.mark().states)["dead"] == 1


def test_a_guilty_record_costs_no_happening(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(unique_ids=True), resume=True, put=heard.put)
    observe, gauge = journal.watch(None)
    assert gauge is None
    observe(events.LimitChanged(1, "x"))
    journal.append(Record(1, outcomes=[entry(0, b"a"), entry(1, b"a")]))
    with pytest.raises(ConfigError, match="two items"):
        heard.wait(1)
    journal.close(None)
    assert History(path).counts(1) == {}


def test_nobody_is_watched_before_the_beginning(path: Path) -> None:
    journal = SqliteJournal(path)
    with pytest.raises(JournalError, match=r"call begin\(\) first"):
        journal.watch(None)
    journal.close(None)


# -------------------------------------------------------------------------------------------- older, newer, not there


def make_second(path: Path, count: int = 3000) -> None:
    """Write a journal as the second schema had it, with rows 5 and 6 gone."""
    with closing(sqlite3.connect(path)) as conn:
        first, second = _sql._migrations()[:2]
        conn.executescript(f"PRAGMA journal_mode=WAL; {first} {second}")
        conn.execute(
            "INSERT INTO run "
            "VALUES (1, 'u', 'run', 'module:func', '1', '', NULL, 't', 1, 1e9, 2e9, 'ended', NULL, '', 0)"
        )
        conn.executemany(
            "INSERT INTO session VALUES (?, 1, 1e9, NULL, 1, 'h', ?)", [(1, 1), (2, count // 2), (3, count + 1)]
        )
        conn.executemany(
            "INSERT INTO outcome (id, run_id, session_id, item_id, position, label, status, attempts, started, "
            "seconds, worker) VALUES (?, 1, ?, ?, ?, 'x', ?, 1, ?, ?, 'w')",
            [
                (n, 1 if n < count // 2 else 2, b"%d" % n, n ^ 5, "ok" if n % 9 else "failed", 1e9 + n * 1e5, n % 17)
                for n in range(1, count + 1)
                if n not in {5, 6}
            ],
        )
        conn.execute(
            "INSERT INTO attempt (run_id, session_id, item_id, attempt, status, worker) "
            "VALUES (1, 1, X'63', 1, 'failed', 'w')"
        )
        conn.commit()
        conn.execute(f"PRAGMA application_id={_sql.APPLICATION_ID}")
        conn.execute("PRAGMA user_version=2")


def told(history: History) -> dict[str, Any]:
    pages = {order: [row.id for row in all_pages(history, order, 499)] for order in ORDERS}
    return pages | {
        "counts": history.counts(1),
        "failures": history.failures(1),
        "slowest": [row.id for row in history.slowest(1)],
        "attempts": history.earlier_attempts(1),
        "buckets": [(bucket.ok, bucket.not_ok) for bucket in history.throughput(1, buckets=3)],
        "spans": history.spans(1, limit=50),
        "happenings": history.happenings(1),
    }


def test_an_older_journal_says_the_same_before_and_after_its_migration(path: Path) -> None:
    make_second(path)
    history = History(path)
    before, mark = told(history), history.mark()
    assert sum(before["counts"].values()) == 2998
    assert before["happenings"] == []
    assert mark.happening == 0
    _sql.connect_writer(path, synchronous="FULL").close()
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone() == (3,)
        assert conn.execute("SELECT count(*), max(last) FROM stretch").fetchone() == (4, 3000)
        assert conn.execute("SELECT gone FROM session ORDER BY id").fetchall() == [(2,), (0,), (0,)]
    after = told(history)
    # Of what is gone a stretch knows that it ended badly then; no row is there any more to say so.
    assert before.pop("buckets") == [(2665, 333), (0, 0), (0, 0)]
    assert after.pop("buckets") == [(2665, 335), (0, 0), (0, 0)]
    assert after == before
    fill(path, 100, first=5000)
    assert sum(history.counts(1).values()) == 3098


CALLS: dict[str, Callable[[History], object]] = {
    "runs": lambda history: history.runs(),
    "page": lambda history: history.page(1),
    "throughput": lambda history: history.throughput(1),
    "spans": lambda history: history.spans(1),
    "slowest": lambda history: history.slowest(1),
    "under_way": lambda history: history.under_way(1),
    "happenings": lambda history: history.happenings(1),
    "mark": lambda history: history.mark(),
    "counts": lambda history: history.counts(1),
    "failures": lambda history: history.failures(1),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_each_call_says_of_a_journal_that_cannot_be_read(path: Path, call: str) -> None:
    ask, history = CALLS[call], History(path, patience=0.01)
    with pytest.raises(JournalError, match="does not exist: check the path"):
        ask(history)
    fill(path, 20)
    ask(history)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA locking_mode=EXCLUSIVE")
        conn.execute("BEGIN EXCLUSIVE")
        conn.execute("UPDATE run SET name = 'x'")
        conn.execute("COMMIT")
        with pytest.raises(JournalError, match=r"held its lock for 0\.01 s: end that program"):
            ask(history)
    ask(history)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA user_version=99")
    with pytest.raises(JournalError, match=r"written by a newer raddle .*upgrade"):
        ask(history)
    path.write_text("dear diary, " * 1000)
    with pytest.raises(JournalDamaged, match="not a journal"):
        ask(history)


def test_another_file_in_its_place_is_another_mark(path: Path) -> None:
    fill(path, 20)
    history = History(path)
    mark = history.mark()
    other = path.with_name("other.db")
    fill(other, 20)
    other.replace(path)
    assert history.mark().file != mark.file
    assert history.counts(1) == {Status.OK: 19, Status.FAILED: 1}


def test_no_call_keeps_the_log_from_being_folded_in(path: Path) -> None:
    journal, heard = SqliteJournal(path), Heard()
    journal.begin(header(), resume=True, put=heard.put)
    journal.append(Record(1, outcomes=[entry(place, b"%d" % place) for place in range(3000)]))
    heard.wait(1)
    history = History(path)
    rows = history.outcomes(1)
    next(rows)
    for ask in CALLS.values():
        ask(history)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    journal.close(None)


# ------------------------------------------------------------------------------------------------------- a million


MILLION = """
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000000)
INSERT INTO outcome (id, run_id, session_id, item_id, position, label, status, attempts, started, seconds, worker)
SELECT n, 1, 1, CAST(n AS BLOB), n / 8 * 8 + 7 - n % 8, 'item ' || n, iif(n % 50, 'ok', 'failed'), 1, 1e9 + n,
    n * 7919 % 10007 / 1e3, 'w-' || n % 8 FROM number
"""


@pytest.mark.slow
def test_a_million_outcomes(path: Path) -> None:
    make_second(path, 0)
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("DELETE FROM session WHERE id > 1")
        conn.execute(MILLION)
        conn.commit()
    _sql.connect_writer(path, synchronous="OFF").close()
    history = History(path)
    with closing(sqlite3.connect(path)) as conn:
        for order, by in (("slowest", "seconds DESC, id DESC"), ("position", "position"), ("newest", "id DESC")):
            numbers = [row[0] for row in conn.execute(f"SELECT id FROM outcome ORDER BY {by} LIMIT 300")]
            assert [row.id for row in history.page(1, order=order, limit=300).rows] == numbers  # type: ignore[arg-type]
    assert history.counts(1) == {Status.OK: 980_000, Status.FAILED: 20_000}
    assert sum(bucket.ok + bucket.not_ok for bucket in history.throughput(1)) == 1_000_000
    assert len(history.spans(1)) == 2000
    page, calls = history.page(1, search="item 700007"), 1
    while page.cursor is not None and not page.rows:
        page, calls = history.page(1, search="item 700007", cursor=page.cursor), calls + 1
    assert [row.id for row in page.rows] == [700_007]
    assert calls == 6


def test_a_process_that_was_killed_and_not_taken_note_of_is_not_alive(path: Path) -> None:
    program = "import sys; from raddle.journal import SqliteJournal; it = SqliteJournal(sys.argv[1]); print(); input()"
    argv, here = [sys.executable, "-c", program, str(path)], socket.gethostname()
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert alive(holder.pid, here, path)
        assert not alive(os.getpid(), here, path), "a process with the number of one that has ended"
        assert alive(os.getpid(), "elsewhere", path)
        assert alive(os.getpid(), here, path.with_name("moved.db")), "there is no lock file to ask for"
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        os.kill(holder.pid, 0)  # it has its number still
        assert not alive(holder.pid, here, path)
    assert not alive(holder.pid, here, path)
