"""What a journal tells about its runs. Reads only, also while a run writes, and on a disk that cannot be written."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle._model import Status
from raddle.errors import ConfigError
from raddle.journal import _charts, _explain, _paging, _rows, _scan, _sql
from raddle.journal._alive import alive
from raddle.journal._views import (
    Bucket,
    FailureGroup,
    Happening,
    Lease,
    Mark,
    Order,
    OutcomePage,
    OutcomeRow,
    RunRow,
    Sample,
    Span,
    Timed,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = [
    "Bucket",
    "FailureGroup",
    "Happening",
    "History",
    "Lease",
    "Mark",
    "Order",
    "OutcomePage",
    "OutcomeRow",
    "RunRow",
    "Sample",
    "Span",
    "Timed",
]

_PAGE = 1000
_BIGGEST = (1 << 63) - 1


class History:
    """The runs in a journal. Every call opens its own connection, and holds none while you look at the answer.

    A journal that an older raddle wrote is read as it is, if it is not too old: without happenings, and more slowly.

    Args:
        path: the file
        patience: seconds that a call waits for another program that keeps everybody out of the file

    Raises (each call):
        JournalError: the journal is not there, is kept locked, was written by a newer raddle, or cannot be read
        JournalDamaged: it is not a journal, or it is broken
    """

    def __init__(self, path: str | os.PathLike[str], *, patience: float = _explain.BUSY_SECONDS) -> None:
        self.path = Path(path).resolve()
        self._patience = patience

    def runs(self) -> list[RunRow]:
        """Return all runs, the oldest first."""
        return self._runs(None, None)

    def run(self, name_or_id: str | int) -> RunRow | None:
        """Return the run of that uid, else the latest of that name, else the one of that number, else None."""
        text = _rows.safe_text(str(name_or_id))
        number = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_BIGGEST)) else None
        rows = self._runs(text, number)
        by_uid = [row for row in rows if row.uid == text]
        by_name = [row for row in rows if row.name == text]
        found = by_uid or by_name or rows
        return found[-1] if found else None

    def outcomes(
        self, run_id: int, *, status: Status | str | None = None, limit: int | None = None, after: int = 0
    ) -> Iterator[OutcomeRow]:
        """Yield outcomes in the order of recording, those recorded during the iteration included.

        Args:
            run_id: `RunRow.id`
            status: only these
            limit: so many at most
            after: only those with a greater `OutcomeRow.id`

        Raises:
            ValueError: there is no such status
        """
        wanted = None if status is None else Status(status)
        left = _BIGGEST if limit is None else limit
        while left > 0:
            # A page at a time: a reader that sits in a transaction keeps the writer's log from being folded in.
            with self._reading() as conn:
                rows = _outcome_page(conn, run_id, wanted, after, min(left, _PAGE))
            for row in rows:
                yield _outcome_row(row, self.path)
            if len(rows) < min(left, _PAGE):
                return
            left -= len(rows)
            after = rows[-1]["id"]

    def counts(self, run_id: int) -> dict[Status, int]:
        """Return how many items ended in which way."""
        with self._reading() as conn:
            total = _total(conn, run_id)
            rows = conn.execute(_sql.query("count_not_ok"), (run_id,)).fetchall()
        found = {Status(row["status"]): row["count"] for row in rows}
        ok = total - sum(found.values())
        return ({Status.OK: ok} if ok else {}) | found

    def timed(self, run_id: int) -> Iterator[list[Timed]]:
        """Yield all outcomes in the order of recording, page by page: number, item id, status, seconds and no more."""
        after, rows = 0, list[Timed]()
        while not after or len(rows) == _scan.PAGE:
            with self._reading() as conn:
                conn.row_factory = None
                rows = _scan.page(conn, run_id, after)
            if not rows:
                return
            yield rows
            after = rows[-1][0]

    def sample(self, run_id: int) -> Sample:
        """Return the seconds of all outcomes, or of 20,000 from all over the run if there are more."""
        with self._reading() as conn:
            return _scan.sample(conn, run_id, _total(conn, run_id))

    def earlier_attempts(self, run_id: int) -> dict[str, int]:
        """Return how many attempts were not the last of their item: tried again, or "interrupted"."""
        with self._reading() as conn:
            rows = conn.execute(_sql.query("count_attempts"), (run_id,)).fetchall()
        return {row["status"]: row["count"] for row in rows}

    def failures(self, run_id: int) -> list[FailureGroup]:
        """Return what went wrong, grouped by status and error type, the most frequent first."""
        with self._reading() as conn:
            rows = conn.execute(_sql.query("failures"), (run_id,)).fetchall()
        return [FailureGroup(**_pick(row, status=Status(row["status"]))) for row in rows]

    def page(
        self,
        run_id: int,
        *,
        status: Status | str | None = None,
        error_type: str | None = None,
        search: str = "",
        order: Order = "recorded",
        cursor: str | None = None,
        limit: int = 100,
    ) -> OutcomePage:
        """Return some outcomes, and how to get the next ones. The work of a call is bounded.

        Args:
            run_id: `RunRow.id`
            status: only these
            error_type: only those with an exception of that class, as in `OutcomeRow.error_type`
            search: only those with this text in label, key, error type or message, capital letters or not. `rows` may
                then be few, or none, before the last page.
            order: "recorded" (the order of recording), "newest" (the other way round), "slowest" (by `seconds`) or
                "position" (the order of the input)
            cursor: `OutcomePage.cursor` of the page before, with the same other arguments; None: the first page
            limit: rows on a page at most

        Raises:
            ConfigError: an option is out of range, or the cursor is none
            ValueError: there is no such status
        """
        what = _paging.wanted(
            order=order, status=status, error_type=error_type, search=search, cursor=cursor, limit=limit
        )
        with self._reading() as conn:
            numbers, after = _paging.find(conn, run_id, what)
            rows = _these(conn, numbers)
        return OutcomePage([_outcome_row(row, self.path) for row in rows], after)

    def slowest(self, run_id: int, *, limit: int = 20) -> list[OutcomeRow]:
        """Return the items whose last attempt took longest, the slowest first."""
        return self.page(run_id, order="slowest", limit=limit).rows

    def throughput(self, run_id: int, *, buckets: int = 120) -> list[Bucket]:
        """Return how many items ended when: equal spans from the run's creation until its end, or now.

        What a later session ran again may count where it first ended, too. Of a run of more than some 60,000 items, the
        line between two buckets is drawn to about a thousand items.

        Raises:
            ConfigError: `buckets` is out of range
        """
        with self._reading() as conn:
            run = self._numbered(conn, run_id)
            return [] if run is None else _charts.throughput(conn, run, buckets=buckets, now=time.time())

    def spans(
        self, run_id: int, *, since: float | None = None, until: float | None = None, limit: int = 2000
    ) -> list[Span]:
        """Return what ran where and when, the earliest start first; the latest ones if there are more than `limit`.

        Args:
            run_id: `RunRow.id`
            since: only attempts that had not ended before, seconds since 1970
            until: only attempts that had started by then
            limit: so many at most

        Raises:
            ConfigError: `limit` is out of range
        """
        with self._reading() as conn:
            run = self._numbered(conn, run_id)
            return [] if run is None else _charts.spans(conn, run, since=since, until=until, limit=limit)

    def under_way(self, run_id: int) -> list[Lease]:
        """Return what the workers have now, by worker; nothing of a run that is not running."""
        with self._reading() as conn:
            run = self._numbered(conn, run_id)
            if run is None or run.state != "running":
                return []
            rows = conn.execute(_sql.query("under_way"), (run_id,)).fetchall()
        return [Lease(worker, started, _rows.count(ids), attempt) for worker, started, ids, attempt in rows]

    def happenings(self, run_id: int, *, after: int = 0, limit: int = 1000) -> list[Happening]:
        """Return what the run decided and what befell it, those with a greater id than `after`, the oldest first.

        A journal that no run has opened since it was written by an older raddle has none.

        Raises:
            ConfigError: `limit` is out of range
        """
        if limit < 1:
            raise ConfigError(f"limit={limit} is too small: give 1 or more")
        with self._reading() as conn:
            if not _has_history(conn):
                return []
            rows = conn.execute(_sql.query("happenings"), (run_id, after, limit)).fetchall()
        return [Happening(*row) for row in rows]

    def mark(self) -> Mark:
        """Return what differs from the last mark when anything has changed since."""
        with self._reading() as conn:
            file = self.path.stat()
            outcome, attempt, session, lease = conn.execute(_sql.query("highest_numbers")).fetchone()
            happening = conn.execute(_sql.query("highest_happening")).fetchone()[0] if _has_history(conn) else 0
            states = [tuple(row) for row in conn.execute(_sql.query("states"))]
            dead = [not alive(row["pid"], row["host"], self.path) for row in conn.execute(_sql.query("said_to_run"))]
        return Mark(
            (file.st_dev, file.st_ino), outcome, attempt, happening, session, lease, (*states, ("dead", sum(dead)))
        )

    def _runs(self, text: str | None, number: int | None) -> list[RunRow]:
        with self._reading() as conn:
            rows = conn.execute(_sql.query("runs"), (text, text, text, number)).fetchall()
        return [_run_row(row, self.path) for row in rows]

    def _numbered(self, conn: sqlite3.Connection, number: int) -> RunRow | None:
        row = conn.execute(_sql.query("runs"), (1, None, None, number)).fetchone()
        return None if row is None else _run_row(row, self.path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(_sql.connect_reader(self.path, self._patience)) as conn:
            conn.row_factory = sqlite3.Row
            try:
                conn.execute("BEGIN")  # several statements of one call see one state
                yield conn
            except sqlite3.Error as error:
                raise _explain.explain(self.path, error, self._patience) from error
            except OverflowError as error:
                raise ConfigError("a number has more than 64 bits: give one that the journal has given") from error
            except FileNotFoundError as error:
                raise _explain.absent(self.path) from error


def _pick(row: sqlite3.Row, *without: str, **instead: Any) -> dict[str, Any]:
    """Return the columns of a row, which are named like the fields of what is made of them."""
    return {name: row[name] for name in row.keys() if name not in without} | instead  # noqa: SIM118 - Row is no dict


def _bounds(conn: sqlite3.Connection, run_id: int) -> tuple[int, int]:
    """Return between which numbers the outcomes of a run are; other runs may have some there too."""
    first, last = conn.execute(_sql.query("bounds"), (run_id,)).fetchone()
    return (1, 0) if first is None else (first, last)


def _has_history(conn: sqlite3.Connection) -> bool:
    return int(conn.execute("PRAGMA user_version").fetchone()[0]) >= _sql.WITH_HISTORY


def _total(conn: sqlite3.Connection, run_id: int) -> int:
    if not _has_history(conn):
        total: int = conn.execute(_sql.query("count_all"), (*_bounds(conn, run_id), run_id)).fetchone()["total"]
        return total
    # Numbers are given without gaps, so that nothing needs to be counted but what has been taken away since.
    ranges = conn.execute(_sql.query("run_ranges"), (run_id,)).fetchall()
    gone: int = conn.execute(_sql.query("gone"), (run_id,)).fetchone()["gone"]
    recorded: int = sum(last - first + 1 for first, last in ranges if last is not None)
    return recorded - gone


def _these(conn: sqlite3.Connection, numbers: list[int]) -> list[sqlite3.Row]:
    """Return the outcomes of these numbers, in that order."""
    found: dict[int, sqlite3.Row] = {}
    for start in range(0, len(numbers), _PAGE):
        some = numbers[start : start + _PAGE]
        found |= {row["id"]: row for row in conn.execute(_sql.query("these_outcomes", len(some)), some)}
    return [found[number] for number in numbers]


def _outcome_page(
    conn: sqlite3.Connection, run_id: int, status: Status | None, after: int, count: int
) -> list[sqlite3.Row]:
    first, last = _bounds(conn, run_id)
    among = (max(after, first - 1), last, run_id)
    if status is None or status is Status.OK:
        name = None if status is None else status.value
        return conn.execute(_sql.query("outcomes"), (*among, name, count)).fetchall()
    return conn.execute(_sql.query("outcomes_not_ok"), (*among, status.value, count)).fetchall()


def _outcome_row(row: sqlite3.Row, path: Path) -> OutcomeRow:
    times = {"started": row["started"] or 0.0, "seconds": row["seconds"] or 0.0}
    return OutcomeRow(**_pick(row, status=Status(row["status"]), **times), _path=path)


def _run_row(row: sqlite3.Row, path: Path) -> RunRow:
    state, summary = row["state"], row["summary"]
    if state == "running" and not alive(row["pid"], row["host"], path):
        state = "interrupted"  # killed; the next session with this journal will note the same
    return RunRow(**_pick(row, "latest", state=state, summary=json.loads(summary) if summary else None))
