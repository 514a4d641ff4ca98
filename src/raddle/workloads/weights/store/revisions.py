"""revisions.csv: what this run changed of results that had been published."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from raddle.workloads.weights.files import replaced
from raddle.workloads.weights.store.database import connect, unusable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_revisions"]

_COLUMNS: Final = (
    "user_id",
    "file",
    "line",
    "time",
    "old_stage",
    "new_stage",
    "old_filtered_weight",
    "new_filtered_weight",
    "old_trend",
    "new_trend",
    "cause",
    "window_start",
    "window_end",
    "verdict",
)
_QUERY: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM revisions"  # noqa: S608 - own names
    " WHERE ingest = (SELECT max(ingest) FROM files) ORDER BY user_id, number"
)
_COUNT: Final = "SELECT count(*) FROM revisions WHERE ingest = (SELECT max(ingest) FROM files)"


def write_revisions(path: Path, state: Path) -> int:
    """Write the revisions of the last ingest of a state; no file if there are none.

    From the state, because it tells what is news: a window that is looked at again and comes to the same is not.
    CSV, because they are few, and for people.

    Returns:
        how many
    """
    try:
        with closing(connect(state, write=False)) as base:
            rows = base.execute(_QUERY)
            first = rows.fetchone()
            if first is None:
                path.unlink(missing_ok=True)
                return 0
            with (
                replaced(path) as spare,
                spare.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
            ):
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(_COLUMNS)
                writer.writerow(first)
                writer.writerows(rows)
                return int(base.execute(_COUNT).fetchone()[0])
    except sqlite3.Error as error:
        raise unusable(state, error) from error
