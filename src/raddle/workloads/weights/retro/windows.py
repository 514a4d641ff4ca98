"""Windows of a user's readings, by the times in the data alone. A kernel module, see `rules.compiled`.

A user's periods are counted from the user's first reading: the first window is then a whole one, which matters, since
most of what hindsight can mend lies there. Readings that are appended move no border: where a window ends depends on
the readings before its end only, and the last one grows. (Borders at fixed dates would also stay where they are when
an *earlier* reading is added later; but then the filter itself starts anew from that reading, and everything after it
is judged again in any case.)

A period with too few readings is joined with the next ones, up to a limit; then it is left alone. A window with too
many is split. In `compat` rows may step back in time: such a row belongs to the window of the rows around it, so that
a window is always a stretch of rows that can be filtered again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from raddle.workloads.weights.values import Ints

__all__ = ["Cut", "windows"]


class Cut(NamedTuple):
    """How windows are cut: ticks of a period, readings that one must and may have, periods that one may have."""

    period: int
    least: int
    most: int
    joined: int


def windows(starts: Ints, times: Ints, cut: Cut) -> tuple[Ints, Ints]:
    """Return the windows with enough readings, users and times ascending.

    Args:
        starts: `Chunk.starts`
        times: `Chunk.time`, ticks
        cut: see there

    Returns:
        per window (n x 4): first row of its user, first row, end, end of the rows of its user;
        and (n x 2) its first tick and, exclusive, its last one
    """
    count = len(times)
    bounds = np.empty((count, 4), dtype=np.int64)
    ticks = np.empty((count, 2), dtype=np.int64)
    found = 0
    for user in range(len(starts) - 1):
        row, stop = starts[user], starts[user + 1]
        anchor = times[row] if row < stop else 0
        # the latest time so far: what a row that steps back counts as
        latest = anchor
        while row < stop:
            first = max(latest, times[row])
            begin = anchor + (first - anchor) // cut.period * cut.period
            end, reached = close(times, (row, stop), (begin, first), cut)
            if end - row >= cut.least:
                border = begin + ((reached - begin) // cut.period + 1) * cut.period
                bounds[found, 0], bounds[found, 1] = starts[user], row
                bounds[found, 2], bounds[found, 3] = end, stop
                ticks[found, 0] = begin if row == starts[user] or latest < begin else first
                ticks[found, 1] = border if end == stop or times[end] >= border else reached + 1
                found += 1
            row, latest = end, reached
    return bounds[:found].copy(), ticks[:found].copy()


def close(times: Ints, rows: tuple[int, int], begin: tuple[int, int], cut: Cut) -> tuple[int, int]:
    """Return the end of a window and its latest time.

    `rows`: its first one and the end of the user's; `begin`: first tick of its period, latest time so far.
    """
    first, stop = rows
    border, latest = begin
    end = first + 1
    while end < stop and end - first < cut.most:
        past = (times[end] - border) // cut.period
        enough = end - first >= cut.least
        if past >= cut.joined or (enough and past > (latest - border) // cut.period):
            break
        latest = max(latest, times[end])
        end += 1
    return end, latest
