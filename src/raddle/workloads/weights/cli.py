"""`raddle weights`: run, sample, profiles, print."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from raddle.plugin import granted_cpus
from raddle.plugin.command_line import (
    NOT_ALL_OK,
    RESUME,
    Backend,
    Progress,
    ProgressOption,
    Resume,
    application,
    ending,
    example,
    option,
    view,
)
from raddle.workloads.weights import cli_options as o
from raddle.workloads.weights.config import load_config
from raddle.workloads.weights.needs import needed
from raddle.workloads.weights.options import ReadOptions, RunOptions, parse_columns, parse_where

__all__ = ["app"]

app = application("Weight histories of many users: filtered in parallel, a page for each.")
_ending = partial(ending, "raddle weights")


@app.command(
    "run",
    epilog=example(
        "raddle weights run readings.csv -o pages",
        "raddle weights run readings.csv -o pages --resume",
    ),
)
def run_command(  # noqa: PLR0917 - Typer reads options from parameters
    files: o.Files,
    out: o.Out,
    columns: o.Columns = None,
    preset: o.Preset = "auto",
    user: o.User = None,
    unit: o.Unit = None,
    date_order: o.DateOrder = None,
    time_unit: o.TimeUnit = o.TimeUnitName.ISO,
    where: o.Where = None,
    since: o.Since = None,
    until: o.Until = None,
    min_readings: o.MinReadings = 1,
    user_offset: o.UserOffset = 0,
    max_users: o.MaxUsers = 0,
    users: o.Users = None,
    heights: o.Heights = None,
    rules: o.Rules = o.RulesName.V2,
    profile: o.Profile = "balanced",
    retro: o.Retro = False,
    state: o.State = None,
    store_readings: o.StoreReadings = False,
    config: o.Config = None,
    backend: o.BackendOption = Backend.AUTO,
    workers: o.Workers = 0,
    journal: o.Journal = None,
    name: o.Name = "weights",
    resume: Resume = False,
    no_pages: o.NoPages = False,
    timeout: o.Timeout = None,
    progress: ProgressOption = Progress.AUTO,
    json_results: o.JsonResults = False,
    as_json: o.AsJson = False,
) -> None:
    """Filter every user of the FILEs and write results, state and pages into the output folder.

    Exit codes: 0 all users ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    with _ending(again=RESUME):
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
            progress=view(progress),
            json_results=json_results,
        )
        needed(pages=options.pages)
        # polars takes all CPUs unless told before it is imported
        os.environ.setdefault(
            "POLARS_MAX_THREADS", str(workers or options.config.threading.user_pool_size or granted_cpus())
        )
        from raddle.workloads.weights.run import run_files

        summary = run_files([str(file) if str(file) == "-" else file for file in files], options)
    if as_json:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        typer.echo(_report(summary))
    if summary["users_failed"]:
        raise typer.Exit(NOT_ALL_OK)


@app.command("sample", epilog=example("raddle weights sample 20 -o readings.csv.gz"))
def sample_command(
    users: Annotated[int, typer.Argument(min=1, help="How many users.", show_default=False)],
    out: Annotated[Path, option("--output", "-o", text="CSV file, gzipped if it ends in .gz.")],
    seed: Annotated[int, typer.Option(help="The same seed writes the same bytes.")] = 0,
    rows_per_user: Annotated[int, typer.Option(min=1, help="About so many rows for each.")] = 100,
) -> None:
    """Write a synthetic file that has all the trouble of real ones. No person is behind it."""
    with _ending():
        needed(pages=False)
        from raddle.workloads.weights.sample import write_sample

        rows = write_sample(out, users=users, seed=seed, rows_per_user=rows_per_user)
    typer.echo(f"{out}: {rows:,} rows of {users:,} users")


@app.command("profiles", epilog=example("raddle weights profiles balanced > mine.toml"))
def profiles_command(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, as a start for your own.", show_default=False)
    ] = None,
    rules: Annotated[o.RulesName, typer.Option(help="Of which rules.")] = o.RulesName.V2,
) -> None:
    """List the profiles that ship, or print one as TOML."""
    from raddle.workloads.weights.rules.profiles import profile_names, shipped_text

    with _ending():
        if name is None:
            typer.echo("\n".join(profile_names(rules.value)))
        else:
            typer.echo(shipped_text(rules.value, name), nl=False)


@app.command("print", epilog=example("raddle weights print pages user-7 --format png"))
def print_command(  # noqa: PLR0917 - as above
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of a run.", show_default=False)],
    users: Annotated[
        list[str] | None, typer.Argument(metavar="[USER]...", help="Whose pages; default: all.", show_default=False)
    ] = None,
    into: Annotated[Path | None, option("--output", "-o", text="Folder for them; default: OUT/print.")] = None,
    file_format: Annotated[o.FormatName, typer.Option("--format", help="A document or a picture.")] = o.FormatName.PDF,
    workers: Annotated[int, typer.Option(min=0, help="0: as many as the CPUs granted.")] = 0,
    timeout: Annotated[float, typer.Option(help="Seconds for one page.")] = 60.0,
    browser: Annotated[Path | None, option(text="Chromium or Chrome; default: the one on the PATH.")] = None,
) -> None:
    """Turn pages into PDF or PNG files, with a Chromium or Chrome that is installed.

    Exit codes: 0 all pages ok, 1 some not, 2 usage or configuration, 130 interrupted, 143 terminated.
    """
    from raddle.workloads.weights.pages.print_pages import print_users

    with _ending():
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
        raise typer.Exit(NOT_ALL_OK)


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
