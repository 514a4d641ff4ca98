"""What workers do: filter a chunk, look at it again with hindsight, draw a page. Each leaves a file and says little."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raddle.workloads.weights.arrange import Arranged, arrange, only
from raddle.workloads.weights.files import page_name, write_whole
from raddle.workloads.weights.parts import Part, read_part, read_revised, write_part, write_revised
from raddle.workloads.weights.rules import load_rules
from raddle.workloads.weights.values import FIELDS, STAGES, Neighbours, Revised, Revision, person

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raddle.workloads.weights.retro.options import RetroOptions
    from raddle.workloads.weights.rules import Rules
    from raddle.workloads.weights.values import Chunk, Filtered

__all__ = [
    "ChunkDone",
    "FilterJob",
    "PageJob",
    "RetroJob",
    "chunk_digest",
    "draw_page",
    "filter_chunk",
    "is_drawn",
    "look_back",
    "take_part",
]

#: parts that wait in memory for the one who takes them; more are read again
_MOST_RECENT = 6
_recent: dict[str, Part] = {}
_lock = threading.Lock()
#: a published result has changed if it moved by more than this, kg
_MOVED_KG = 1e-9


@dataclass(frozen=True, slots=True)
class FilterJob:
    """A chunk of users to filter."""

    #: digest of the rows, the rules, and what the state had before
    id: str
    chunk: Chunk
    #: where the part goes
    part: str
    #: name and profile of the rules
    rules: tuple[str, str]
    #: use the compiled kernel
    fast: bool
    #: a state with earlier rows of these users, and how many may read it at a time
    state: str | None = None
    readers: int = 1
    #: also say what the index and the population report need
    report: bool = True
    #: the part outlives a power cut, as the journal does that will speak of it
    sync: bool = True

    def __repr__(self) -> str:
        """Return what views of progress show."""
        first, last = self.chunk.users[0], self.chunk.users[-1]
        return f"user {first}" if first == last else f"users {first} to {last}"


@dataclass(frozen=True, slots=True)
class RetroJob:
    """A part to look at again."""

    id: str
    part: str
    revised: str
    rules: tuple[str, str]
    fast: bool
    options: RetroOptions
    report: bool = True
    sync: bool = True

    def __repr__(self) -> str:
        """Return what views of progress show."""
        return f"again {Path(self.part).name}"


@dataclass(frozen=True, slots=True)
class ChunkDone:
    """What is told of a chunk: small, since it goes into the journal."""

    users: int
    #: fresh rows that the rules saw, and rows that repeat another
    rows: int
    duplicates: int
    #: fresh rows by stage
    stages: dict[str, int]
    revisions: int
    replays: int = 0
    #: rows of the index and counts of the population report; None: somebody else reports
    index: list[list[Any]] | None = None
    counts: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class PageJob:
    """A page to draw."""

    part: str
    #: what the retrospective pass left, "" if there was none
    revised: str
    #: the user's place in the chunk
    at: int
    user: str
    path: str
    links: Neighbours
    #: stands in the page, so that a page of other data is told from this one
    mark: str
    rules: tuple[str, str]

    def __repr__(self) -> str:
        """Return what views of progress show."""
        return f"page of {self.user}"


def chunk_digest(chunk: Chunk, *more: str) -> str:
    """Return what tells a chunk from any other: its rows to the bit, and `more`."""
    words = repr((chunk.users, chunk.source_names, chunk.days, more))
    digest = hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16)
    for array in (chunk.starts, chunk.line, chunk.file, chunk.time, chunk.value, chunk.unit, chunk.source):
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    digest.update(chunk.height_m.tobytes())
    digest.update(chunk.unused.tobytes())
    return digest.hexdigest()


def filter_chunk(job: FilterJob) -> ChunkDone:
    """Filter the users of a chunk and leave the part."""
    rules = _rules(*job.rules)
    earlier = _history(job.state, job.readers, job.chunk.users) if job.state else None
    chunk = job.chunk if earlier is None else replace(job.chunk, height_m=_heights(job.chunk, earlier))
    arranged = arrange(chunk, earlier, by_time=rules.name != "compat")
    filtered = rules.begin(arranged.chunk, fast=job.fast).whole()
    revisions = _changes(arranged, filtered, earlier)
    part = Part(arranged.chunk, filtered, arranged.fresh, arranged.duplicates, revisions)
    write_part(Path(job.part), part, sync=job.sync)
    _keep(job.part, part)
    return _told(part, Revised(filtered, (), revisions), report=job.report)


def take_part(path: str) -> Part:
    """Return a part that has just been left: from memory if it was left by this process, else from its file."""
    with _lock:
        part = _recent.pop(path, None)
    return part or read_part(Path(path))


def _keep(path: str, part: Part) -> None:
    with _lock:
        _recent[path] = part
        while len(_recent) > _MOST_RECENT:
            del _recent[next(iter(_recent))]


def look_back(job: RetroJob) -> ChunkDone:
    """Look at a part with hindsight and leave what has changed."""
    from raddle.workloads.weights.retro.replay import retrospect
    from raddle.workloads.weights.smooth import smoothed

    part = read_part(Path(job.part))
    revised = retrospect(part.chunk, part.filtered, _rules(*job.rules), job.options, fast=job.fast)
    if job.rules[0] == "v2":
        line = smoothed(part.chunk, revised.filtered, job.rules[1], fast=job.fast)
        revised = replace(revised, smoothed=np.stack([line.kg, line.sigma]))
    write_revised(Path(job.revised), revised, sync=job.sync)
    return _told(part, revised, report=job.report)


def draw_page(job: PageJob) -> None:
    """Write a user's page; it is never seen half-written."""
    from raddle.workloads.weights.pages.page import user_page

    part, revised = _loaded(job.part, job.revised)
    rules = _rules(*job.rules)
    shown = person(part.chunk, part.filtered, job.at, rules=rules.name, facts=rules.facts, revised=revised)
    # no fsync: a page lost to a power cut is noticed by its mark and drawn again
    write_whole(Path(job.path), user_page(shown, job.links, mark=job.mark), sync=False)


