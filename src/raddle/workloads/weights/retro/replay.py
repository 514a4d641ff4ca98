"""Run windows again without the readings that hindsight shows to be wrong, and say what that changes.

The order of things, per user: the windows are judged in order, on results that are complete, so that what the rules
themselves take back or confirm later is already in them. If accepted readings of a window turn out to be outliers, the
filter goes on without them from where it stood at the window's start; a replay that goes too far is undone; else what
follows is filtered again, and the windows after it are judged on that.

Rules may write to rows before the one they are at (v2 confirms a change of level with a later reading). Hence what is
kept to undo a replay is all of a user's rows, never the window's alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from raddle.workloads.weights.retro import methods
from raddle.workloads.weights.retro import windows as windowing
from raddle.workloads.weights.rules.compiled import compiled
from raddle.workloads.weights.values import DAY, FIELDS, STAGES, Filtered, Replay, Revised, Revision

if TYPE_CHECKING:
    from raddle.workloads.weights.retro.options import RetroOptions
    from raddle.workloads.weights.rules import Pass, Rules
    from raddle.workloads.weights.values import Bools, Bytes, Chunk, Ints

__all__ = ["retrospect"]

_LAST_ACCEPTED: Final = STAGES.index("accepted")
_RETROSPECTIVE: Final = STAGES.index("retrospective")
_WEIGHT, _TREND, _INNOVATION, _ALLOWED = map(FIELDS.index, ("filtered_weight", "trend", "innovation", "allowed"))
#: filtered weight, trend and their standard deviations, the first rows of `Filtered.out`
_EXPECTED: Final = 4
#: differences in the last digits are none, kg
_NOISE: Final = 1e-9
#: an expectation is not drawn out further, as in both rule sets
_FAR_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """Of a chunk, as `windows.windows` returns them; `counts`: accepted outliers in each, by the published results."""

    bounds: Ints
    ticks: Ints
    counts: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What the replays of a chunk share."""

    chunk: Chunk
    options: RetroOptions
    limits: methods.Limits
    kernels: Any
    #: complete results, the final word in the end; `rows` are the same arrays
    final: Filtered
    rows: methods.Rows
    #: filters a user again, as far as it has been brought
    running: Pass
    #: one a row: what the methods found, and what is left out
    found: Bytes
    skip: Bools


def retrospect(chunk: Chunk, filtered: Filtered, rules: Rules, options: RetroOptions, *, fast: bool) -> Revised:
    """Judge a chunk in hindsight.

    Args:
        chunk: users with all their readings, from the first on
        filtered: what `rules` said of them, or what an earlier pass made of that; it is not changed
        rules: the same
        options: see there
        fast: compiled; else plain Python. Same bits

    Returns:
        the final results (`filtered` itself if nothing was found), each window in which accepted readings turned out
        to be outliers, and each published result that changed
    """
    kernels = compiled(methods) if fast else methods
    limits = _limits(options)
    found = np.zeros(len(chunk.time), dtype=np.uint8)
    seen = _survey(chunk, filtered, options, limits, found, fast=fast)
    # a row that an earlier pass took out: the results are not the rules' own, so that the user is done in full
    taken_out = np.flatnonzero(filtered.stage == _RETROSPECTIVE)
    of_interest = np.concatenate((seen.bounds[seen.counts > 0, 1], taken_out))
    users = np.unique(np.searchsorted(chunk.starts, of_interest, side="right") - 1)
    if not len(users):
        return Revised(filtered)
    final = Filtered(**{field.name: getattr(filtered, field.name).copy() for field in fields(Filtered)})
    running = rules.begin(chunk, fast=fast)
    skip = np.zeros(len(chunk.time), dtype=np.bool_)
    work = _Work(chunk, options, limits, kernels, final, _rows(chunk, final), running, found, skip)
    replays: list[Replay] = []
    revisions: list[Revision] = []
    for user in map(int, users):
        own = _user(work, user, seen)
        applied = [(place, row) for place, (item, row) in enumerate(own, len(replays)) if item.verdict == "applied"]
        replays.extend(item for item, _ in own)
        rows = slice(int(chunk.starts[user]), int(chunk.starts[user + 1]))
        revisions.extend(_revisions(filtered, final, rows, applied, options.report_kg))
    return Revised(final, tuple(replays), tuple(revisions))


