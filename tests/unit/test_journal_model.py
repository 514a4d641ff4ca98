"""Journals against a model of a few lines: whatever is run, killed, resumed and edited, in whatever order."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from raddle._model import Status, Summary
from raddle._policy.identity import canonical, given_id, item_id, item_ids
from raddle._ports import Lease, Record
from raddle.journal import MemoryJournal, SqliteJournal
from raddle.testing.journal_suite import Heard, entry, failed, header

if TYPE_CHECKING:
    from raddle._model import Outcome
    from raddle._ports import Journal

# Few, so that equal items meet.
items = st.sampled_from([b"a", b"b", b"c", b"", b"\0", b"d" * 300])


class JournalMachine(RuleBasedStateMachine):
    """A run over an input that is edited between its sessions, some of which end in a kill.

    The model: for each id the outcomes recorded, as (ok, value), and how often it was under way at a kill.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.memory = MemoryJournal()
        self.journals: list[Journal] = []
        self.heards: list[Heard] = []
        self.source: list[bytes] = []
        self.recorded: dict[bytes, list[tuple[bool, object]]] = defaultdict(list)
        self.interrupted: Counter[bytes] = Counter()
        self.todo: list[tuple[int, bytes]] = []
        self.running: dict[int, list[tuple[int, bytes]]] = {}
        self.retried: dict[bytes, int] = {}
        self.number = self.serial = 0

    @initialize(source=st.lists(items, max_size=8))
    def start(self, source: list[bytes]) -> None:
        self.source = source

    def teardown(self) -> None:
        for journal in self.journals:
            journal.close(None)
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------------------------------ between sessions

    @precondition(lambda self: not self.journals)
    @rule(data=st.data(), item=items)
    def insert(self, data: st.DataObject, item: bytes) -> None:
        self.source.insert(data.draw(st.integers(0, len(self.source))), item)

    @precondition(lambda self: not self.journals and self.source)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        del self.source[data.draw(st.integers(0, len(self.source) - 1))]

    @precondition(lambda self: not self.journals)
    @rule(data=st.data())
    def reorder(self, data: st.DataObject) -> None:
        self.source = data.draw(st.permutations(self.source))

    @precondition(lambda self: not self.journals)
    @rule(retry_failed=st.booleans(), at_once=st.integers(1, 9))
    def begin(self, retry_failed: bool, at_once: int) -> None:
        path = self.folder / "runs.db"
        window = {"resume_window": 2}
        self.journals = [
            self.memory,
            SqliteJournal(path, synchronous="OFF"),
            SqliteJournal(path.with_name("index.db"), synchronous="OFF", group_rows=1, **window),
        ]
        self.heards = [Heard() for _ in self.journals]
        for journal, heard in zip(self.journals, self.heards, strict=True):
            journal.begin(header(), resume=True, put=heard.put, retry_failed=retry_failed)
        self.todo, self.running, self.number = [], {}, 0
        left = {key: list(rows) for key, rows in self.recorded.items()}
        self.retried = {}
        for start in range(0, len(self.source), at_once):
            batch = self.source[start : start + at_once]
            told = [journal.known(batch) for journal in self.journals]
            seen: list[dict[int, Any]] = [{} for _ in told]
            for place, known in enumerate(told):
                for offset, found in known.items():
                    seen[place][offset] = self._seen(found.outcome) or found.interruptions
            assert seen[0] == seen[1] == seen[2]
            self._compare(start, batch, seen[0], left, retry_failed)

    @staticmethod
    def _seen(outcome: Outcome | None) -> tuple[bool, object] | None:
        return None if outcome is None else (outcome.ok, outcome.value)

    def _compare(
        self, start: int, batch: list[bytes], seen: dict[int, Any], left: dict[bytes, list[Any]], retry_failed: bool
    ) -> None:
        for offset, item in enumerate(batch):
            rows = left.get(item)
            expected: object = None
            if rows:
                # Of equal ones the order is that of recording, those run again last.
                ok, value = rows.pop(0)
                if ok or not retry_failed:
                    expected = (ok, value)
                else:
                    self.retried[item] = self.retried.get(item, 0) + 1
            if expected is None and item not in self.retried:
                expected = self.interrupted[item] or None
            if isinstance(expected, tuple):
                assert seen.get(offset) == expected
                continue
            assert seen.get(offset) == expected
            self.todo.append((start + offset, item))

    # -------------------------------------------------------------------------------------------- in a session

    def _append(self, **what: Any) -> None:
        self.number += 1
        for journal, heard in zip(self.journals, self.heards, strict=True):
            journal.append(Record(self.number, **what))
            heard.wait(self.number)

    @precondition(lambda self: self.todo)
    @rule(count=st.integers(1, 4))
    def lease(self, count: int) -> None:
        chunk, self.todo = self.todo[:count], self.todo[count:]
        self._append(lease=Lease(self.number, "w", [item for _, item in chunk], 1))
        self.running[self.number - 1] = chunk

    @precondition(lambda self: self.running)
    @rule(data=st.data(), bad=st.booleans())
    def finish(self, data: st.DataObject, bad: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)))
        chunk = self.running.pop(number)
        outcomes = []
        for place, (position, item) in enumerate(chunk):
            self.serial += 1
            ok = not (bad and place == 0)
            outcomes.append(entry(position, item, self.serial) if ok else (failed(position, item), b""))
            rows = self.recorded[item]
            if self.retried.get(item):
                self.retried[item] -= 1
                del rows[[row[0] for row in rows].index(False)]
            rows.append((ok, self.serial if ok else None))
        self._append(outcomes=outcomes, ended=[number])

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)))
        chunk = self.running.pop(number)
        self._append(
            outcomes=[(failed(position, item, Status.CANCELLED), b"") for position, item in chunk], ended=[number]
        )

    @precondition(lambda self: self.journals)
    @rule()
    def die(self) -> None:
        # A death is one interruption, also of several equal items.
        self.interrupted.update({item for chunk in self.running.values() for _, item in chunk})
        self._close(None)

    @precondition(lambda self: self.journals)
    @rule()
    def end(self) -> None:
        self._close(Summary(source_ended=True))

    def _close(self, summary: Summary | None) -> None:
        for journal in self.journals:
            journal.close(summary)
        self.journals, self.todo, self.running = [], [], {}


