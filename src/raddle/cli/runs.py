"""`raddle runs`: what a journal tells."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddle import ConfigError, Status
from raddle.cli._account import clock_time
from raddle.cli._again import again
from raddle.cli._export import FORMATS, as_record, export_to
from raddle.cli._history import AsJson, Journal, Which, complete_run, find_run, open_history, total_of
from raddle.cli._outputs import dump
from raddle.cli._watched import problem
from raddle.journal.history import History, OutcomeRow, RunRow
from raddle.plugin.command_line import application
from raddle.progress._text import one_line
from raddle.progress.line import duration, is_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app"]

_NOT_OK = (Status.FAILED, Status.TIMED_OUT, Status.CRASHED)
_HEAD = ("id", "name", "state", "started", "took", "ok", "not ok", "of", "backend")
#: on a narrow terminal, the first of these first
_LEFT_OUT = ("backend", "started", "took", "of")
Compared = Annotated[
    str, typer.Argument(metavar="RUN", help="Name or id.", show_default=False, autocompletion=complete_run)
]

_WATCH_HELP = """Watch a run that another process does, until it ends. Ctrl-C ends the watching, not the run.

Needs nothing but the journal, and holds nothing of it in between. A run whose process was killed is seen as
interrupted, if it ran on this machine.

\b
Exit codes:
  0    all items ended ok; with --once: or the run goes on
  1    some did not, or the run was stopped or interrupted
  2    no such run, or the journal cannot be read
  130  Ctrl-C
"""


app = application(
    "Look into a journal, also while a run writes to it.",
    epilog="\b\nExamples:\n  raddle runs list --journal runs.db\n  raddle runs watch\n  raddle runs show thumbs",
)


@app.command("list", epilog="\b\nExample:\n  raddle runs list --journal runs.db --json | jq '.[].name'")
def list_runs(journal: Journal = None, as_json: AsJson = False) -> None:
    """List all runs, the oldest first."""
    history = open_history(journal)
    runs = history.runs()
    if as_json:
        typer.echo(json.dumps([_run_record(history, run) for run in runs], indent=2))
        return
    _table(_HEAD, [_cells(history, run) for run in runs])


@app.command(epilog="\b\nExample:\n  raddle runs show thumbs --journal runs.db")
def show(which: Which = None, journal: Journal = None, as_json: AsJson = False) -> None:
    """Show one run: how it went, where the time went, what went wrong, and how to go on."""
    from raddle.cli import _account

    history = open_history(journal)
    account = _account.account_of(history, find_run(history, which))
    if as_json:
        typer.echo(json.dumps(_account.as_record(account), indent=2))
        return
    for line in _account.text(account):
        typer.echo(line)


@app.command(help=_WATCH_HELP, epilog="\b\nExample:\n  raddle runs watch thumbs --journal runs.db")
def watch(
    which: Which = None,
    journal: Journal = None,
    interval: Annotated[
        float | None, typer.Option(min=0.05, help="Seconds between two looks. Default: 0.5 on a terminal, else 5.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and do not wait for the end.")] = False,
) -> None:
    from raddle.cli._watch import watch as follow
    from raddle.cli._watched import Watched

    history = open_history(journal)
    code = follow(Watched(history, find_run(history, which)), sys.stdout, interval=interval, once=once)
    raise typer.Exit(code)


@app.command(epilog="\b\nExample:\n  raddle runs compare thumbs-1 thumbs-2 --journal runs.db")
def compare(
    before: Compared,
    after: Compared,
    journal: Journal = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: totals, times, failures that are gone or new, items that ended otherwise or took otherwise.

    Items are matched by what --resume goes by. Of more than 100,000 outcomes, times come from a sample of so many.
    """
    from raddle.cli import _compare_text
    from raddle.cli._compare import compare as compared

    history = open_history(journal)
    found = compared(history, find_run(history, before), history, find_run(history, after))
    if as_json:
        typer.echo(json.dumps(_compare_text.as_record(found), indent=2))
        return
    for line in _compare_text.text(found):
        typer.echo(line)


@app.command(epilog="\b\nExample:\n  raddle runs failures thumbs --journal runs.db --traceback --limit 5")
def failures(
    which: Which = None,
    journal: Journal = None,
    limit: Annotated[int, typer.Option(min=1, help="Most items to list.")] = 50,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of each.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON Lines.")] = False,
) -> None:
    """List the items that did not end ok."""
    history = open_history(journal)
    run = find_run(history, which)
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
    history = open_history(journal)
    run = find_run(history, which)
    rows = (as_record(row, values=not no_values) for row in history.outcomes(run.id, status=status))
    count = export_to(output, rows, kind, values=not no_values)
    if output is not None:
        typer.echo(f"raddle: {count:,} outcomes of {run.name!r} in {output}", err=True)


@app.command(epilog="\b\nExample:\n  raddle runs retry thumbs --journal runs.db")
def retry(which: Which = None, journal: Journal = None) -> None:
    """Start a run of `raddle map` or `raddle exec` again: what failed, crashed or never ran, in the folder of then."""
    history = open_history(journal)
    again(find_run(history, which), history.path)


def _run_record(history: History, run: RunRow) -> dict[str, Any]:
    return asdict(run) | {"counts": _counts(history, run), "earlier_attempts": history.earlier_attempts(run.id)}


def _counts(history: History, run: RunRow) -> dict[str, int]:
    return {status.value: count for status, count in history.counts(run.id).items()}


# --------------------------------------------------------------------------------------------------------- text


def _cells(history: History, run: RunRow) -> tuple[str, ...]:
    counts = _counts(history, run)
    ok = counts.get("ok", 0)
    total = "?" if total_of(run) is None else f"{total_of(run):,}"
    took = "" if run.ended is None else duration(run.ended - run.created)
    bad = f"{sum(counts.values()) - ok:,}"
    name = one_line(run.name)
    return (
        str(run.id),
        name,
        run.state,
        clock_time(run.created),
        took,
        f"{ok:,}",
        bad,
        total,
        f"{run.backend} {run.workers}",
    )


def _print_failure(row: OutcomeRow, *, with_traceback: bool) -> None:
    typer.echo(problem(row))
    if with_traceback and row.traceback:
        for line in row.traceback.splitlines():
            typer.echo(f"    {one_line(line)}")


def _table(head: Sequence[str], rows: list[tuple[str, ...]]) -> None:
    kept = list(range(len(head)))
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    # On a narrow terminal the columns that are missed least go, rather than each row taking two lines.
    for name in _LEFT_OUT:
        if sum(widths[place] + 2 for place in kept) - 2 > _room():
            kept.remove(head.index(name))
    for row in (head, *rows):
        typer.echo("  ".join(row[place].ljust(widths[place]) for place in kept).rstrip())


def _room() -> float:
    if not is_terminal(sys.stdout):
        return math.inf
    return shutil.get_terminal_size().columns
