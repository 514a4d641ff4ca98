"""The commands that change no video: inspect, check; and restore, which puts originals back."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH112, PTH118
from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

import raddle
from raddle.errors import ConfigError, RaddleError
from raddle.plugin import granted_cpus
from raddle.plugin.command_line import NOT_ALL_OK
from raddle.workloads.media.batch.control import Control
from raddle.workloads.media.batch.jobs import Job, jobs_for
from raddle.workloads.media.batch.results import path_json, printable, size_text
from raddle.workloads.media.batch.watching import Watch, length_text
from raddle.workloads.media.health import check
from raddle.workloads.media.probe import probe
from raddle.workloads.media.replace.restoring import folders, restore
from raddle.workloads.media.replace.trash import Entry, entries
from raddle.workloads.media.telling import NONE_HERE, echo_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from raddle.workloads.media.batch.stopping import Signals
    from raddle.workloads.media.health import Health, Level
    from raddle.workloads.media.settings import Settings
    from raddle.workloads.media.values import MediaFile, Stream

__all__ = ["check_files", "inspect_files", "list_originals", "restore_originals"]

_ENOUGH = 2


# ------------------------------------------------------------------------------------------------------- inspect


def inspect_files(paths: Sequence[str], *, recursive: bool, as_json: bool, signals: Signals) -> int:
    """Show what is in the files; return the exit code."""
    bad = any_here = False
    with raddle.run(
        _look, jobs_for(paths, recursive=recursive), backend="threads", workers=granted_cpus(), name="media inspect"
    ) as run:
        signals.stop_by(run.kill)
        for outcome in run:
            path: str = outcome.item.path
            any_here = True
            bad |= not outcome.ok
            if as_json:
                echo_json({**path_json("path", path), **_outcome_json(outcome, _media_json)})
            elif outcome.ok:
                for line in _media_text(path, outcome.value):
                    typer.echo(line)
            else:
                typer.echo(f"{printable(path)}: {printable(_why(outcome))}\n")
        if not any_here and not as_json:
            say(NONE_HERE)
    return 128 + signals.number if signals.number else NOT_ALL_OK if bad else 0


def _look(job: Job) -> MediaFile:
    if job.problem:
        raise RaddleError(job.problem)
    return probe(job.real)


def _media_json(media: MediaFile) -> dict[str, Any]:
    return {
        "container": media.container,
        "size": media.size,
        "seconds": media.duration,
        "links": media.links,
        "streams": [_stream_json(stream) for stream in media.streams],
        "chapters": [{"start": c.start, "end": c.end, "title": printable(c.title)} for c in media.chapters],
        "tags": {printable(name): printable(text) for name, text in media.tags},
    }


def _stream_json(stream: Stream) -> dict[str, Any]:
    fields = {name: getattr(stream, name) for name in stream.__dataclass_fields__}
    told: dict[str, Any] = {
        name: printable(value) if isinstance(value, str) else value
        for name, value in fields.items()
        if (value is not None and value != "" and value is not False) or name in {"default", "forced"}
    }
    told["dispositions"] = sorted(stream.dispositions)
    told["colour"] = dict(stream.colour)
    told["tags"] = {printable(name): printable(text) for name, text in stream.tags}
    return told


def _media_text(path: str, media: MediaFile) -> Iterator[str]:
    length = f", {length_text(media.duration)}" if media.duration is not None else ""
    more = f", {len(media.chapters)} chapters" if media.chapters else ""
    links = f", {media.links} names" if media.links > 1 else ""
    yield f"{printable(path)}: {media.container}{length}, {size_text(media.size)}{more}{links}"
    rows = [_stream_row(stream) for stream in media.streams]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))] if rows else []
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""


def _stream_row(stream: Stream) -> tuple[str, ...]:
    size = f"{stream.width}x{stream.height}" if stream.width and stream.height else ""
    sound = stream.channel_layout or (f"{stream.channels}ch" if stream.channels else "")
    rate = f"{stream.frame_rate} fps" if stream.frame_rate and not stream.picture else ""
    flags = [word for word, on in (("default", stream.default), ("forced", stream.forced)) if on]
    flags += sorted(stream.dispositions)
    language = stream.language if stream.kind in {"audio", "subtitle"} else ""
    name = printable(stream.title or stream.filename)
    return (
        str(stream.index),
        stream.kind,
        stream.codec,
        language,
        " ".join(filter(None, (size, sound, rate))),
        " ".join(flags),
        name,
    )


# --------------------------------------------------------------------------------------------------------- check


@dataclass(frozen=True, slots=True)
class _Check:
    level: Level
    ffmpeg: str | None
    control: Control[None]

    def __call__(self, job: Job) -> Health:
        if job.problem:
            raise RaddleError(job.problem)
        with self.control.working():
            return check(job.real, level=self.level, ffmpeg=self.ffmpeg)


def check_files(
    paths: Sequence[str], *, recursive: bool, level: Level, settings: Settings, as_json: bool, signals: Signals
) -> int:
    """Check the files in parallel and tell each; return the exit code."""
    jobs = [job for job in jobs_for(paths, recursive=recursive) if not job.same_as]
    cpus = granted_cpus()
    workers = min(settings.workers or cpus, _ENOUGH * cpus)
    control: Control[None] = Control()
    counts: Counter[str] = Counter()
    view = "line" if settings.progress == "auto" else settings.progress
    watch = Watch(sys.stderr, "none" if view == "live" else view, len(jobs), lambda: control.active, saving=False)
    with watch, raddle.run(
        _Check(level, settings.ffmpeg, control),
        jobs,
        backend="threads",
        workers=workers,
        name="media check",
        progress="live" if view == "live" else None,
    ) as run:  # fmt: skip
        watch.follow(run)
        signals.stop_by(run.kill)
        for outcome in run:
            status = _status(outcome)
            counts[status] += 1
            watch.count("failed" if status in {"damaged", "unreadable"} else status)
            if as_json:
                watch.beside(lambda o=outcome, s=status: echo_json(_check_json(o, s, level)))  # type: ignore[misc]
            elif status != "ok":
                watch.beside(lambda o=outcome, s=status: _tell_check(o, s))  # type: ignore[misc]
    control.wait_idle(4.0)
    _tell_checks(counts, level, as_json=as_json)
    if signals.number:
        return 128 + signals.number
    return NOT_ALL_OK if counts.total() > counts["ok"] else 0


def _status(outcome: raddle.Outcome) -> str:
    if outcome.ok:
        return "ok" if outcome.value.ok else "damaged"
    return "cancelled" if outcome.status is raddle.Status.CANCELLED else "unreadable"


def _check_json(outcome: raddle.Outcome, status: str, level: Level) -> dict[str, Any]:
    health: Health | None = outcome.value
    return {
        **path_json("path", outcome.item.path),
        "status": status,
        "level": level,
        "problems": [printable(line) for line in (health.problems if health else (_why(outcome),))],
        "notes": [printable(line) for line in health.notes] if health else [],
        "size": health.media.size if health else None,
        "seconds": round(outcome.seconds, 3),
    }


def _tell_check(outcome: raddle.Outcome, status: str) -> None:
    typer.echo(f"{printable(outcome.item.path)}: {status}")
    for line in outcome.value.problems if outcome.ok else (_why(outcome),):
        typer.echo(f"  {printable(line)}")


def _tell_checks(counts: Counter[str], level: Level, *, as_json: bool) -> None:
    names = ("ok", "damaged", "unreadable", "cancelled")
    if as_json:
        echo_json({"summary": {"files": counts.total(), **{name: counts[name] for name in names}, "level": level}})
    else:
        parts = [f"{counts[name]:,} {name}" for name in names if counts[name]] or [NONE_HERE]
        typer.echo(f"{counts.total():,} file{'s' * (counts.total() != 1)} checked by {level}: {', '.join(parts)}")


def _outcome_json(outcome: raddle.Outcome, shape: Any) -> dict[str, Any]:
    if outcome.ok:
        found: dict[str, Any] = shape(outcome.value)
        return {"status": "ok", **found}
    return {"status": "unreadable", "reason": printable(_why(outcome))}


def _why(outcome: raddle.Outcome) -> str:
    error = outcome.error
    return error.message if error is not None and error.message else str(error or outcome.status.value)


# ------------------------------------------------------------------------------------------------------- restore


def list_originals(paths: Sequence[str], *, recursive: bool, as_json: bool) -> None:
    """Show the originals that there are, the oldest first in each folder."""
    found = list(_entries(paths, recursive=recursive))
    if not found and not as_json:
        say("no originals in the trash here (-R looks into the folders below too)")
    for entry in found:
        kept = entry.file
        size = os.stat(kept).st_size if kept else 0  # noqa: PTH116 - text in, figures out
        original, result = (os.path.join(entry.folder, name) for name in (entry.original, entry.result))
        when = entry.when.isoformat(timespec="seconds")
        if as_json:
            paths_json = path_json("path", original) | path_json("result", result) | path_json("kept", kept or "")
            echo_json({**paths_json, "replaced": when, "size": size})
        else:
            became = f" -> {printable(entry.result)}" if entry.result != entry.original else ""
            typer.echo(f"{when}  {size_text(size):>10}  {printable(original)}{became}")


def _entries(paths: Sequence[str], *, recursive: bool) -> Iterator[Entry]:
    for path in paths:
        if os.path.isdir(path):
            for folder in folders(path, recursive=recursive):
                yield from (entry for entry in entries(folder) if entry.file is not None)
            continue
        folder, name = os.path.split(path)
        mine = [entry for entry in entries(folder or os.curdir) if name in {entry.original, entry.result}]
        yield from (entry for entry in mine if entry.file is not None)


def restore_originals(paths: Sequence[str], *, recursive: bool, force: bool, as_json: bool) -> bool:
    """Put originals back; return whether one could not be.

    Raises:
        ConfigError: there is nothing to bring back for one of the paths
    """
    refused = False
    for path in paths:
        try:
            done = restore(path, recursive=recursive, force=force)
        except ConfigError:
            if len(paths) == 1:
                raise
            refused = True
            _tell_restored(path, "no original of it is in the trash", as_json=as_json)
            continue
        for one in done:
            refused |= bool(one.refused)
            _tell_restored(one.path, one.refused, as_json=as_json)
    return refused


def _tell_restored(path: str, refused: str, *, as_json: bool) -> None:
    if as_json:
        told = {"status": "refused", "reason": printable(refused)} if refused else {"status": "restored"}
        echo_json({**path_json("path", path), **told})
    else:
        typer.echo(f"{printable(path)}: {f'not restored: {printable(refused)}' if refused else 'restored'}")
