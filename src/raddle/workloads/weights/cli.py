"""`raddle weights run` and `raddle weights sample`."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from raddle import errors
from raddle.workloads.weights.options import ReadOptions, RunOptions, parse_columns, parse_where

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["app"]

_NOT_ALL_OK, _USAGE = 1, 2

app = typer.Typer(
    help="Weight histories of many users: filtered in parallel, a page for each.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class _TimeUnit(StrEnum):
    ISO = "iso"
    DAYS = "days"


class _Backend(StrEnum):
    AUTO = "auto"
    SERIAL = "serial"
    THREADS = "threads"
    PROCESSES = "processes"


class _Progress(StrEnum):
    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    NONE = "none"


class _Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, so that the run drains as it does for Ctrl-C."""


@app.command("run")
def run_command(  # noqa: PLR0917 - Typer reads options from parameters
    file: Annotated[Path, typer.Argument(help="CSV file with a header row, plain or gzipped.", show_default=False)],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Which column is what: user=NAME,time=NAME,weight=NAME,unit=NAME,source=NAME. Default: user_id, "
            "effectiveDateTime, weight, unit, source_type.",
            show_default=False,
        ),
    ] = None,
    time_unit: Annotated[
        _TimeUnit,
        typer.Option(help="iso: dates and times, UTC unless they say otherwise; days: days since birth or start."),
    ] = _TimeUnit.ISO,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Use only such rows; several columns must all match, several values of one column are alternatives.",
            show_default=False,
        ),
    ] = None,
    backend: Annotated[_Backend, typer.Option(help="Where users are processed.")] = _Backend.AUTO,
    workers: Annotated[int, typer.Option(min=0, help="0: as many as the CPUs granted.")] = 0,
    journal: Annotated[Path | None, typer.Option(help="File that remembers every user.", show_default=False)] = None,
    name: Annotated[str, typer.Option(help="Name of the run in the journal.")] = "weights",
    resume: Annotated[bool, typer.Option("--resume", help="Do only what the journal does not have.")] = False,
    no_pages: Annotated[bool, typer.Option("--no-pages", help="Write no HTML.")] = False,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one user.", show_default=False)] = None,
    progress: Annotated[_Progress, typer.Option(help="On standard error.")] = _Progress.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of a few lines.")] = False,
) -> None:
    """Filter every user of FILE and write results, state and pages into the output folder.

    Exit codes: 0 all users ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    from raddle.workloads.weights.run import run_file

    with _told():
        options = RunOptions(
            out=out,
            read=ReadOptions(parse_columns(columns or ()), time_unit.value, parse_where(where or ())),
            backend=backend.value,
            workers=workers,
            journal=journal,
            name=name,
            resume=resume,
            pages=not no_pages,
            timeout=timeout,
            progress=_view(progress),
        )
        summary = run_file(file, options)
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False) if as_json else _report(summary))
    if summary["users_failed"]:
        raise typer.Exit(_NOT_ALL_OK)


@app.command("sample")
def sample_command(
    users: Annotated[int, typer.Argument(min=1, help="How many users.", show_default=False)],
    out: Annotated[
        Path, typer.Option("--output", "-o", help="CSV file, gzipped if it ends in .gz.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 0,
    rows_per_user: Annotated[int, typer.Option(min=1, help="About so many rows for each.")] = 100,
) -> None:
    """Write a synthetic file that has all the trouble of real ones. No person is behind it."""
    from raddle.workloads.weights.sample import write_sample

    with _told():
        rows = write_sample(out, users=users, seed=seed, rows_per_user=rows_per_user)
    typer.echo(f"{out}: {rows:,} rows of {users:,} users")


def _view(progress: _Progress) -> Literal["line", "live"] | None:
    if progress is _Progress.AUTO:
        return "live" if sys.stderr.isatty() else "line"
    return {_Progress.LIVE: "live", _Progress.LINE: "line"}.get(progress)  # type: ignore[return-value]


@contextmanager
def _told() -> Iterator[None]:
    """Turn what raddle raises, and signals, into a line on standard error and an exit code."""

    def terminated(_number: int, _frame: object) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except (errors.RaddleError, OSError) as error:  # OSError: results cannot be written, a full disk for instance
        typer.echo(f"raddle weights: {error}", err=True)
        raise typer.Exit(_USAGE) from error
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        typer.echo("raddle weights: interrupted; with --journal, run it again with --resume to go on", err=True)
        raise typer.Exit(128 + number) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _report(summary: dict[str, Any]) -> str:
    out, rejected, stages = summary["output"], summary["rows_rejected"], summary["readings"]
    refused = stages["kalman_deviation"] + stages["physiological"]
    lines = [
        (
            f"{summary['rows_read']:,} rows read: {summary['rows_used']:,} used, "
            f"{sum(rejected.values()):,} not used ({out}/rejects.csv)"
        ),
        *(f"  {count:>9,} {reason}" for reason, count in sorted(rejected.items(), key=lambda pair: -pair[1])),
        (
            f"{summary['users']:,} users: {sum(stages.values()):,} readings, "
            f"{refused:,} rejected by the filter ({out}/results.parquet, {out}/state.sqlite)"
        ),
    ]
    if summary["options"]["pages"]:
        lines.append(f"pages: {out}/index.html")
    if summary["users_failed"]:
        first = summary["users_failed"][0]
        lines.append(f"{len(summary['users_failed']):,} users failed, the first: {first['user_id']}: {first['error']}")
    resumed = summary["engine"]["resumed"]
    again = f", {resumed:,} users taken from the journal" if resumed else ""
    engine = summary["engine"]
    lines.append(f"{summary['seconds']:.1f} s with {engine['backend']}, {engine['workers']} workers{again}")
    return "\n".join(lines)
