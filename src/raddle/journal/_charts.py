"""When items ended, and what ran where: the figures of charts. The work is bounded, as on a page."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from raddle.errors import ConfigError
from raddle.journal import _sql
from raddle.journal._stretches import stretches
from raddle.journal._views import Bucket, Span

if TYPE_CHECKING:
    import sqlite3

    from raddle.journal._stretches import Stretch
    from raddle.journal._views import RunRow

__all__ = ["MOST", "spans", "throughput"]

#: buckets, or spans
MOST = 100_000
#: outcomes that are looked at one by one, about; beyond that a stretch is parted evenly among its buckets
_EXACT = 65_536
#: attempts that were not the last that are looked through, and outcomes
_LOOK = 131_072


def throughput(conn: sqlite3.Connection, run: RunRow, *, buckets: int, now: float) -> list[Bucket]:
    """Return how many items ended in each of so many equal spans of time.

    Raises:
        ConfigError: `buckets` is out of range
    """
    if not 1 <= buckets <= MOST:
        raise ConfigError(f"buckets={buckets} is out of range: give 1 to {MOST}")
    known = stretches(conn, run.id)
    if not known:
        return []
    start = run.created
    width = max(_end(conn, run, known, now) - start, 1e-3) / buckets
    ok, bad = [0] * buckets, [0] * buckets

    def place(at: float) -> int:
        return min(max(int((at - start) / width), 0), buckets - 1)

    # What is recorded between two commits ended between them, as a rule; it did not end before it started.
    times = [(0.0, known[0]), *((before.greatest_end, one) for before, one in pairwise(known))]
    # Those that lie across most buckets first: of these an even share would say least.
    times.sort(key=lambda both: both[1].greatest_end - both[1].least_start, reverse=True)
    looked = 0
    for before, one in times:
        if one.bounded and (place(one.least_start) == place(one.greatest_end) or looked >= _EXACT):
            low = min(max(one.least_start, before), one.greatest_end)
            first, last = place(low), place(one.greatest_end)
            edges = [(start + edge * width - low) / (one.greatest_end - low) for edge in range(first + 1, last + 1)]
            for number, (part, upto) in enumerate(pairwise([0.0, *edges, 1.0]), first):
                rows = round(upto * one.rows) - round(part * one.rows)
                not_ok = round(upto * one.not_ok) - round(part * one.not_ok)
                bad[number] += min(not_ok, rows)
                ok[number] += rows - min(not_ok, rows)
            continue
        looked += one.rows
        row = (start, width, buckets - 1, one.first, one.last, run.id)
        for bucket, good, count in conn.execute(_sql.query("ends"), row):
            (ok if good else bad)[bucket or 0] += count
    return [Bucket(start + number * width, width, ok[number], bad[number]) for number in range(buckets)]


def _end(conn: sqlite3.Connection, run: RunRow, known: list[Stretch], now: float) -> float:
    if run.ended is not None:
        return run.ended
    if run.state == "running":
        return now
    # Nobody said when it ended: about when its last outcome was recorded.
    last = max(one.last for one in known)
    return conn.execute(_sql.query("latest_end"), (last,)).fetchone()[0] or run.created


def spans(conn: sqlite3.Connection, run: RunRow, *, since: float | None, until: float | None, limit: int) -> list[Span]:
    """Return attempts that were under way between two times, the latest ones if there are more than `limit`.

    Raises:
        ConfigError: `limit` is out of range
    """
    if not 1 <= limit <= MOST:
        raise ConfigError(f"limit={limit} is out of range: give 1 to {MOST}")
    # A second of grace: clocks are set. What never started has a time long before the run.
    low = run.created - 1 if since is None else since
    high = float("inf") if until is None else until
    found = conn.execute(_sql.query("earlier_spans"), (run.id, _LOOK, low, high, limit)).fetchall()
    of_outcomes: list[Any] = []
    looked = 0
    for one in reversed(stretches(conn, run.id)):
        if one.greatest_end < low or one.least_start > high:
            continue
        if len(of_outcomes) >= limit or looked >= _LOOK:
            break
        row = (one.first, one.last, run.id, low, high, limit - len(of_outcomes))
        of_outcomes += conn.execute(_sql.query("spans"), row).fetchall()
        looked += one.rows
    made = [Span._make(row) for row in (*found, *of_outcomes)]
    made.sort(key=lambda span: span.started + span.seconds)
    return sorted(made[-limit:], key=lambda span: span.started)
