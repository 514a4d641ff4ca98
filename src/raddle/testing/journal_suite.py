"""The promises of a journal, as tests. Bind them to yours:

    class TestMine(JournalSuite):
        def make(self, place):
            return MyJournal(place / "journal")

Run it with pytest; `pytest.register_assert_rewrite("raddle.testing.journal_suite")` in a conftest gives better
messages. Nothing here needs pytest itself.
"""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

from raddle._model import Status, Summary
from raddle._ports import Lease, Record
from raddle.errors import ConfigError, JournalError
from raddle.testing.records import NASTY_IDS, NASTY_ITEMS, NASTY_VALUES, Heard, Moved, entry, failed, header, raises

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from raddle._model import Outcome
    from raddle._ports import Journal, Known

__all__ = ["NASTY_IDS", "NASTY_ITEMS", "NASTY_VALUES", "Heard", "JournalSuite", "entry", "failed", "header"]


class JournalSuite:
    """Subclass it, say how to make your journal, and pytest does the rest."""

    def make(self, place: Path) -> Journal:
        """Return a new journal that keeps what it keeps under `place`."""
        raise NotImplementedError

    def reopen(self, journal: Journal, place: Path) -> Journal:
        """Return a journal that knows what `journal`, which is closed, was told."""
        del journal
        return self.make(place)

    # --------------------------------------------------------------------------------------------------- recording

    def test_everything_is_recorded_once_and_in_order(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        for ticket in range(1, 301):
            journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket, ticket)]))
        heard.wait(300)
        journal.close(Summary(source_ended=True))
        assert heard.tickets == sorted(set(heard.tickets))
        assert heard.tickets[-1] == 300
        found = self._resume(journal, tmp_path, [b"%d" % number for number in range(1, 301)])
        assert [found[offset].value for offset in range(300)] == list(range(1, 301))

    def test_an_empty_record_is_recorded(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        journal.append(Record(7))
        heard.wait(7)
        journal.close(None)

    def test_what_is_queued_is_recorded_by_close(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path)
        journal.begin(header(), resume=False, put=Heard().put)
        for ticket in range(50):
            journal.append(Record(ticket, outcomes=[entry(ticket, b"%d" % ticket)]))
        journal.close(None)
        assert len(self._resume(journal, tmp_path, [b"%d" % number for number in range(50)])) == 50

    def test_closing_twice_is_once(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path)
        journal.begin(header(), resume=False, put=Heard().put)
        journal.close(Summary())
        journal.close(Summary())

    def test_closing_what_never_began(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path)
        journal.close(None)
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        journal.close(None)

    # ------------------------------------------------------------------------------------------------------ resume

    def test_nothing_is_known_in_a_first_session(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        journal.append(Record(1, outcomes=[entry(0, b"a")]))
        heard.wait(1)
        assert journal.known([b"a", b"b"]) == {}
        assert journal.known([]) == {}
        journal.close(None)

    def test_an_outcome_comes_back_once_and_whole(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(3, b"a", {"v": 1})])
        journal = self.reopen(journal, tmp_path)
        before = time.monotonic()
        journal.begin(header(), resume=True, put=Heard().put)
        known = journal.known([b"b", b"a"])
        assert list(known) == [1]
        outcome = known[1].outcome
        assert outcome is not None
        assert outcome.resumed
        assert (outcome.status, outcome.value, outcome.error) == (Status.OK, {"v": 1}, None)
        assert (outcome.attempts, outcome.seconds, outcome.worker, outcome.id) == (1, 0.25, "thread-0", b"a")
        assert abs(outcome.started - before) < 60
        assert journal.known([b"a"]) == {}
        journal.close(None)

    def test_a_failure_comes_back_too(self, tmp_path: Path) -> None:
        statuses = [Status.FAILED, Status.TIMED_OUT, Status.CRASHED]
        outcomes = [(failed(number, b"%d" % number, status), b"") for number, status in enumerate(statuses)]
        journal = self._session(tmp_path, outcomes)
        found = self._resume(journal, tmp_path, [b"0", b"1", b"2"])
        assert [found[offset].status for offset in range(3)] == statuses
        error = found[0].error
        assert error is not None
        assert (error.type, error.message) == ("ValueError", "broken")
        assert "Traceback" in error.traceback
        assert found[0].value is None

    def test_a_cancelled_item_has_not_ended(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        journal.append(Record(1, lease=Lease(5, "thread-0", [b"a", b"b"], 1)))
        outcomes = [(failed(0, b"a", Status.CANCELLED), b""), entry(1, b"b")]
        journal.append(Record(2, outcomes=outcomes, ended=[5]))
        heard.wait(2)
        journal.close(None)
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        assert list(journal.known([b"a", b"b"])) == [1]  # and no interruption: its lease ended with it
        journal.close(None)

    def test_sessions_add_up(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(0, b"0")])
        for number in range(1, 4):
            journal, heard = self.reopen(journal, tmp_path), Heard()
            journal.begin(header(), resume=True, put=heard.put)
            assert sorted(journal.known([b"%d" % earlier for earlier in range(5)])) == list(range(number))
            journal.append(Record(1, outcomes=[entry(number, b"%d" % number)]))
            heard.wait(1)
            assert journal.known([b"%d" % number]) == {}, "an outcome of this session is not from an earlier one"
            journal.close(Summary(source_ended=True))

    def test_the_same_run_keeps_its_id(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path)
        uids = [journal.begin(header(), resume=False, put=Heard().put)]
        for name, resume in (("run", True), ("run", False), ("other", True), ("run", True)):
            journal.close(None)
            journal = self.reopen(journal, tmp_path)
            uids.append(journal.begin(header(name), resume=resume, put=Heard().put))
        journal.close(None)
        first, same, new, other, latest = uids
        assert first == same
        assert latest == new
        assert len({first, new, other}) == 3

    def test_runs_do_not_see_each_other(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(0, b"a")])
        assert self._resume(journal, tmp_path, [b"a"], name="other") == {}
        assert list(self._resume(journal, tmp_path, [b"a"])) == [0]

    def test_another_function_is_refused(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(0, b"a")])
        refused: list[dict[str, Any]] = [{"function": "module:other"}, {"version": "2"}]
        welcome: list[dict[str, Any]] = [{"version": ""}, {}]
        for change in refused:
            journal = self.reopen(journal, tmp_path)
            with raises(JournalError, "name='run'", "was made by function module:func", "resume=False"):
                journal.begin(header(**change), resume=True, put=Heard().put)
            journal.close(None)
        for change in welcome:
            assert list(self._resume(journal, tmp_path, [b"a"], **change)) == [0]
        assert self._resume(journal, tmp_path, [b"a"], resume=False, function="module:other") == {}

    def test_a_value_that_cannot_be_read_is_made_again(self, tmp_path: Path) -> None:
        broken = entry(0, b"a")[0], pickle.dumps(Moved())
        lost = entry(2, b"c")[0], b""
        journal = self._session(tmp_path, [broken, entry(1, b"b", "good"), lost])
        for _ in range(2):  # the second time because the first may not have got so far
            assert list(self._resume(journal, tmp_path, [b"a", b"b", b"c"])) == [1]
        journal, heard = self.reopen(journal, tmp_path), Heard()
        journal.begin(header(unique_ids=True), resume=True, put=heard.put)
        assert list(journal.known([b"a", b"b", b"c"])) == [1]
        journal.append(Record(1, outcomes=[entry(0, b"a", "again"), entry(2, b"c", "too")]))
        heard.wait(1)
        journal.close(None)
        found = self._resume(journal, tmp_path, [b"a", b"a", b"c"])
        assert {offset: outcome.value for offset, outcome in found.items()} == {0: "again", 2: "too"}

    # ------------------------------------------------------------------------------------------------- equal items

    def test_equal_items_are_counted(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(0, b"a", 0), entry(1, b"b", 1), entry(2, b"a", 2)])
        found = self._resume(journal, tmp_path, [b"a", b"a", b"a", b"b", b"b"])
        assert {offset: outcome.value for offset, outcome in found.items()} == {0: 0, 1: 2, 3: 1}
        journal, heard = self.reopen(journal, tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        assert [sorted(journal.known([b"a"])) for _ in range(3)] == [[0], [0], []]
        journal.append(Record(1, outcomes=[entry(5, b"a", 5)]))
        heard.wait(1)
        journal.close(None)
        found = self._resume(journal, tmp_path, [b"a"] * 5)
        assert {offset: outcome.value for offset, outcome in found.items()} == {0: 0, 1: 2, 2: 5}

    def test_many_equal_items(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(number, b"same", number) for number in range(500)])
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        values: list[object] = []
        for step in (1, 2, 5, 92, 300, 50, 60):
            outcomes = [known.outcome for known in journal.known([b"same"] * step).values()]
            values += [outcome.value for outcome in outcomes if outcome is not None]
        assert values == list(range(500))
        journal.close(None)

    def test_given_ids_are_unique(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(unique_ids=True), resume=False, put=heard.put)
        journal.append(Record(1, outcomes=[entry(0, b"a", item="first"), entry(1, b"b")]))
        journal.append(Record(2, outcomes=[entry(2, b"c")]))
        journal.append(Record(3, outcomes=[entry(3, b"a", item="second")]))
        journal.append(Record(4, outcomes=[entry(4, b"d")]))
        with raises(ConfigError, "id='a'", "two items", "'first'", "'second'", "an id of its own"):
            heard.wait(4)
        journal.close(None)
        assert sorted(self._resume(journal, tmp_path, [b"a", b"b", b"c", b"d"])) == [0, 1, 2]
        assert 2 in heard.tickets
        assert not {3, 4} & set(heard.tickets)

    # ------------------------------------------------------------------------------------------------ run again

    def test_what_failed_is_run_again_if_asked_for(self, tmp_path: Path) -> None:
        statuses = [Status.FAILED, Status.TIMED_OUT, Status.CRASHED]
        bad = [(failed(number, b"%d" % number, status), b"") for number, status in enumerate(statuses)]
        journal = self._session(tmp_path, [*bad, entry(3, b"3", "good")])
        ids = [b"%d" % number for number in range(4)]
        for _ in range(2):  # the second time because the first did not get so far
            assert list(self._resume(journal, tmp_path, ids, retry_failed=True)) == [3]
        assert sorted(self._resume(journal, tmp_path, ids)) == [0, 1, 2, 3]

        journal, heard = self.reopen(journal, tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put, retry_failed=True)
        assert list(journal.known(ids)) == [3]
        again = [
            entry(0, b"0", "mended"),
            (failed(1, b"1", text="still"), b""),
            (failed(2, b"2", Status.CANCELLED), b""),
        ]
        journal.append(Record(1, outcomes=again))
        heard.wait(1)
        journal.close(Summary())
        found = self._resume(journal, tmp_path, [*ids, *ids])
        assert sorted(found) == [0, 1, 2, 3], "the old outcomes are gone"
        assert [found[offset].status for offset in range(4)] == [Status.OK, Status.FAILED, Status.CRASHED, Status.OK]
        assert (found[0].value, str(found[1].error)) == ("mended", "ValueError: still")

    def test_equal_items_that_failed_are_run_again(self, tmp_path: Path) -> None:
        journal = self._session(
            tmp_path, [(failed(0, b"a"), b""), entry(1, b"a", "first"), (failed(2, b"a"), b""), entry(3, b"b")]
        )
        journal, heard = self.reopen(journal, tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put, retry_failed=True)
        known = journal.known([b"a", b"a", b"a", b"a", b"b"])
        assert len(known) == 2
        new = [number for number in range(4) if number not in known]
        journal.append(Record(1, outcomes=[entry(number, b"a", number) for number in new]))
        heard.wait(1)
        journal.close(None)
        found = self._resume(journal, tmp_path, [b"a"] * 5)
        assert sorted(str(outcome.value) for outcome in found.values()) == sorted(["first", *map(str, new)])

    def test_what_crashed_is_not_held_against_it_if_run_again(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        journal.append(Record(1, lease=Lease(0, "w", [b"poison"], 1)))
        heard.wait(1)
        journal.close(None)
        journal, heard = self.reopen(journal, tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        assert _counts(journal.known([b"poison"])) == {0: 1}
        journal.append(Record(1, outcomes=[(failed(0, b"poison", Status.CRASHED), b"")]))
        heard.wait(1)
        journal.close(Summary())
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put, retry_failed=True)
        assert journal.known([b"poison"]) == {}
        journal.close(Summary())

    def test_an_item_does_not_end_twice_in_a_session(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        journal.append(Record(1, outcomes=[entry(number, b"%d" % number) for number in range(70_000)]))
        journal.append(Record(2, outcomes=[entry(80_000, b"c"), entry(70_000, b"d")]))
        heard.wait(2)
        journal.append(Record(3, outcomes=[entry(69_999, b"a")]))
        with raises(JournalError, "item 69999 ended twice", "fault of raddle"):
            heard.wait(3)
        journal.close(None)
        assert list(self._resume(journal, tmp_path, [b"a", b"c"])) == [1]

    # ---------------------------------------------------------------------------------------------- interruptions

    def test_what_was_under_way_is_counted_after_a_death(self, tmp_path: Path) -> None:
        journal = self.make(tmp_path)
        for _ in range(3):
            heard = Heard()
            journal.begin(header(), resume=True, put=heard.put)
            journal.append(Record(1, lease=Lease(0, "thread-0", [b"poison", b"done"], 1)))
            journal.append(Record(2, lease=Lease(1, "thread-1", [b"safe"], 1)))
            journal.append(Record(3, ended=[1]))
            heard.wait(3)
            journal.close(None)
            journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        assert _counts(journal.known([b"safe", b"poison", b"done", b"new"])) == {1: 3, 2: 3}
        journal.close(None)
        journal = self.reopen(journal, tmp_path)
        heard = Heard()
        journal.begin(header(), resume=True, put=heard.put)
        journal.append(Record(1, outcomes=[entry(1, b"done")]))
        heard.wait(1)
        journal.close(Summary())
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        assert _counts(journal.known([b"poison", b"done"])) == {0: 3, 1: None}
        journal.close(None)

    def test_a_death_is_one_interruption_also_of_many_equal_items(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        journal.append(Record(1, lease=Lease(0, "thread-0", [b"a"] * 12, 1)))
        heard.wait(1)
        journal.close(None)
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        assert _counts(journal.known([b"a"] * 2)) == {0: 1, 1: 1}
        journal.close(None)

    def test_nothing_is_interrupted_by_an_orderly_end(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=True, put=heard.put)
        journal.append(Record(1, lease=Lease(0, "thread-0", [b"a"], 1)))
        heard.wait(1)
        journal.close(Summary(stopped="on_error"))
        journal = self.reopen(journal, tmp_path)
        journal.begin(header(), resume=True, put=Heard().put)
        assert journal.known([b"a"]) == {}
        journal.close(None)

    def test_a_try_that_failed_is_not_the_outcome(self, tmp_path: Path) -> None:
        journal, heard = self.make(tmp_path), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        journal.append(Record(1, lease=Lease(0, "w", [b"a"], 1)))
        journal.append(Record(2, retried=[failed(0, b"a")], ended=[0]))
        journal.append(Record(3, lease=Lease(1, "w", [b"a"], 2)))
        journal.append(Record(4, outcomes=[entry(0, b"a", "second try")], ended=[1]))
        heard.wait(4)
        journal.close(Summary(source_ended=True))
        found = self._resume(journal, tmp_path, [b"a", b"a"])
        assert {offset: outcome.value for offset, outcome in found.items()} == {0: "second try"}

    # --------------------------------------------------------------------------------------------- whatever it holds

    def test_any_id(self, tmp_path: Path) -> None:
        journal = self._session(tmp_path, [entry(number, key, number) for number, key in enumerate(NASTY_IDS)])
        found = self._resume(journal, tmp_path, NASTY_IDS)
        assert [found[offset].value for offset in range(len(NASTY_IDS))] == list(range(len(NASTY_IDS)))

    def test_any_value(self, tmp_path: Path) -> None:
        entries = [entry(number, b"%d" % number, value) for number, value in enumerate(NASTY_VALUES)]
        journal = self._session(tmp_path, entries)
        found = self._resume(journal, tmp_path, [b"%d" % number for number in range(len(NASTY_VALUES))])
        for number, value in enumerate(NASTY_VALUES):
            assert pickle.dumps(found[number].value) == pickle.dumps(value)

    def test_any_item_and_any_error(self, tmp_path: Path) -> None:
        text = "nul \0, surrogate \udcff, é, " + "long " * 50_000
        oks = [entry(number, b"%d" % number, item=item) for number, item in enumerate(NASTY_ITEMS)]
        bads = [(failed(100 + number, b"f%d" % number, text=text)._replace(item=item, key=item), b"")
                for number, item in enumerate(NASTY_ITEMS)]  # fmt: skip
        journal = self._session(tmp_path, [*oks, *bads])
        count = len(NASTY_ITEMS)
        ids = [b"%d" % number for number in range(count)] + [b"f%d" % number for number in range(count)]
        found = self._resume(journal, tmp_path, ids)
        assert len(found) == 2 * count
        assert all(outcome.error and outcome.error.message.startswith("nul ") for outcome in _after(found, count))

    # ---------------------------------------------------------------------------------------------------- machinery

    def _session(self, place: Path, outcomes: Iterable[tuple[Outcome, bytes]]) -> Journal:
        """Record outcomes in a new journal and close it."""
        journal, heard = self.make(place), Heard()
        journal.begin(header(), resume=False, put=heard.put)
        journal.append(Record(1, outcomes=list(outcomes)))
        heard.wait(1)
        journal.close(Summary(source_ended=True))
        return journal

    def _resume(
        self,
        journal: Journal,
        place: Path,
        ids: Sequence[bytes],
        *,
        resume: bool = True,
        retry_failed: bool = False,
        **changes: Any,
    ) -> dict[int, Outcome]:
        """Return what a new session is given; the session then dies without a word."""
        journal = self.reopen(journal, place)
        journal.begin(header(**changes), resume=resume, put=Heard().put, retry_failed=retry_failed)
        known = journal.known(ids)
        journal.close(None)
        return {offset: entry.outcome for offset, entry in known.items() if entry.outcome is not None}


def _after(found: dict[int, Outcome], count: int) -> list[Outcome]:
    return [outcome for offset, outcome in sorted(found.items()) if offset >= count]


def _counts(known: Any) -> dict[int, int | None]:
    found: dict[int, Known] = dict(known)
    return {offset: entry.interruptions if entry.outcome is None else None for offset, entry in found.items()}
