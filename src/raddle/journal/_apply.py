"""Records to rows: what is written within the transaction of a group commit. Runs in the writer thread.

Outcomes go in by the thousand in one statement. `executemany` steps row by row, and gives up the interpreter lock at
each step: a busy driver makes it wait up to 5 ms to get the lock back, for every single row.
"""

from __future__ import annotations

import sqlite3
import time
from itertools import chain, compress, repeat
from operator import add, itemgetter
from typing import TYPE_CHECKING, Any

from raddle._model import Outcome, Status
from raddle.errors import ConfigError, JournalError
from raddle.journal import _rows, _sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._ports import Lease
    from raddle.journal._session import Job, Options, Session
    from raddle.journal._stretches import Bounds

__all__ = ["Positions", "apply", "same_id_twice"]

# Rows in one statement; what is left over goes in ever smaller ones. Eight marks a row, 32766 allowed.
_SIZES = (2048, 256, 32, 4, 1)
_outcome_of, _stored_of = itemgetter(0), itemgetter(1)
_position, _item, _status, _attempts, _started, _seconds, _worker, _key, _id, _resumed = map(
    itemgetter, (0, 1, 2, 5, 6, 7, 8, 9, 10, 11)
)
_SLAB = 1 << 16
_FULL = b"\1" * _SLAB


