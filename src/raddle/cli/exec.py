"""`raddle exec`: any program over files or lines."""

from __future__ import annotations

import shutil
import sys
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from raddle import _config
from raddle.cli import _exit
from raddle.cli._arguments import Arguments, open_arguments, split
from raddle.cli._grouped import Grouped
from raddle.cli._jobs import IDS, Launcher, jobs
from raddle.cli._outputs import LineWriter
from raddle.cli._running import command_line, follow, metrics, observers, start
from raddle.cli._spawn import run_command
from raddle.cli._template import Template, parse
from raddle.errors import ConfigError
from raddle.progress.line import is_terminal

if TYPE_CHECKING:
    from raddle._ports import Observer

__all__ = ["app"]

_HELP = """Run COMMAND once for each item, in parallel, and write what each job prints as a whole, in input order.

Items are lines of standard input, of -a FILE or :::: FILE, or the words after ':::'. Empty lines are left out.

\b
Replacement strings, as in GNU parallel:
  {}     the item                {#}   the number of the job
  {.}    without its ending      {/}   without its folder
  {//}   its folder              {/.}  without either
Without any of them the item comes last.

The command is run without a shell; with --shell it is one text for /bin/sh, and items are quoted.

With --journal and --resume a job is not run again if the same command line has an outcome, whatever was inserted,
deleted or reordered in the input. --id content: the file that the item names must also be the same.

Ctrl-C: the first lets running jobs end within --grace, the second kills them.

\b
Exit codes:
  0        all ok
  1        some jobs not ok
  2        usage or configuration
  3        stopped by --on-error fail
  130/143  interrupted (SIGINT/SIGTERM)
"""
_EPILOG = """\b
Examples:
  raddle exec -j4 -- convert {} -resize 200x small/{/.}.png ::: photos/*.jpg
  find . -name '*.log' -print0 | raddle exec -0 --timeout 60 -- gzip -9
  raddle exec --journal runs.db --name hash --resume -a files.txt -- sha256sum {}
  raddle exec --shell 'gzip -c {} > {}.gz' ::: *.txt
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=_HELP, epilog=_EPILOG, context_settings={"allow_interspersed_args": False})
def exec_(  # noqa: PLR0917 - Typer makes flags of them
    context: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND [::: ITEM]", show_default=False)] = None,
    files: Annotated[
        list[str] | None, typer.Option("--arg-file", "-a", metavar="FILE", help="Items are the lines of this file.")
    ] = None,
    null: Annotated[
        bool, typer.Option("--null", "-0", help="Items end with a NUL byte, not with a line break.")
    ] = False,
    shell: Annotated[bool, typer.Option("--shell", help="COMMAND is one text for /bin/sh; items are quoted.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", "-j", help="0: as many as granted CPUs.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one attempt.")] = None,
    retry: Annotated[int | None, typer.Option(help="Further tries after the first.")] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many jobs started in a second.")] = None,
    on_error: Annotated[str | None, typer.Option(help="skip or fail.")] = None,
    unordered: Annotated[bool, typer.Option("--unordered", help="Write outputs as jobs end.")] = False,
    key: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Jobs of one key run one at a time, such as '{//}'.")
    ] = None,
    identity: Annotated[
        str, typer.Option("--id", help="What --resume goes by: command, or also the file's content or mtime.")
    ] = "command",
    window: Annotated[int | None, typer.Option(help="Most jobs between input and output.")] = None,
    journal: Annotated[str | None, typer.Option(metavar="FILE", help="Remember every outcome in this file.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run in the journal. Default: the program's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Run only what the journal has no outcome for.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and run again what did not end ok.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and run nothing.")] = False,
    tag: Annotated[bool, typer.Option("--tag", help="Begin each line of output with the item and a tab.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON line for each job.")] = False,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the JSON lines into this file, too.")
    ] = None,
    no_values: Annotated[
        bool, typer.Option("--no-values", help="Leave what jobs print out of JSON and of the journal.")
    ] = False,
    grace: Annotated[float | None, typer.Option(help="Seconds to end in when interrupted.")] = None,
    progress: Annotated[str | None, typer.Option(help="auto, live, line, jsonl, logging or none.")] = None,
    metrics_to: Annotated[
        str | None, typer.Option("--metrics", metavar="FILE|:PORT", help="Figures for Prometheus.")
    ] = None,
) -> None:
    config = _config.load({
        "workers": workers, "timeout": timeout, "retry": retry, "rate": rate, "on_error": on_error, "window": window,
        "ordered": False if unordered else None, "journal": journal, "name": name,
        "resume": "failed" if retry_failed else resume or None, "grace": grace, "progress": progress,
    })  # fmt: skip
    command, mark, given = split(words or [])
    stdin = (mark != ":::" and "-" in (*(files or []), *given)) or (mark is None and not files)
    items = open_arguments(mark, given, files or [], null=null)
    wanted = _Wanted(
        parse(command, shell=shell),
        items,
        config,
        key=key,
        identity=identity,
        tag=tag,
        as_json=as_json,
        output=output,
        values=not no_values,
        metrics=metrics_to,
        started_as=command_line(context.find_root().obj, from_stdin=stdin, total=items.total),
    )
    raise typer.Exit(_print(wanted) if dry_run else _execute(wanted))


@dataclass(frozen=True, slots=True)
class _Wanted:
    template: Template
    items: Arguments
    config: _config.RunConfig
    _: KW_ONLY
    key: str | None
    identity: str
    tag: bool
    as_json: bool
    output: str | None
    values: bool
    metrics: str | None
    #: for `raddle runs retry`
    started_as: str


def _print(wanted: _Wanted) -> int:
    writer = LineWriter(sys.stdout.buffer)
    for job in jobs(wanted.items, wanted.template):
        writer.write_line(f"{job.command}\n".encode("utf-8", "surrogateescape"))
        if writer.closed:
            return _exit.CLOSED
    writer.close()
    return _exit.OK


def _execute(wanted: _Wanted) -> int:
    config, total = wanted.config, wanted.items.total
    if wanted.identity not in IDS:
        raise ConfigError(f"--id={wanted.identity}: must be one of {', '.join(IDS)}")
    program = _program(wanted.template)
    with ExitStack() as closing:
        also = _open(wanted.output, closing)
        run = start(
            Launcher(run_command, keep=wanted.values),
            jobs(wanted.items, wanted.template, identity=wanted.identity, key=wanted.key),
            config if config.name else replace(config, name=program),
            backend="threads",
            key=None if wanted.key is None else attrgetter("key"),
            progress=[*_observers(config.progress, total), *metrics(wanted.metrics, total)],
            command=wanted.started_as,
        )
        writer = Grouped(as_json=wanted.as_json, tag=wanted.tag, values=wanted.values, also=also)
        asked = follow(run, config.grace, writer.take, writer.close)
    return _exit.code_for(run.summary, on_error=config.on_error, signal_number=asked.number, closed=writer.closed)


def _program(template: Template) -> str:
    """Return the name of what is run, after a look whether it is there.

    Raises:
        ConfigError: there is no such program
    """
    program, first = template.program, template.words[0]
    if template.shell:
        return Path(first.split()[0]).name or "exec"
    if program is None and (" " not in first or first.startswith("{")):
        return "exec"  # another for each item
    program = program or first
    if shutil.which(program) is None:
        hint = "; one text for the shell needs --shell" if " " in first else ""
        what = "is not an executable file" if "/" in program else "there is no such program on the PATH"
        raise ConfigError(f"COMMAND={program}: {what}{hint}")
    return Path(program).name or "exec"


def _observers(progress: str, total: int | None) -> list[Observer]:
    # Standard error is the jobs': nothing is added to it in a pipe, and nothing repaints itself among their output.
    if progress == "auto" and not is_terminal(sys.stderr):
        return []
    return observers(progress, total, scrolling=True)


def _open(output: str | None, closing: ExitStack) -> IO[bytes] | None:
    if output is None:
        return None
    try:
        return closing.enter_context(Path(output).open("wb"))
    except OSError as error:
        raise ConfigError(f"--output={output}: cannot be written: {error.strerror or error}") from error
