"""`raddle weights`: run, sample, profiles, print."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from raddle import errors
from raddle.workloads.weights.config import load_config
from raddle.workloads.weights.needs import needed
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


class _RulesName(StrEnum):
    V2 = "v2"
    COMPAT = "compat"


class _DateOrder(StrEnum):
    YMD = "ymd"
    MDY = "mdy"
    DMY = "dmy"


class _Format(StrEnum):
    PDF = "pdf"
    PNG = "png"


class _Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, so that the run drains as it does for Ctrl-C."""


@app.command("run")
def run_command(  # noqa: PLR0917 - Typer reads options from parameters
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="CSV with a header (plain or gzipped), Parquet, or the export of an app; - is standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", show_default=False)],
    columns: Annotated[
        list[str] | None,
        typer.Option(
            help="Which column is what: user=NAME,time=NAME,weight=NAME,unit=NAME,source=NAME. Default: user_id, "
            "effectiveDateTime, weight, unit, source_type.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="What the file is: raddle, fitbit, withings, apple, garmin; auto looks at it.")
    ] = "auto",
    user: Annotated[
        str | None,
        typer.Option(help="Whose a file is that names nobody; default: the file's name.", show_default=False),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Unit of weights where the file does not say it; default: kg.", show_default=False),
    ] = None,
    date_order: Annotated[
        _DateOrder | None,
        typer.Option(
            help="How dates like 03/04/2025 are meant; needed only where the file does not show it.",
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
    since: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only rows from then on, inclusive.", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only rows up to then, inclusive.", show_default=False)
    ] = None,
    min_readings: Annotated[int, typer.Option(min=1, help="Leave out users with fewer usable rows.")] = 1,
    user_offset: Annotated[int, typer.Option(min=0, help="Leave out so many users, in order of id.")] = 0,
    max_users: Annotated[int, typer.Option(min=0, help="Then take so many; 0: all.")] = 0,
    users: Annotated[
        Path | None,
        typer.Option(help="Only the users of this file: an id per line, # comments.", show_default=False),
    ] = None,
    heights: Annotated[
        Path | None,
        typer.Option(help="CSV of heights: user_id, value_quantity, unit.", show_default=False),
    ] = None,
    rules: Annotated[
        _RulesName, typer.Option(help="v2, or compat: those of the original, with all their oddities.")
    ] = _RulesName.V2,
    profile: Annotated[
        str, typer.Option(help="How strict: a name that `raddle weights profiles` lists, or a TOML file.")
    ] = "balanced",
    retro: Annotated[
        bool, typer.Option("--retro", help="Look again with hindsight; what that changes is listed as revisions.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file to go on from and to; a file it has had before changes nothing. Default: a new one in "
            "the output folder.",
            show_default=False,
        ),
    ] = None,
    store_readings: Annotated[
        bool, typer.Option("--store-readings", help="Keep a row per reading in the state, for SQL.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with [threading], [visualization.threading] and [retro].", show_default=False),
    ] = None,
    backend: Annotated[_Backend, typer.Option(help="Where users are processed.")] = _Backend.AUTO,
    workers: Annotated[int, typer.Option(min=0, help="0: what --config says, or as many as the CPUs granted.")] = 0,
    journal: Annotated[
        Path | None, typer.Option(help="File that remembers each chunk of users.", show_default=False)
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the run in the journal.")] = "weights",
    resume: Annotated[bool, typer.Option("--resume", help="Do only what the journal does not have.")] = False,
    no_pages: Annotated[bool, typer.Option("--no-pages", help="Write no HTML.")] = False,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one page; default: what --config says, or 30.", show_default=False)
    ] = None,
    progress: Annotated[_Progress, typer.Option(help="On standard error.")] = _Progress.AUTO,
    json_results: Annotated[
        bool, typer.Option("--json-results", help="Also results.json, in the shape of the original.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json instead of a few lines.")] = False,
) -> None:
    """Filter every user of the FILEs and write results, state and pages into the output folder.

    Exit codes: 0 all users ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    with _told():
        options = RunOptions(
            out=out,
            read=ReadOptions(
                columns=parse_columns(columns or ()),
                time_unit=time_unit.value,
                where=parse_where(where or ()),
                preset=preset,
                user=user,
                unit=unit,
                date_order=date_order.value if date_order else None,
                rules=rules.value,
                since=since,
                until=until,
                min_readings=min_readings,
                user_offset=user_offset,
                max_users=max_users,
                users_file=users,
                heights=heights,
            ),
            profile=profile,
            state=state,
            store_readings=store_readings,
            retro=retro,
            config=load_config(config),
            backend=backend.value,
            workers=workers,
            journal=journal,
            name=name,
            resume=resume,
            pages=not no_pages,
            timeout=timeout,
            progress=_view(progress),
            json_results=json_results,
        )
        needed(pages=options.pages)
        # polars takes all CPUs unless told before it is imported
        os.environ.setdefault("POLARS_MAX_THREADS", str(workers or options.config.threading.user_pool_size or _cpus()))
        from raddle.workloads.weights.run import run_files

        summary = run_files([str(file) if str(file) == "-" else file for file in files], options)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        typer.echo(_report(summary))
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
    with _told():
        needed(pages=False)
        from raddle.workloads.weights.sample import write_sample

        rows = write_sample(out, users=users, seed=seed, rows_per_user=rows_per_user)
    typer.echo(f"{out}: {rows:,} rows of {users:,} users")


@app.command("profiles")
def profiles_command(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, as a start for your own.", show_default=False)
    ] = None,
    rules: Annotated[_RulesName, typer.Option(help="Of which rules.")] = _RulesName.V2,
) -> None:
    """List the profiles that ship, or print one as TOML."""
    from raddle.workloads.weights.rules.profiles import profile_names, shipped_text

    with _told():
        if name is None:
            typer.echo("\n".join(profile_names(rules.value)))
        else:
            typer.echo(shipped_text(rules.value, name), nl=False)


@app.command("print")
def print_command(  # noqa: PLR0917 - as above
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.", show_default=False)],
    users: Annotated[
        list[str] | None, typer.Argument(metavar="[USER]...", help="Whose pages; default: all.", show_default=False)
    ] = None,
    into: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for them; default: OUT/print.", show_default=False)
    ] = None,
    file_format: Annotated[_Format, typer.Option("--format", help="A document or a picture.")] = _Format.PDF,
    workers: Annotated[int, typer.Option(min=0, help="0: as many as the CPUs granted.")] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds for one page.")] = 60.0,
    browser: Annotated[
        Path | None, typer.Option(help="Chromium or Chrome; default: the one on the PATH.", show_default=False)
    ] = None,
) -> None:
    """Turn pages into PDF or PNG files, with a Chromium or Chrome that is installed.

    Exit codes: 0 all pages ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    from raddle.workloads.weights.pages.print_pages import print_users

    with _told():
        done, failed = print_users(
            out,
            users or [],
            into or out / "print",
            format=file_format.value,
            workers=workers,
            timeout=timeout,
            browser=browser,
        )
    typer.echo(f"{done:,} pages in {into or out / 'print'}")
    for page, error in failed:
        typer.echo(f"{page}: {error}", err=True)
    if failed:
        raise typer.Exit(_NOT_ALL_OK)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    if summary.get("nothing_new"):
        return f"nothing new: the state has had {', '.join(summary['files'])} before; nothing was written"
    out, rejected, stages = summary["output"], summary["rows_rejected"], summary["readings"]
    refused = sum(count for stage, count in stages.items() if stage not in {"initialization", "accepted"})
    lines = [
        (
            f"{summary['rows_read']:,} rows read: {summary['rows_used']:,} used, "
            f"{sum(rejected.values()):,} not used ({out}/rejects.csv)"
        ),
        *(f"  {count:>9,} {reason}" for reason, count in sorted(rejected.items(), key=lambda pair: -pair[1])),
        (
            f"{summary['users']:,} users: {sum(stages.values()):,} readings, "
            f"{refused:,} rejected by the rules ({out}/results.parquet)"
        ),
    ]
    if summary["revisions"]:
        lines.append(f"{summary['revisions']:,} results revised ({out}/revisions.csv)")
    if summary["options"]["pages"]:
        lines.append(f"pages: {out}/index.html, {out}/population.html")
    if summary["users_failed"]:
        first = summary["users_failed"][0]
        lines.append(f"{len(summary['users_failed']):,} users failed, the first: {first['user_id']}: {first['error']}")
    resumed = summary["engine"]["resumed"]
    again = f", {resumed:,} chunks taken from the journal" if resumed else ""
    lines.append(f"{summary['seconds']['all']:.1f} s with {summary['options']['workers']['users']} workers{again}")
    return "\n".join(lines)