class Positions:
    """Which places of the input have an outcome in this session: a second one for the same is an engine's fault.

    A byte per place in slabs; slabs that are full share one, so that a run of any length needs next to nothing.
    """

    def __init__(self) -> None:
        self._slabs: dict[int, bytearray | bytes] = {}

    def add(self, pairs: Sequence[tuple[Outcome, bytes]]) -> None:
        """Take note of final outcomes.

        Raises:
            JournalError: one of them is there already
        """
        places = [outcome[0] for outcome, _ in pairs if outcome[2] is not Status.CANCELLED and not outcome[11]]
        if not places:
            return
        first, end = places[0], places[0] + len(places)
        if places == list(range(first, end)):
            for start in range(first - first % _SLAB, end, _SLAB):
                self._add_range(start // _SLAB, max(first - start, 0), min(end - start, _SLAB))
        else:
            for place in places:
                self._add_range(place // _SLAB, place % _SLAB, place % _SLAB + 1)

    def _add_range(self, number: int, start: int, stop: int) -> None:
        slab = self._slabs.get(number) or bytearray(_SLAB)
        twice = slab.find(1, start, stop)
        if twice >= 0 or isinstance(slab, bytes):
            raise JournalError(
                f"item {number * _SLAB + twice} ended twice in one session, and its second outcome was refused: "
                "this is a fault of raddle, please report it; what was recorded before is safe"
            )
        slab[start:stop] = _FULL[: stop - start]
        self._slabs[number] = _FULL if slab.find(0) < 0 else slab


def apply(conn: sqlite3.Connection, session: Session, options: Options, jobs: list[Job], bounds: Bounds) -> int:
    """Write records, within the transaction that is open; leases first, so that those just ended go again.

    Returns:
        the number of outcomes written
    """
    leases: list[tuple[Any, ...]] = []
    retried: list[tuple[Any, ...]] = []
    ended: list[tuple[Any, ...]] = []
    outcomes = 0
    for job in jobs:
        record = job.record
        if record.lease is not None:
            leases.append(_lease_row(session, record.lease))
        if record.outcomes:
            outcomes += _add_outcomes(conn, session, options, job, bounds)
        if record.retried:
            retried += [_attempt_row(session, outcome) for outcome in record.retried]
        if record.ended:
            ended += [(session.id, chunk) for chunk in record.ended]
    for name, rows in (("add_lease", leases), ("add_attempt", retried), ("end_lease", ended)):
        if rows:
            conn.executemany(_sql.query(name), rows)
    bounds.write(conn)
    return outcomes


# ------------------------------------------------------------------------------------------------------- outcomes


def _add_outcomes(conn: sqlite3.Connection, session: Session, options: Options, job: Job, bounds: Bounds) -> int:
    outcomes, stored = _final(job.record.outcomes)
    if not outcomes:
        return 0
    if _all_plain(outcomes, stored, options.inline_bytes):
        _insert_plain(conn, session, outcomes, stored, bounds)
    else:
        _insert_mixed(conn, session, options, list(zip(outcomes, stored, strict=True)), bounds)
    if session.unique_ids:
        _add_given_ids(conn, session, job)
    if job.replaces:
        # After the new rows, so that numbers only ever grow.
        numbers = [(number,) for number in job.replaces.values()]
        conn.executemany(_sql.query("keep_as_attempt"), numbers)
        conn.executemany(_sql.query("note_gone"), numbers)
        conn.executemany(_sql.query("delete_outcome"), numbers)
    return len(outcomes)


def _final(pairs: Sequence[tuple[Outcome, bytes]]) -> tuple[list[Outcome], list[bytes]]:
    outcomes = list(map(_outcome_of, pairs))
    stored = list(map(_stored_of, pairs))
    # A cancelled item has not ended: it is run by the next session. A resumed one is there already.
    if Status.CANCELLED in map(_status, outcomes) or any(map(_resumed, outcomes)):
        final = [outcome.status is not Status.CANCELLED and not outcome.resumed for outcome in outcomes]
        outcomes, stored = list(compress(outcomes, final)), list(compress(stored, final))
    return outcomes, stored


def _all_plain(outcomes: list[Outcome], stored: list[bytes], inline_bytes: int) -> bool:
    """Whether these may go into one statement: all ended ok, in one worker, with values that fit into a row."""
    count = len(outcomes)
    columns = (list(map(column, outcomes)) for column in (_status, _attempts, _worker))
    return (
        outcomes[0].status is Status.OK
        and all(values.count(values[0]) == count for values in columns)
        and None not in map(_id, outcomes)
        and max(map(len, stored)) <= inline_bytes
    )


def _insert_mixed(
    conn: sqlite3.Connection,
    session: Session,
    options: Options,
    pairs: list[tuple[Outcome, bytes]],
    bounds: Bounds,
) -> None:
    alike: dict[tuple[Any, ...], list[tuple[Outcome, bytes]]] = {}
    special: list[tuple[Outcome, bytes]] = []
    # Rows of equal ids are told apart by their order, so that these go one by one.
    any_order = len({outcome.id for outcome, _ in pairs} - {None}) == len(pairs)
    for outcome, stored in pairs:
        if any_order and outcome.status is Status.OK and len(stored) <= options.inline_bytes:
            alike.setdefault((outcome.attempts, outcome.worker), []).append((outcome, stored))
        else:
            special.append((outcome, stored))
    for same in alike.values():
        _insert_plain(conn, session, list(map(_outcome_of, same)), list(map(_stored_of, same)), bounds)
    conn.executemany(_sql.query("add_outcome"), [_outcome_row(session, options, *pair) for pair in special])
    rows = [outcome for outcome, _ in special]
    not_ok = [outcome.status is not Status.OK for outcome in rows]
    bounds.add(list(map(_position, rows)), list(map(_started, rows)), list(map(_seconds, rows)), not_ok)


def _insert_plain(
    conn: sqlite3.Connection, session: Session, outcomes: list[Outcome], stored: list[bytes], bounds: Bounds
) -> None:
    ids: list[bytes] = list(map(_id, outcomes))
    positions, keys = list(map(_position, outcomes)), list(map(_key, outcomes))
    starts, seconds = list(map(_started, outcomes)), list(map(_seconds, outcomes))
    rows = zip(
        ids,
        positions,
        _rows.labels(list(map(_item, outcomes))),
        keys if keys.count(None) == len(keys) else map(_rows.label_of_key, keys),
        map(add, starts, repeat(session.wall_offset)),
        seconds,
        _rows.seals(ids, positions, stored),
        stored,
        strict=False,
    )
    same = (session.run_id, session.id, outcomes[0].attempts, outcomes[0].worker)
    marks = list(chain.from_iterable(rows))
    left, start = len(stored), 0
    for size in _SIZES:
        while left >= size:
            conn.execute(_sql.query("add_ok", size), (*same, *marks[start : start + 8 * size]))
            left, start = left - size, start + 8 * size
    bounds.add(positions, starts, seconds)


def _add_given_ids(conn: sqlite3.Connection, session: Session, job: Job) -> None:
    outcomes = [
        outcome
        for offset, (outcome, _) in enumerate(job.record.outcomes)
        if offset not in job.replaces and outcome.status is not Status.CANCELLED and not outcome.resumed
    ]
    before = conn.total_changes
    try:
        conn.executemany(_sql.query("add_given_id"), [(session.run_id, outcome.id) for outcome in outcomes])
    except sqlite3.IntegrityError as error:
        # executemany has inserted the rows before the guilty one.
        guilty = outcomes[conn.total_changes - before]
        if guilty.id is None:
            raise
        found = conn.execute(_sql.query("who_has_id"), (session.run_id, guilty.id)).fetchone()
        raise same_id_twice(guilty.id, found, (guilty.position, _rows.short(guilty.item))) from error


def same_id_twice(item_id: bytes, first: tuple[int, str], second: tuple[int, str]) -> ConfigError:
    """Say which two items, as (position, label), were given one id."""
    return ConfigError(
        f"id={_show_id(item_id)} was given to two items: number {first[0]} ({first[1]}) and number {second[0]} "
        f"({second[1]}): give each item an id of its own, or leave id= out"
    )


def _show_id(item_id: bytes) -> str:
    """Describe an id for people."""
    text = item_id[:100].decode("utf-8", "replace")
    return repr(text) if text.isprintable() and "\ufffd" not in text else item_id[:32].hex()


# ----------------------------------------------------------------------------------------------------------- rows


def _lease_row(session: Session, lease: Lease) -> tuple[Any, ...]:
    started = time.monotonic() + session.wall_offset
    return session.id, lease.chunk, lease.worker, lease.attempt, started, _rows.pack(lease.ids)


def _outcome_row(session: Session, options: Options, outcome: Outcome, stored: bytes) -> tuple[Any, ...]:
    file = _rows.store_file(options.path, stored) if len(stored) > options.inline_bytes else None
    value = stored if file is None else b""
    return (
        session.run_id,
        session.id,
        outcome.id,
        outcome.position,
        _rows.short(outcome.item),
        _rows.label_of_key(outcome.key),
        outcome.status.value,
        outcome.attempts,
        outcome.started + session.wall_offset,
        outcome.seconds,
        outcome.worker,
        *_rows.error_columns(outcome.error),
        file,
        len(stored),
        None if outcome.id is None else next(_rows.seals([outcome.id], [outcome.position], [value])),
        value or None,
    )


def _attempt_row(session: Session, outcome: Outcome) -> tuple[Any, ...]:
    return (
        session.run_id,
        session.id,
        outcome.id,
        outcome.attempts,
        outcome.status.value,
        outcome.started + session.wall_offset,
        outcome.seconds,
        outcome.worker,
        *_rows.error_columns(outcome.error),
    )