def is_drawn(job: PageJob) -> bool:
    """Tell whether the page on disk is the one that this job would draw."""
    try:
        with Path(job.path).open("rb") as file:
            return job.mark.encode() in file.read(400)
    except OSError:
        return False


@cache
def _rules(name: str, profile: str) -> Rules:
    return load_rules(name, profile)


@lru_cache(maxsize=2)
def _loaded(part: str, revised: str) -> tuple[Part, Revised | None]:
    read = read_part(Path(part))
    if revised:
        return read, read_revised(Path(revised))
    return read, Revised(read.filtered, (), read.revisions) if read.revisions else None


@cache
def _pool(path: str, size: int) -> Any:
    from raddle.workloads.weights.store.readers import ReadPool

    return ReadPool(Path(path), size=size)


def _heights(chunk: Chunk, earlier: Any) -> Any:
    """Return the heights of a chunk; those that this run does not know are as they were."""
    known = dict(zip(earlier.users, earlier.height_m.tolist(), strict=True))
    before = np.array([known.get(user, np.nan) for user in chunk.users])
    return np.where(np.isnan(chunk.height_m), before, chunk.height_m)


def _history(path: str, readers: int, users: Iterable[str]) -> Any:
    return _pool(path, readers).history(tuple(users))


def _changes(arranged: Arranged, filtered: Filtered, earlier: Any) -> tuple[Revision, ...]:
    """Return the published results that the new rows changed."""
    rows = np.flatnonzero(arranged.earlier >= 0)
    if not len(rows):
        return ()
    source = arranged.earlier[rows]
    old = (earlier.stage[source], earlier.filtered_weight[source], earlier.trend[source])
    new = (filtered.stage[rows], *(filtered.out[FIELDS.index(name), rows] for name in ("filtered_weight", "trend")))
    with np.errstate(invalid="ignore"):
        moved = np.abs(old[1] - new[1]) > _MOVED_KG
    changed = (old[0] != new[0]) | moved | (np.isnan(old[1]) != np.isnan(new[1]))
    picked = np.flatnonzero(changed)
    columns: list[list[Any]] = [
        column[picked].tolist() for column in (rows, old[0], new[0], old[1], new[1], old[2], new[2])
    ]
    return tuple(map(Revision, *columns, [-1] * len(picked)))


def _told(part: Part, revised: Revised, *, report: bool) -> ChunkDone:
    counts = np.bincount(part.filtered.stage[part.fresh], minlength=len(STAGES))
    done = ChunkDone(
        users=len(part.chunk.users),
        rows=int(part.fresh.sum()),
        duplicates=len(part.duplicates),
        stages={name: int(count) for name, count in zip(STAGES, counts, strict=True) if count},
        revisions=len(revised.revisions),
        replays=len(revised.replays),
    )
    if not report:
        return done
    from raddle.workloads.weights.pages.index import index_rows
    from raddle.workloads.weights.pages.population import count_chunk

    chunk = part.chunk
    rows = np.array([item.row for item in revised.revisions], dtype=np.int64)
    owners = np.searchsorted(chunk.starts, rows, side="right") - 1
    users, times = np.unique(owners, return_counts=True)
    changed = dict(zip(users.tolist(), times.tolist(), strict=True))
    names = [page_name(user) for user in chunk.users]
    return replace(
        done,
        index=index_rows(chunk, revised.filtered, names, changed),
        counts=count_chunk(*only(chunk, revised.filtered, part.fresh)),
    )
