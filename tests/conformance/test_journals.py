"""Every journal keeps the promises of the port."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from raddle._events import RunFailed
from raddle._model import Summary
from raddle._ports import Record
from raddle.journal import MemoryJournal, SqliteJournal
from raddle.testing.journal_suite import Heard, JournalSuite, entry, failed, header

if TYPE_CHECKING:
    from raddle._ports import Journal


class TestMemory(JournalSuite):
    def make(self, place: Path) -> Journal:
        return MemoryJournal()

    def reopen(self, journal: Journal, place: Path) -> Journal:
        return journal


class TestSqlite(JournalSuite):
    def make(self, place: Path) -> Journal:
        return SqliteJournal(place / "runs.db")


class TestSqliteRowByRow(JournalSuite):
    def make(self, place: Path) -> Journal:
        return SqliteJournal(place / "runs.db", group_rows=1, group_seconds=0, inline_bytes=1000)


class TestSqliteOutOfOrder(JournalSuite):
    """Hardly anything is kept in memory: what is asked for in another order is found through an index."""

    def make(self, place: Path) -> Journal:
        return SqliteJournal(place / "runs.db", resume_window=1)


# Few different ids, so that equal ones meet; among them any bytes at all.
ids = st.one_of(st.sampled_from([b"", b"\0", b"a", b"b"]), st.binary(max_size=40))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.characters(codec=None),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
sessions = st.lists(st.lists(st.tuples(ids, values), max_size=12), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(sessions=sessions, unique=st.booleans(), asked_at_once=st.integers(1, 20))
def test_sqlite_and_memory_tell_the_same(
    sessions: list[list[tuple[bytes, object]]], unique: bool, asked_at_once: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryJournal()
        for session in sessions:
            paths = Path(folder) / "runs.db", Path(folder) / "index.db"
            journals: list[Journal] = [
                memory,
                SqliteJournal(paths[0], synchronous="OFF"),
                SqliteJournal(paths[1], synchronous="OFF", resume_window=2),
            ]
            told = [_live_through(journal, session, unique, asked_at_once) for journal in journals]
            assert told[0] == told[1] == told[2]


def _live_through(
    journal: Journal, session: list[tuple[bytes, object]], unique: bool, asked_at_once: int
) -> list[object]:
    """Do in one session what an engine does: ask for each item, run and record what is not known."""
    heard = Heard()
    journal.begin(header(unique_ids=unique), resume=True, put=heard.put)
    told: list[object] = []
    new: list[int] = []
    for start in range(0, len(session), asked_at_once):
        batch = [item_id for item_id, _ in session[start : start + asked_at_once]]
        known = journal.known(batch)
        told.append({offset: pickle.dumps(found.outcome.value) for offset, found in known.items() if found.outcome})
        new += [start + offset for offset in range(len(batch)) if offset not in known]
    for ticket, position in enumerate(new):
        item_id, value = session[position]
        bad = position % 5 == 4
        done = (failed(position, item_id), b"") if bad else entry(position, item_id, value, item=value)
        journal.append(Record(ticket, outcomes=[done]))
    journal.close(Summary(source_ended=True))
    try:
        heard.wait(len(new) - 1) if new else None
    except Exception as error:  # noqa: BLE001 - what was refused is part of what was told
        told.append(type(error))
        assert isinstance(heard.events[-1], RunFailed)
    return told
