"""`raddle demo`: the weights workload on a generated sample, so that nothing is needed from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from raddle.cli import _exit
from raddle.cli.main import workload_command, workloads
from raddle.errors import ConfigError, MissingExtra, RaddleError

__all__ = ["app"]

_HELP = """Write a sample of made-up people's weights, filter it in parallel, and draw a page for each.

Everything goes into one folder: sample.csv.gz, runs.db (the journal), and what `raddle weights run` writes.
"""
_EPILOG = """\b
Examples:
  raddle demo
  raddle demo -o /tmp/demo --users 200
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(help=_HELP, epilog=_EPILOG)
def demo(
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to write.")] = Path("demo"),
    users: Annotated[int, typer.Option(min=1, help="How many people to make up.")] = 2000,
) -> None:
    command = _weights()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output={out}: cannot be made: {error.strerror or error}") from error
    sample, journal = out / "sample.csv.gz", out / "runs.db"
    code = _call(command, "sample", str(users), "-o", str(sample))
    if code == _exit.OK:
        code = _call(command, "run", str(sample), "-o", str(out), "--journal", str(journal), "--name", "demo")
    if code in (_exit.OK, _exit.NOT_ALL_OK):
        typer.echo(f"\nOpen {(out / 'index.html').resolve().as_uri()}")
        typer.echo(f"The run's history: raddle runs show demo --journal {journal}")
    raise typer.Exit(code)


def _weights() -> Any:
    entry = workloads().get("weights")
    if entry is None:
        raise MissingExtra("the workload 'weights'", "weights")
    return workload_command(entry)


def _call(command: Any, *arguments: str) -> int:
    try:
        command(args=list(arguments), prog_name="raddle weights")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _exit.OK if end.code is None else _exit.USAGE
    except ImportError as error:
        if isinstance(error, RaddleError) or error.name is None:
            raise
        raise MissingExtra(f"{error.name!r}, which the demo needs,", "weights") from error
    return _exit.OK