def _limits(options: RetroOptions) -> methods.Limits:
    return methods.Limits(
        min_readings=options.min_readings,
        iqr_multiplier=options.iqr_multiplier,
        z_threshold=options.z_threshold,
        temporal_max_change=options.temporal_max_change,
        kalman_threshold=options.kalman_threshold,
        kalman_sigmas=options.kalman_sigmas,
        reading_sigma_kg=options.reading_sigma_kg,
        support_change=options.support_change,
        excursion_readings=options.excursion_readings,
        excursion_change=options.excursion_change,
        protect_quality=options.protect_quality if options.protect else math.inf,
        protect_level_change=options.protect,
    )


def _rows(chunk: Chunk, filtered: Filtered) -> methods.Rows:
    return methods.Rows(chunk.time, filtered.weight, filtered.stage, filtered.reset, filtered.out)


def _survey(
    chunk: Chunk, filtered: Filtered, options: RetroOptions, limits: methods.Limits, found: Bytes, *, fast: bool
) -> _Windows:
    cut = windowing.Cut(
        period=max(round(options.window_days * DAY), 1),
        least=options.min_readings,
        most=options.max_readings,
        joined=options.max_windows,
    )
    find = (compiled(windowing) if fast else windowing).windows
    bounds, ticks = find(np.ascontiguousarray(chunk.starts), chunk.time, cut)
    counts = np.zeros(len(bounds), dtype=np.int64)
    judge = (compiled(methods) if fast else methods).survey
    judge(_rows(chunk, filtered), bounds, limits, found, counts)
    return _Windows(bounds, ticks, counts)


def _user(work: _Work, user: int, seen: _Windows) -> list[tuple[Replay, int]]:
    """Bring one user's final results about; return the replays, each with the first row of its window."""
    start, stop = int(work.chunk.starts[user]), int(work.chunk.starts[user + 1])
    running = work.running
    low, high = map(int, np.searchsorted(seen.bounds[:, 1], (start, stop)))
    if (work.final.stage[start:stop] == _RETROSPECTIVE).any():
        fresh = running.filtered.states[user].copy()
        running.advance(user, start, stop)
        _copy(running.filtered, work.final, user, start, stop)
        running.filtered.states[user] = fresh
        work.kernels.survey(work.rows, seen.bounds[low:high], work.limits, work.found, seen.counts[low:high])
    at = start
    replays: list[tuple[Replay, int]] = []
    for number in range(low, high):
        if seen.counts[number] == 0:
            continue
        first, end = map(int, seen.bounds[number, 1:3])
        running.advance(user, at, first, work.skip)
        at = first
        replay = _replay(work, user, seen.bounds[number], seen.ticks[number])
        replays.append((replay, first))
        if replay.verdict == "applied":
            at = end
            rest = slice(number + 1, high)
            work.kernels.survey(work.rows, seen.bounds[rest], work.limits, work.found, seen.counts[rest])
    return replays


def _replay(work: _Work, user: int, bounds: Ints, ticks: Ints) -> Replay:
    """Filter a window again without its outliers; make that final, or put everything back.

    The pass stands at the window's start; if the replay is adopted, it stands at its end afterwards.
    """
    start, first, end, stop = map(int, bounds)
    running, results = work.running, work.running.filtered
    kept = _kept(results, user, start, stop)
    running.advance(user, first, end, work.skip)
    before_kg, used = float(results.states[user, 0]), _used(results, first, end)
    _put_back(kept, results, user, start, stop)
    outliers = first + np.flatnonzero(work.found[first:end] & methods.OUTLIER)
    work.skip[outliers] = True
    running.advance(user, first, end, work.skip)
    after_kg = float(results.states[user, 0])
    verdict = _refusal(work.options, before_kg, after_kg, used, _used(results, first, end))
    if not verdict:
        ended = _kept(results, user, start, stop)
        running.advance(user, end, stop, work.skip)
        _explain(work, user)
        moved = bool(_moved(work.final, results, slice(start, stop), work.options.report_kg).any())
        verdict = "applied" if moved else "no change"
        if moved:
            _copy(results, work.final, user, start, stop)
            kept = ended
    _put_back(kept, results, user, start, stop)
    work.skip[outliers] = verdict == "applied"
    return Replay(
        user=user,
        start=int(ticks[0]),
        end=int(ticks[1]),
        rows=end - first,
        outliers=tuple(map(int, outliers)),
        methods=tuple(methods.names(int(work.found[row])) for row in outliers),
        before_kg=before_kg,
        after_kg=after_kg,
        verdict=verdict,
    )


