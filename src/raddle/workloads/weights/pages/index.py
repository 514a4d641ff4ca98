"""The index of all users: one page whose list is drawn by index.js, only as far as it is seen."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.pages.counts import INGEST_REASONS
from raddle.workloads.weights.text import script_json
from raddle.workloads.weights.values import DAY, FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from raddle.workloads.weights.values import Bools, Chunk, Filtered, Floats, Ints

__all__ = [
    "COLUMNS",
    "count_text",
    "failed_row",
    "index_assets",
    "index_page",
    "index_rows",
    "page_asset",
]

#: what stands where in a row of the index. Days count from 1970, or from birth or start; `rejected` None: failed;
#: name 0: the page is called as the user; trend in kg/week; change: kg between the first and the last accepted
#: reading; quality in %; course: 32 points of the filtered weight, each a digit to the base 36
COLUMNS: Final = (
    "user",
    "name",
    "readings",
    "rejected",
    "unused",
    "kg",
    "trend",
    "change",
    "first",
    "last",
    "quality",
    "resets",
    "revisions",
    "course",
)

_POINTS = 32
_LEVELS = np.frombuffer(b"0123456789abcdefghijklmnopqrstuvwxyz", dtype="S1")
_LIGHT = 20.0  # kg: below it 10 g matter
_FIRST_READING = 1  # of RESETS


@cache
def page_asset(name: str) -> str:
    """Return the text of a file that ships beside the pages' code."""
    return files("raddle.workloads.weights.pages").joinpath("assets", name).read_text(encoding="utf-8")


def index_rows(chunk: Chunk, filtered: Filtered, names: Sequence[str], revisions: Mapping[int, int]) -> list[list[Any]]:
    """Return a row of COLUMNS for each user of a chunk.

    Args:
        chunk: the users and their readings
        filtered: what became of them; with a retrospective pass its final word
        names: the file name of each user's page
        revisions: how many revisions a user has, by number in the chunk; missing: none
    """
    starts, states = chunk.starts, filtered.states
    used = filtered.stage <= 1
    readings = np.diff(starts)
    accepted = _per_user(used, starts)
    resets = _per_user(filtered.reset > _FIRST_READING, starts)
    kg = states[:, 0] if len(states) else np.zeros(0)
    trend = np.where(states[:, 6] > 1, states[:, 1] * 7, np.nan) if len(states) else kg
    change = _change(filtered.out[FIELDS.index("filtered_weight")], used, starts)
    fine = np.where(np.isnan(kg), 100.0, kg) < _LIGHT
    firsts, lasts = _span(chunk)
    columns = (
        [0 if name == f"{user}.html" else name for user, name in zip(chunk.users, names, strict=True)],
        readings.tolist(),
        (readings - accepted).tolist(),
        chunk.unused.tolist(),
        _numbers(np.where(fine, np.round(kg, 2), np.round(kg, 1))),
        _numbers(np.round(trend, 2)),
        _numbers(np.where(fine, np.round(change, 2), np.round(change, 1))),
        firsts,
        lasts,
        _quality(filtered.out[FIELDS.index("quality")], starts),
        resets.tolist(),
        [revisions.get(at, 0) for at in range(len(chunk.users))],
        _courses(chunk, filtered, used),
    )
    return [list(row) for row in zip(chunk.users, *columns, strict=True)]


def failed_row(user: str, name: str, *, readings: int = 0, unused: int = 0) -> list[Any]:
    """Return the row of a user whose data could not be processed."""
    own = 0 if name == f"{user}.html" else name
    return [user, own, readings, None, unused, None, None, None, None, None, None, 0, 0, ""]


def index_page(
    rows: Sequence[list[Any]],
    *,
    title: str,
    days: bool,
    rows_read: int,
    rejected: Mapping[str, int],
    population: bool = True,
) -> bytes:
    """Return index.html.

    Args:
        rows: of `index_rows` and `failed_row`, in order of users
        title: the input's name
        days: times count from birth or start
        rows_read: rows of the input, used or not
        rejected: rows not used, by reason
        population: there is a population.html
    """
    return (
        Template(page_asset("index.html"))
        .substitute(
            title=escape(title),
            population='<a href="population.html">population report →</a>' if population else "",
            tiles=_tiles(rows, rows_read, sum(rejected.values())),
            unused=_unused(rejected),
            users=script_json({"days": days, "columns": COLUMNS, "rows": rows}),
        )
        .encode("utf-8", "replace")
    )


def index_assets() -> dict[str, bytes]:
    """Return the files that index.html and population.html need beside them, page.css and plotly.min.js apart."""
    return {name: page_asset(name).encode() for name in ("index.css", "index.js", "population.js")}