#: `make chaos` sets RADDLE_CHAOS
EXAMPLES = 400 if os.environ.get("RADDLE_CHAOS") else 15

TestJournalModel = JournalMachine.TestCase
TestJournalModel.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)


# ------------------------------------------------------------------------------------------------------ any item

NASTY: list[Any] = [
    *(0, -1, 1, 2**63, -(2**63), 2**200, -(2**200), 10**5000, True, False, None),
    *("", "\0", "a\0", "a", "\udc80", "\ud800", "é", "e\u0301", "1", "x" * 1_000_000),
    *(b"", b"\0", b"a", b"\xff\xfe", b"1", b"x" * 1_000_000, bytearray(b"y")),
    *(0.5, -0.5, float("inf"), float("-inf"), 1e300, 1j, (), [], (1,), [1], ((1,),), [[1]], (1, "a"), ("1", "a")),
    *({}, {"a": 1}, {"a": "1"}, set(), {1}, {"1"}, Path("a"), Path("a/b"), Path("\udc80")),
    *("s1:a", b"s1:a", ("s", "a"), "i1;", "t1[i1;"),
]


def test_different_items_have_different_ids() -> None:
    ids = [item_id(item) for item in NASTY]
    assert len(set(ids)) == len(NASTY)
    assert {len(each) for each in ids} == {16}


@pytest.mark.parametrize("kind", [int, str, bytes, tuple, None], ids=str)
def test_ids_in_bulk_are_the_same(kind: type | None) -> None:
    chosen = [item for item in NASTY if kind is None or type(item) is kind]
    assert chosen
    assert item_ids(chosen) == [item_id(item) for item in chosen]


@pytest.mark.parametrize(
    ("item", "written"),
    [
        ("é", b"s2:\xc3\xa9"),
        ("\udc80", b"s3:\xed\xb2\x80"),
        (b"a\0", b"b2:a\0"),
        (255, b"iff;"),
        (-255, b"i-ff;"),
        (True, b"cTrue;"),
        (None, b"cNone;"),
        (1.5, b"f1.5;"),
        (("a", [1]), b"t2[s1:al1[i1;"),
        ({"b": 1, "a": 2}, b"d2{s1:ai2;s1:bi1;"),
        (Path("a"), b"p1:a"),
    ],
    ids=repr,
)
def test_ids_stay_what_they_were(item: object, written: bytes) -> None:
    """A journal of an older raddle is resumed by these bytes."""
    assert canonical(item) == written


@pytest.mark.parametrize("kind", ["given", "content"])
def test_any_item_is_found_again(tmp_path: Path, kind: str) -> None:
    chosen = NASTY if kind == "content" else [item for item in NASTY if type(item) in {str, bytes, int, type(Path())}]
    ids = item_ids(chosen) if kind == "content" else [given_id(item) for item in chosen]
    unique = kind == "given"
    for window in (1000, 3):
        path = tmp_path / f"{window}.db"
        journal, heard = SqliteJournal(path, resume_window=window), Heard()
        journal.begin(header(unique_ids=unique), resume=True, put=heard.put)
        pairs = [entry(number, each, pickle.dumps(number), item=item)
                 for number, (each, item) in enumerate(zip(ids, chosen, strict=True))]  # fmt: skip
        journal.append(Record(1, lease=Lease(0, "w", ids, 1)))
        journal.append(Record(2, outcomes=pairs, ended=[0]))
        heard.wait(2)
        journal.close(Summary())
        journal = SqliteJournal(path, resume_window=window)
        journal.begin(header(unique_ids=unique), resume=True, put=Heard().put)
        known = journal.known(ids[::-1])
        journal.close(None)
        values = [known[offset].outcome for offset in range(len(ids))]
        assert [each.value for each in values if each] == [pickle.dumps(number) for number in reversed(range(len(ids)))]
