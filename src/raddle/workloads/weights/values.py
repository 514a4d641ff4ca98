"""The values that travel between reading, filtering, storing and drawing. Columns are numpy arrays that run parallel.

numpy is imported by those who make arrays; here it is named for the types only, so that this module stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bytes = NDArray[np.uint8]
    Bools = NDArray[np.bool_]

__all__ = [
    "DAY",
    "FIELDS",
    "RESETS",
    "STAGES",
    "Chunk",
    "Filtered",
    "Neighbours",
    "Person",
    "Replay",
    "Revised",
    "Revision",
    "person",
]

#: a day in the ticks of `Chunk.time`
DAY: Final = 86_400_000_000

#: what became of a reading, by its code in `Filtered.stage`; the first two are accepted
STAGES: Final = (
    "initialization",
    "accepted",
    "kalman_deviation",
    "physiological",
    "preprocessing",
    "quality_scoring",
    "retrospective",
)
#: why the filter was started at a reading, by its code in `Filtered.reset`; 0: it was not
RESETS: Final = (None, "first reading", "gap", "level change", "manual entry")

#: rows of `Filtered.out`. kg; kg/day; standard deviations of both; reading minus expectation (v2: before the update,
#: compat: after it, as the original reports it); the innovation that would still have been believed; and the quality
#: of the reading with its four components, 0 to 1. NaN stands where nothing is known.
#: Of a rejected reading, `filtered_weight` and `trend` are what was expected.
FIELDS: Final = (
    "filtered_weight",
    "trend",
    "sigma",
    "trend_sigma",
    "innovation",
    "allowed",
    "quality",
    "safety",
    "plausibility",
    "consistency",
    "reliability",
)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Rows of some users. Those of `users[i]` are `[starts[i], starts[i + 1])`, in the order the rules take them."""

    #: ids, ascending
    users: tuple[str, ...]
    starts: Ints
    #: line of its file where each row begins; the header is line 1
    line: Ints
    #: number of its file
    file: Ints
    #: UTC microseconds since 1970, or with `days` microseconds since birth or start
    time: Ints
    #: as written, in its unit
    value: Floats
    #: index into `ingest.units.UNITS`
    unit: Bytes
    #: index into `source_names`
    source: Ints
    source_names: tuple[str, ...]
    #: per user; NaN: not known
    height_m: Floats
    #: per user: rows of this user that could not be used
    unused: Ints
    #: `time` counts from birth or start
    days: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """What the rules say of each row of a chunk."""

    #: kg, converted and, in compat, corrected
    weight: Floats
    #: index into STAGES
    stage: Bytes
    #: index into RESETS
    reset: Bytes
    #: len(FIELDS) x rows
    out: Floats
    #: users x Rules.state_size: where the filter stands after each user's last row. The first columns are the same
    #: for all rules: weight, trend, p00, p01, p11 (NaN: no accepted reading), tick of the last accepted reading,
    #: accepted since the last reset, resets so far
    states: Floats


@dataclass(frozen=True, slots=True)
class Replay:
    """One window that the retrospective pass looked at and found something in."""

    user: int
    #: ticks; the end is exclusive
    start: int
    end: int
    #: rows in it, and the offsets (in the chunk) of those taken out
    rows: int
    outliers: tuple[int, ...]
    #: the methods that found each of them, by name
    methods: tuple[tuple[str, ...], ...]
    #: filtered kg at the end of the window without and with the replay
    before_kg: float
    after_kg: float
    #: "applied", "refused: ..." (safety limit), "no change"
    verdict: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A published result that the retrospective pass, or a later file, changed."""

    #: offset in the chunk
    row: int
    old_stage: int
    new_stage: int
    old_filtered: float
    new_filtered: float
    old_trend: float
    new_trend: float
    #: index into Revised.replays; -1: because of readings that came later
    replay: int


@dataclass(frozen=True, slots=True)
class Revised:
    """What the retrospective pass says of a chunk. `filtered` is the final word, with all revisions in it."""

    filtered: Filtered
    replays: tuple[Replay, ...] = ()
    revisions: tuple[Revision, ...] = ()
    #: 2 x rows, kg: the weight at that time as all accepted readings together say it, and its standard deviation; NaN
    #: before a user's first accepted reading. None: not defined by these rules
    smoothed: Floats | None = None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Files of the pages before and after; empty: there is none."""

    previous: str = ""
    following: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """One user's rows and results: what a page is drawn from. Arrays are views of the chunk's."""

    id: str
    line: Ints
    time: Ints
    weight: Floats
    source: Ints
    source_names: tuple[str, ...]
    stage: Bytes
    reset: Bytes
    #: len(FIELDS) x rows
    out: Floats
    unused: int
    height_m: float
    days: bool
    #: "compat" or "v2", and numbers of the profile that words on the page need (`Rules.facts`)
    rules: str
    facts: Mapping[str, float] = field(default_factory=dict)
    #: offsets in these count from the user's first row
    replays: tuple[Replay, ...] = ()
    revisions: tuple[Revision, ...] = ()
    #: as in Revised
    smoothed: Floats | None = None

    def field(self, name: str) -> Any:
        """Return one of FIELDS as an array."""
        return self.out[FIELDS.index(name)]


def person(
    chunk: Chunk,
    filtered: Filtered,
    at: int,
    *,
    rules: str,
    facts: Mapping[str, float],
    revised: Revised | None = None,
) -> Person:
    """Return the view of one user of a chunk; with `revised`, its results are the ones shown."""
    from dataclasses import replace

    first, end = int(chunk.starts[at]), int(chunk.starts[at + 1])
    final = filtered if revised is None else revised.filtered
    replays: tuple[Replay, ...] = ()
    revisions: tuple[Revision, ...] = ()
    if revised is not None:
        own = {number: item for number, item in enumerate(revised.replays) if item.user == at}
        places = {number: place for place, number in enumerate(own)}
        replays = tuple(replace(item, outliers=tuple(row - first for row in item.outliers)) for item in own.values())
        revisions = tuple(
            replace(item, row=item.row - first, replay=places.get(item.replay, -1))
            for item in revised.revisions
            if first <= item.row < end
        )
    rows = slice(first, end)
    return Person(
        id=chunk.users[at],
        line=chunk.line[rows],
        time=chunk.time[rows],
        weight=final.weight[rows],
        source=chunk.source[rows],
        source_names=chunk.source_names,
        stage=final.stage[rows],
        reset=final.reset[rows],
        out=final.out[:, rows],
        unused=int(chunk.unused[at]),
        height_m=float(chunk.height_m[at]),
        days=chunk.days,
        rules=rules,
        facts=facts,
        replays=replays,
        revisions=revisions,
        smoothed=None if revised is None or revised.smoothed is None else revised.smoothed[:, rows],
    )