def count_text(number: int, noun: str) -> str:
    """Return `1 reset` or `2 resets`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _tiles(rows: Sequence[list[Any]], rows_read: int, unused: int) -> str:
    readings = sum(row[2] for row in rows)
    failed = [row for row in rows if row[3] is None]
    judged = readings - sum(row[2] for row in failed)
    refused = sum(row[3] or 0 for row in rows)
    resets, revisions = sum(row[11] for row in rows), sum(row[12] for row in rows)
    each = f"{readings / len(rows):.1f} readings each" if rows else ""
    tiles = [
        ("users", f"{len(rows):,}", f"{len(failed):,} failed" if failed else each, bool(failed)),
        ("rows read", f"{rows_read:,}", f"{unused:,} not used", False),
        ("accepted", f"{judged - refused:,}", _share(judged - refused, judged, "of the readings"), False),
        ("rejected", f"{refused:,}", _share(refused, judged, "of the readings"), False),
        ("resets", f"{resets:,}", f"{resets / len(rows):.2f} a user" if rows else "", False),
    ]
    if revisions:
        users = sum(row[12] > 0 for row in rows)
        tiles.append(("revisions", f"{revisions:,}", f"of {count_text(users, 'user')}", False))
    return "".join(
        f'<div class="tile"><dt>{name}</dt><dd><b>{value}</b><small{bad * " class=failure"}>{more}</small></dd></div>'
        for name, value, more, bad in tiles
    )


def _share(part: int, whole: int, of: str) -> str:
    return f"{100 * part / whole:.1f} % {of}" if whole else ""


def _unused(rejected: Mapping[str, int]) -> str:
    if not sum(rejected.values()):
        return '<p class="quiet">Every row was used.</p>'
    listed = "".join(
        f'<tr><td class="n">{count:,}</td><td>{escape(INGEST_REASONS.get(reason, reason.replace("_", " ")))}</td>'
        f"<td><code>{escape(reason)}</code></td></tr>"
        for reason, count in sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0]))
        if count
    )
    return (
        f"<details><summary>{count_text(sum(rejected.values()), 'row')} not used, by reason</summary>"
        '<div class="scroll"><table><thead><tr><th class="n">rows</th><th>why</th>'
        '<th>reason in <a href="rejects.csv">rejects.csv</a>, where each row is listed with its line</th></tr></thead>'
        f"<tbody>{listed}</tbody></table></div></details>"
    )


# Nothing below may depend on where a user stands in the chunk: sums are of integers, times count from the user's own.


def _per_user(rows: Bools | Ints, starts: Ints) -> Ints:
    sums = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(rows, out=sums[1:])
    return sums[starts[1:]] - sums[starts[:-1]]


def _numbers(values: Floats) -> list[float | None]:
    found: NDArray[np.object_] = (values + 0.0).astype(object)  # no -0.0
    found[~np.isfinite(values)] = None
    return list(found.tolist())


def _change(level: Floats, used: Bools, starts: Ints) -> Floats:
    """Return the last accepted filtered weight minus the first; NaN: there are no two."""
    change = np.full(len(starts) - 1, np.nan)
    places = np.flatnonzero(used)
    first = np.searchsorted(places, starts[:-1])
    last = np.searchsorted(places, starts[1:]) - 1
    two = last > first
    change[two] = level[places[last[two]]] - level[places[first[two]]]
    return change


def _span(chunk: Chunk) -> tuple[list[int | None], list[int | None]]:
    """Return each user's first and last day; None of one without rows."""
    some = np.flatnonzero(np.diff(chunk.starts))
    bounds = []
    for least in (np.minimum, np.maximum):
        found: NDArray[np.object_] = np.full(len(chunk.users), None, dtype=object)
        if some.size:
            found[some] = (least.reduceat(chunk.time, chunk.starts[some]) // DAY).tolist()
        bounds.append(found.tolist())
    return bounds[0], bounds[1]


def _quality(quality: Floats, starts: Ints) -> list[int | None]:
    known = np.isfinite(quality)
    counts = _per_user(known, starts)
    sums = _per_user(np.rint(np.where(known, quality, 0.0) * 10_000).astype(np.int64), starts)
    found: NDArray[np.object_] = ((sums + 50 * counts) // np.maximum(100 * counts, 1)).astype(object)
    found[counts == 0] = None
    return list(found.tolist())


def _courses(chunk: Chunk, filtered: Filtered, used: Bools) -> list[str]:
    """Return how the filtered weight went from the first to the last accepted reading, at even distances of time."""
    courses = [""] * len(chunk.users)
    level = filtered.out[FIELDS.index("filtered_weight")]
    places = np.flatnonzero(used & np.isfinite(level))
    owner = np.repeat(np.arange(len(courses)), np.diff(chunk.starts))[places]
    drawn = np.flatnonzero(np.bincount(owner, minlength=len(courses)) > 1)
    places = places[np.isin(owner, drawn)]
    if not places.size:
        return courses
    owner = np.repeat(np.arange(len(courses)), np.diff(chunk.starts))[places]
    order = np.lexsort((chunk.time[places], owner))
    places, owner = places[order], owner[order]
    begins = np.flatnonzero(np.diff(owner, prepend=-1))
    ends = np.append(begins[1:], owner.size) - 1
    # whole seconds from the user's own first reading, laid one user after the other: ascending and exact
    own = (chunk.time[places] - np.repeat(chunk.time[places[begins]], ends - begins + 1)) // 1_000_000
    spans = own[ends]
    offsets = np.concatenate(([0], np.cumsum(spans + 1)[:-1]))
    keys = own + np.repeat(offsets, ends - begins + 1)
    grid = np.rint(spans[:, None] * (np.arange(_POINTS) / (_POINTS - 1))).astype(np.int64)
    right = np.searchsorted(keys, grid + offsets[:, None], side="left")
    left = np.maximum(right - 1, begins[:, None])
    share = (grid - own[left]) / np.maximum(own[right] - own[left], 1)
    values = level[places]
    points = values[left] + np.clip(share, 0.0, 1.0) * (values[right] - values[left])
    low, high = points.min(axis=1), points.max(axis=1)
    top = len(_LEVELS) - 1
    scale = top / np.maximum(high - low, np.maximum(0.02 * high, 1e-9))  # 2 %: noise is not made a mountain range
    heights = np.rint(top / 2 + scale[:, None] * (points - ((low + high) / 2)[:, None]))
    letters = _LEVELS[np.clip(heights, 0, top).astype(np.int64)]
    for at, text in zip(drawn.tolist(), letters.reshape(len(drawn), -1), strict=True):
        courses[at] = text.tobytes().decode()
    return courses
