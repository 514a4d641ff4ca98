"""`raddle runs`: what a journal tells."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddle import ConfigError, Status, _config
from raddle.cli._again import again
from raddle.cli._export import FORMATS, as_record, export_to
from raddle.cli._outputs import dump
from raddle.journal.history import History, OutcomeRow, RunRow
from raddle.progress._text import one_line
from raddle.progress.line import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["app"]

_DEFAULT = "raddle.db"
_NOT_OK = (Status.FAILED, Status.TIMED_OUT, Status.CRASHED)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Look into a journal, also while a run writes to it.",
    epilog="\b\nExample:\n  raddle runs list --journal runs.db",
)

Journal = Annotated[
    str | None,
    typer.Option(metavar="FILE", help=f"The journal. Default: RADDLE_JOURNAL or the configuration's, else {_DEFAULT}."),
]
Which = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Name or id. Default: the latest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list", epilog="\b\nExample:\n  raddle runs list --journal runs.db --json | jq '.[].name'")
def list_runs(journal: Journal = None, as_json: AsJson = False) -> None:
    """List all runs, the oldest first."""
    history = _history(journal)
    runs = history.runs()
    if as_json:
        typer.echo(json.dumps([_run_record(history, run) for run in runs], indent=2))
        return
    rows = [_cells(history, run) for run in runs]
    _table(("id", "name", "state", "started", "took", "ok", "not ok", "of", "backend"), rows)


@app.command(epilog="\b\nExample:\n  raddle runs show thumbs --journal runs.db")
def show(which: Which = None, journal: Journal = None, as_json: AsJson = False) -> None:
    """Show one run: how it went, and what went wrong, in groups."""
    history = _history(journal)
    run = _find(history, which)
    if as_json:
        groups = [asdict(group) for group in history.failures(run.id)]
        typer.echo(json.dumps(_run_record(history, run) | {"failures": groups}, indent=2))
        return
    for name, value in _described(history, run):
        typer.echo(f"{name:<10} {one_line(str(value))}")
    for group in history.failures(run.id):
        example = f"item {group.example_position} {group.example_label}: {group.example_message}"
        typer.echo(one_line(f"  {group.count:,} {group.status.value} {group.error_type}, such as {example}"))


@app.command(epilog="\b\nExample:\n  raddle runs failures thumbs --journal runs.db --traceback --limit 5")
def failures(
    which: Which = None,
    journal: Journal = None,
    limit: Annotated[int, typer.Option(min=1, help="Most items to list.")] = 50,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of each.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON Lines.")] = False,
) -> None:
    """List the items that did not end ok."""
    history = _history(journal)
    run = _find(history, which)
    rows = sorted(
        (row for status in _NOT_OK for row in history.outcomes(run.id, status=status, limit=limit)),
        key=lambda row: row.position,
    )
    for row in rows[:limit]:
        if as_json:
            sys.stdout.write(dump(as_record(row, values=False)).decode())
        else:
            _print_failure(row, with_traceback=traceback)
    total = sum(history.counts(run.id).get(status, 0) for status in _NOT_OK)
    if total > limit:
        typer.echo(f"{total - limit:,} more (--limit, or: raddle runs export --status failed)", err=True)


@app.command(epilog="\b\nExample:\n  raddle runs export thumbs --journal runs.db --format csv -o thumbs.csv")
def export(  # noqa: PLR0917 - Typer makes flags of them
    which: Which = None,
    journal: Journal = None,
    kind: Annotated[str, typer.Option("--format", help="jsonl, csv or parquet.")] = "jsonl",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write here (whole or not at all), not to stdout."),
    ] = None,
    status: Annotated[str | None, typer.Option(help="Only ok, failed, timed_out or crashed.")] = None,
    no_values: Annotated[bool, typer.Option("--no-values", help="Leave out what the function returned.")] = False,
) -> None:
    """Write all outcomes of a run as JSON Lines, CSV or Parquet. Values are unpickled: trust the journal first."""
    if kind not in FORMATS:
        raise ConfigError(f"--format={kind}: must be one of {', '.join(FORMATS)}")
    allowed = ("ok", *(each.value for each in _NOT_OK))
    if status is not None and status not in allowed:
        raise ConfigError(f"--status={status}: must be one of {', '.join(allowed)}")
    history = _history(journal)
    run = _find(history, which)
    rows = (as_record(row, values=not no_values) for row in history.outcomes(run.id, status=status))
    count = export_to(output, rows, kind, values=not no_values)
    if output is not None:
        typer.echo(f"raddle: {count:,} outcomes of {run.name!r} in {output}", err=True)


@app.command(epilog="\b\nExample:\n  raddle runs retry thumbs --journal runs.db")
def retry(which: Which = None, journal: Journal = None) -> None:
    """Start a run of `raddle map` or `raddle exec` again: what failed, crashed or never ran, in the folder of then."""
    history = _history(journal)
    again(_find(history, which), history.path)


# ------------------------------------------------------------------------------------------------------ reading


def _history(journal: str | None) -> History:
    path = journal or _config.load().journal or _DEFAULT
    history = History(path)
    if not history.path.exists():
        raise ConfigError(f"--journal={path}: no such file; name the journal, or set RADDLE_JOURNAL")
    return history


def _find(history: History, which: str | None) -> RunRow:
    found = next(reversed(history.runs()), None) if which is None else history.run(which)
    if found is not None:
        return found
    names = ", ".join(sorted({run.name for run in history.runs()})) or "none at all"
    raise ConfigError(f"RUN={which}: not in {history.path.name}; its runs are: {names}")


def _counts(history: History, run: RunRow) -> dict[str, int]:
    return {status.value: count for status, count in history.counts(run.id).items()}


def _total(run: RunRow) -> int | None:
    """Return the number of items; of a source without a length, once it has been read to its end."""
    if run.total is None and run.summary is not None and run.summary.get("source_ended"):
        return int(run.summary["admitted"])
    return run.total


def _run_record(history: History, run: RunRow) -> dict[str, Any]:
    return asdict(run) | {"counts": _counts(history, run), "earlier_attempts": history.earlier_attempts(run.id)}


# --------------------------------------------------------------------------------------------------------- text


def _cells(history: History, run: RunRow) -> tuple[str, ...]:
    counts = _counts(history, run)
    ok = counts.get("ok", 0)
    total = "?" if _total(run) is None else f"{_total(run):,}"
    took = "" if run.ended is None else duration(run.ended - run.created)
    bad = f"{sum(counts.values()) - ok:,}"
    name = one_line(run.name)
    return str(run.id), name, run.state, _time(run.created), took, f"{ok:,}", bad, total, f"{run.backend} {run.workers}"


def _described(history: History, run: RunRow) -> Iterable[tuple[str, object]]:
    yield "run", f"{run.name} (id {run.id}, {run.uid})"
    yield "function", run.function
    yield "state", run.state if run.sessions == 1 else f"{run.state}, {run.sessions} sessions"
    yield "started", _time(run.created)
    if run.ended is not None:
        yield "ended", f"{_time(run.ended)}, took {duration(run.ended - run.created)}"
    yield "where", f"{run.backend}, {run.workers} workers, Python {run.python}, process {run.pid} on {run.host}"
    yield "items", _phrase(_counts(history, run)) + ("" if _total(run) is None else f" of {_total(run):,}")
    earlier = history.earlier_attempts(run.id)
    if earlier:
        yield "retried", _phrase(earlier)


def _phrase(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"


def _print_failure(row: OutcomeRow, *, with_traceback: bool) -> None:
    error = f"{row.error_type or ''}: {row.error_message or ''}".strip(": ")
    tries = f" ({row.attempts} attempts)" if row.attempts > 1 else ""
    typer.echo(one_line(f"item {row.position} {row.label} {row.status.value}{tries}: {error}"))
    if with_traceback and row.traceback:
        for line in row.traceback.splitlines():
            typer.echo(f"    {one_line(line)}")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _table(head: Sequence[str], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