def _used(results: Filtered, first: int, end: int) -> int:
    return int(np.count_nonzero(results.stage[first:end] <= _LAST_ACCEPTED))


def _refusal(options: RetroOptions, before_kg: float, after_kg: float, used: int, left: int) -> str:
    """Return the verdict of the safety limit; empty: go on."""
    if left < options.min_left * used:
        return f"refused: {left} of {used} readings would be left, a smaller share than min_left={options.min_left:g}"
    shift = abs(after_kg - before_kg)
    # also where the filter would stand nowhere: NaN
    if not shift <= options.max_shift_kg:
        return f"refused: the weight would move by {shift:.1f} kg, more than max_shift_kg={options.max_shift_kg:g}"
    return ""


def _explain(work: _Work, user: int) -> None:
    """Write what was expected of the readings that are left out, as rules do of those that they reject."""
    results, time = work.running.filtered, work.chunk.time
    start, stop = int(work.chunk.starts[user]), int(work.chunk.starts[user + 1])
    used = start + np.flatnonzero(results.stage[start:stop] <= _LAST_ACCEPTED)
    for row in map(int, start + np.flatnonzero(work.skip[start:stop])):
        before = int(np.searchsorted(used, row)) - 1
        results.reset[row] = 0
        # its weight and quality are what the rules said when they saw it
        results.weight[row] = work.final.weight[row]
        out = results.out[:, row]
        out[:] = work.final.out[:, row]
        out[_ALLOWED] = np.nan
        if before < 0:
            out[:_EXPECTED] = np.nan
            out[_INNOVATION] = np.nan
            continue
        last = int(used[before])
        days = min(max((int(time[row]) - int(time[last])) / DAY, 0.0), _FAR_DAYS)
        out[:_EXPECTED] = results.out[:_EXPECTED, last]
        out[_WEIGHT] += days * out[_TREND]
        out[_INNOVATION] = results.weight[row] - out[_WEIGHT]


def _kept(results: Filtered, user: int, first: int, end: int) -> Filtered:
    rows = slice(first, end)
    return Filtered(
        weight=results.weight[rows].copy(),
        stage=results.stage[rows].copy(),
        reset=results.reset[rows].copy(),
        out=results.out[:, rows].copy(),
        states=results.states[user : user + 1].copy(),
    )


def _put_back(kept: Filtered, results: Filtered, user: int, first: int, end: int) -> None:
    rows = slice(first, end)
    results.weight[rows] = kept.weight
    results.stage[rows] = kept.stage
    results.reset[rows] = kept.reset
    results.out[:, rows] = kept.out
    results.states[user] = kept.states[0]


def _copy(source: Filtered, target: Filtered, user: int, first: int, end: int) -> None:
    rows = slice(first, end)
    target.weight[rows] = source.weight[rows]
    target.stage[rows] = source.stage[rows]
    target.reset[rows] = source.reset[rows]
    target.out[:, rows] = source.out[:, rows]
    target.states[user] = source.states[user]


def _moved(old: Filtered, new: Filtered, rows: slice, report_kg: float) -> Bools:
    """Tell where the filtered weight moved by more than is worth a word; NaN only equals NaN."""
    before, after = old.out[_WEIGHT, rows], new.out[_WEIGHT, rows]
    moved: Bools = (np.abs(after - before) > max(report_kg, _NOISE)) | (np.isnan(before) != np.isnan(after))
    return moved


def _revisions(
    old: Filtered, new: Filtered, rows: slice, applied: list[tuple[int, int]], report_kg: float
) -> list[Revision]:
    """Compare; `applied`: number and first row of each replay that was adopted, in order."""
    found = []
    changed = (old.stage[rows] != new.stage[rows]) | _moved(old, new, rows, report_kg)
    for row in map(int, rows.start + np.flatnonzero(changed)):
        cause = max((number for number, first in applied if first <= row), default=-1)
        found.append(
            Revision(
                row=row,
                old_stage=int(old.stage[row]),
                new_stage=int(new.stage[row]),
                old_filtered=float(old.out[_WEIGHT, row]),
                new_filtered=float(new.out[_WEIGHT, row]),
                old_trend=float(old.out[_TREND, row]),
                new_trend=float(new.out[_TREND, row]),
                replay=cause,
            )
        )
    return found
