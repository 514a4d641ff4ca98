"""Where file formats and the ingest core meet: `presets.recognise` looks at a file's beginning and says how to read it.

Either as CSV, with a `Dialect`, or by a function that yields blocks (`exports.Reader`). A block is a polars DataFrame
with the columns BLOCK_COLUMNS: `line` (Int64, ascending in the file), the others String, where null means empty and
`time` is ISO 8601 text, in UTC or with its offset. Two more are welcome: `row` (String), what rejects.csv shows, and
`reason` (String), not null where the format itself refuses the row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from raddle.workloads.weights.options import Columns

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BLOCK_COLUMNS", "Dialect"]

#: columns that a block must have
BLOCK_COLUMNS: Final = ("line", "user", "time", "weight", "unit", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one kind of CSV file says what is needed. Columns that the user names win over those here."""

    #: name of the preset, for summary.json
    name: str = "raddle"
    columns: Columns = field(default_factory=Columns)
    #: unit where no column says it, for instance from a header such as "Weight (kg)"
    unit: str | None = None
    #: the user of all rows; None: from the column
    user: str | None = None
    delimiter: str = ","
    #: source of rows that name none
    source: str | None = None
    #: from a stripped cell to ISO text (in UTC or with its offset), None: it is no time. None: cells are ISO already
    parse_time: Callable[[str], str | None] | None = None
