"""`raddle map`: one function over the items of a file, a folder or standard input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddle import _config
from raddle.cli import _exit
from raddle.cli._function import resolve
from raddle.cli._inputs import Items, open_items
from raddle.cli._outputs import LineWriter, as_dict
from raddle.cli._running import command_line, follow, metrics, observers, start
from raddle.progress.line import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle import Outcome, Run
    from raddle._ports import Observer

__all__ = ["app"]

_HELP = """Run FUNCTION over every item of INPUT, in parallel, and write one JSON line per outcome to standard output.

FUNCTION is MODULE:FUNC or path/to/file.py:func and gets one item: a line of text, a JSON value, a CSV row as a dict, or
the path of a file. The current folder comes first on the module path.

INPUT is a file (also .gz), a folder, a glob pattern, or - for standard input. Progress and messages go to standard
error. A line that cannot be read is reported there with its number and left out; the run goes on.

Ctrl-C: the first lets running items end within --grace, the second kills them.

\b
Exit codes:
  0        all ok
  1        some items not ok, or some input could not be read
  2        usage or configuration
  3        stopped by --on-error fail
  130/143  interrupted (SIGINT/SIGTERM)
"""
_EPILOG = """\b
Examples:
  raddle map imaging:thumbnail 'photos/*.jpg' --timeout 30 --retry 2 > outcomes.jsonl
  raddle map tools/score.py:score rows.csv --journal runs.db --name score --resume
  cat urls.txt | raddle map fetch:fetch - --backend threads --workers 16 --unordered
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


class Unreadable:
    """Counts and reports the lines of the input that cannot be used."""

    def __init__(self) -> None:
        self.count = 0
        # A progress line may stand where the complaint goes.
        self._clear = "\r\x1b[K" if is_terminal(sys.stderr) else ""

    def __call__(self, name: str, number: int, complaint: str) -> None:
        """Report one."""
        self.count += 1
        sys.stderr.write(f"{self._clear}{name}:{number}: {complaint}\n")


@app.command(help=_HELP, epilog=_EPILOG)
def map_(  # noqa: PLR0917 - Typer makes flags of them
    context: typer.Context,
    function: Annotated[str, typer.Argument(metavar="FUNCTION", show_default=False)],
    source: Annotated[str, typer.Argument(metavar="INPUT", show_default=False)],
    kind: Annotated[str, typer.Option("--input", help="auto (by ending), jsonl, csv, lines or glob.")] = "auto",
    backend: Annotated[str | None, typer.Option(help="auto, serial, threads, processes or asyncio.")] = None,
    workers: Annotated[int | None, typer.Option(help="0: as many as granted CPUs.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds for one attempt.")] = None,
    retry: Annotated[int | None, typer.Option(help="Further tries after the first.")] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many items started in a second.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="auto, such as 4GiB or 80%, or none.")] = None,
    on_error: Annotated[str | None, typer.Option(help="skip or fail.")] = None,
    on_interrupted: Annotated[str | None, typer.Option(help="run or fail: what a death cut off.")] = None,
    unordered: Annotated[bool, typer.Option("--unordered", help="Write outcomes as they come.")] = False,
    key: Annotated[str | None, typer.Option(metavar="FIELD", help="Items of one key run one at a time.")] = None,
    identity: Annotated[str | None, typer.Option("--id", metavar="FIELD", help="What --resume goes by.")] = None,
    window: Annotated[int | None, typer.Option(help="Most items between input and output.")] = None,
    journal: Annotated[str | None, typer.Option(metavar="FILE", help="Remember every outcome in this file.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run in the journal.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Run only what the journal has no outcome for.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="As --resume, and run again what did not end ok.")
    ] = False,
    grace: Annotated[float | None, typer.Option(help="Seconds to end in when interrupted.")] = None,
    progress: Annotated[str | None, typer.Option(help="auto, live, line, jsonl, logging or none.")] = None,
    no_values: Annotated[bool, typer.Option("--no-values", help="Leave out what the function returned.")] = False,
    metrics_to: Annotated[
        str | None, typer.Option("--metrics", metavar="FILE|:PORT", help="Figures for Prometheus.")
    ] = None,
) -> None:
    flags: dict[str, Any] = {
        "backend": backend,
        "workers": workers,
        "timeout": timeout,
        "retry": retry,
        "rate": rate,
        "memory": memory,
        "on_interrupted": on_interrupted,
        "on_error": on_error,
        "ordered": False if unordered else None,
        "window": window,
        "journal": journal,
        "name": name,
        "resume": "failed" if retry_failed else resume or None,
        "grace": grace,
        "progress": progress,
    }
    config = _config.load(flags)
    func = resolve(function)
    unreadable = Unreadable()
    needed = tuple(dict.fromkeys(field for field in (key, identity) if field is not None))
    items = open_items(source, kind=kind, needed=needed, report=unreadable)
    run = start(
        func,
        items,
        config,
        key=_field(key),
        identity=_field(identity),
        progress=[*_observers(config.progress, items.total), *metrics(metrics_to, items.total)],
        command=command_line(context.find_root().obj, from_stdin=source == "-", total=items.total),
    )
    raise typer.Exit(_finish(run, items, config, unreadable, values=not no_values))


def _finish(run: Run, items: Items, config: _config.RunConfig, unreadable: Unreadable, *, values: bool) -> int:
    writer = LineWriter(sys.stdout.buffer)

    def take(outcome: Outcome) -> bool:
        writer.write(as_dict(outcome, values=values))
        return not writer.closed

    asked = follow(run, config.grace, take, writer.close)
    if unreadable.count:
        sys.stderr.write(f"raddle: {unreadable.count:,} lines of {items.name} could not be used\n")
    return _exit.code_for(
        run.summary,
        on_error=config.on_error,
        unreadable=unreadable.count,
        signal_number=asked.number,
        closed=writer.closed,
    )


def _field(name: str | None) -> Callable[[Any], Any] | None:
    """Return what takes a field out of an item, as a value that can be compared and written down."""
    if name is None:
        return None

    def field(item: Any) -> str | int:
        value = item[name]
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return value
        import json

        return json.dumps(value, sort_keys=True)

    return field


def _observers(progress: str, total: int | None) -> list[Observer]:
    return observers(progress, total, scrolling=sys.stdout.isatty())
