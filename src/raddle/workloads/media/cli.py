"""`raddle media`: run, inspect, check, report, restore, sample."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from raddle.errors import ConfigError
from raddle.plugin import needed
from raddle.plugin.command_line import Json, OnError, application, example, option
from raddle.workloads.media.options import (
    Config,
    Level,
    LevelOption,
    OnErrorOption,
    Paths,
    ProgressOption,
    Recursive,
    State,
    Workers,
)
from raddle.workloads.media.settings import Settings, load_settings
from raddle.workloads.media.telling import Told, echo_json, ending, totals_text

__all__ = ["app"]

app = application("Bring video files to what a policy says, in parallel, and never lose a stream.")
_AV, _YAML = ("av", "PyAV"), ("yaml", "PyYAML")


@app.command("run", epilog=example("raddle media run save-space.yaml /films -R --dry-run"))
def run_command(  # noqa: PLR0917 - Typer reads options from parameters
    policy: Annotated[Path, typer.Argument(metavar="POLICY", show_default=False, help="YAML file; see the reference.")],
    paths: Paths,
    recursive: Recursive = False,
    dry_run: Annotated[bool, option("--dry-run", "-n", text="Say what would change, and why; write nothing.")] = False,
    workers: Workers = None,
    encodes: Annotated[
        int | None, option("--encodes", text="Files encoded at once; default: 2, or a quarter of the CPUs.")
    ] = None,
    on_error: OnErrorOption = None,
    as_json: Json = False,
    resume: Annotated[
        bool, option("--resume", text="Files that this policy is through with, and that are the same, are not opened.")
    ] = False,
    state: State = None,
    journal: Annotated[
        Path | None, option("--journal", text="File that remembers the run, for raddle ui and raddle runs to show.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the run in the journal.")] = "media",
    config: Config = None,
    progress: ProgressOption = None,
    stall_timeout: Annotated[
        float | None, option("--stall-timeout", text="Seconds a program may get no further; 0: no limit; default 300.")
    ] = None,
    hard_timeout: Annotated[
        float | None, option("--hard-timeout", text="Seconds a step may take on a file; 0, the default: no limit.")
    ] = None,
) -> None:
    """Bring each file to what POLICY says. A path holds the old file or the verified new one at every moment.

    Exit codes: 0 all fine (done, unchanged, skipped), 1 a file failed or was cancelled, 2 usage, policy or
    configuration, 130 interrupted, 143 terminated.
    """
    with ending() as signals:
        needed("media", _AV, _YAML)
        from raddle.workloads.media.batch.run import RunOptions, run_policy
        from raddle.workloads.media.policy import load_policy

        if dry_run and journal is not None:
            raise ConfigError(f"--journal={journal} and --dry-run: nothing is done that could be remembered; give one")
        settings = _settings(
            config,
            workers=workers,
            encodes=encodes,
            state=state,
            stall_timeout=stall_timeout,
            hard_timeout=hard_timeout,
            progress=progress and progress.value,
        )
        read = load_policy(policy)
        if on_error is not None:
            read = replace(read, on_error="stop" if on_error is OnError.FAIL else "skip")
        told = Told(as_json, dry_run)
        asked = RunOptions(
            policy=read,
            policy_path=policy,
            paths=paths,
            recursive=recursive,
            dry_run=dry_run,
            resume=resume,
            journal=journal,
            name=name,
        )
        run_policy(asked, settings, tell=told, signals=signals, stderr=sys.stderr)
        told.end(interrupted=signals.number)


@app.command("inspect", epilog=example("raddle media inspect film.mkv", "raddle media inspect /films -R --json"))
def inspect_command(paths: Paths, recursive: Recursive = False, as_json: Json = False) -> None:
    """Show what is in each file: streams, chapters, attachments, tags.

    Exit codes: 0 all could be read, 1 some not, 2 usage, 130 interrupted, 143 terminated.
    """
    with ending() as signals:
        needed("media", _AV)
        from raddle.workloads.media.looking import inspect_files

        code = inspect_files(paths, recursive=recursive, as_json=as_json, signals=signals)
        if code:
            raise typer.Exit(code)


@app.command("check", epilog=example("raddle media check /films -R --level decode"))
def check_command(  # noqa: PLR0917 - as above
    paths: Paths,
    recursive: Recursive = False,
    level: LevelOption = Level.PACKETS,
    workers: Workers = None,
    as_json: Json = False,
    config: Config = None,
    progress: ProgressOption = None,
) -> None:
    """Look for damage: each file is read to its end, and decoded if asked for.

    Exit codes: 0 no damage found, 1 a file is damaged or cannot be read, 2 usage or configuration, 130 interrupted,
    143 terminated.
    """
    with ending() as signals:
        needed("media", _AV)
        from raddle.workloads.media.looking import check_files

        settings = _settings(config, workers=workers, progress=progress and progress.value)
        code = check_files(
            paths,
            recursive=recursive,
            level=level.value,
            settings=settings,
            as_json=as_json,
            signals=signals,
        )
        if code:
            raise typer.Exit(code)


@app.command("report", epilog=example("raddle media report"))
def report_command(state: State = None, config: Config = None, as_json: Json = False) -> None:
    """Show the totals of all runs: files, bytes saved, failures that nothing has mended since.

    Exit codes: 0 shown, 2 the state or the configuration cannot be read.
    """
    with ending():
        from raddle.workloads.media.state import totals

        found = totals(_settings(config, state=state).folder)
        if as_json:
            echo_json(found)
        else:
            for line in totals_text(found):
                typer.echo(line)


@app.command("restore", epilog=example("raddle media restore film.mkv", "raddle media restore /films -R --list"))
def restore_command(
    paths: Paths,
    recursive: Recursive = False,
    list_only: Annotated[bool, option("--list", text="Show what is in the trash, and restore nothing.")] = False,
    force: Annotated[
        bool, option("--force", text="Also where the result was changed since; it goes to the trash then.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the originals back that runs have moved to the trash, the newest of each name; the results go.

    Exit codes: 0 all restored (or listed), 1 some not, 2 usage, or there is nothing to restore.
    """
    with ending():
        from raddle.workloads.media.looking import list_originals, restore_originals

        if list_only:
            list_originals(paths, recursive=recursive, as_json=as_json)
        elif restore_originals(paths, recursive=recursive, force=force, as_json=as_json):
            raise typer.Exit(1)


@app.command("sample", epilog=example("raddle media sample /tmp/library --count 12"))
def sample_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False, help="Folder; made if need be.")],
    count: Annotated[int, typer.Option(help="Files.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed gives other files.")] = 0,
) -> None:
    """Make a small library of test files: several sounds and subtitles, chapters, attachments; 1 to 2 seconds each.

    Exit codes: 0 made, 2 it cannot be.
    """
    with ending():
        from raddle.workloads.media.sample import make_samples

        for path in make_samples(folder, count, seed=seed):
            typer.echo(str(path))


def _settings(config: Path | None, **flags: Any) -> Settings:
    return load_settings(config).beaten_by(**flags)
