"""The application: finds its commands by name and imports each only when it is used."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from raddle.cli import _exit
from raddle.errors import ConfigError, MissingExtra, RaddleError
from raddle.plugin.command_line import write_nowhere

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from importlib.metadata import EntryPoint

__all__ = ["app", "main", "workload_command", "workloads"]

_OWN = {
    "map": "Run a function over the items of a file, a folder or standard input.",
    "exec": "Run a program over the lines of a file, of standard input, or over the words after ':::'.",
    "runs": "Look into a journal: list, show, watch, compare, failures, export; start a run again.",
    "ui": "Show the runs of journals in a web browser, live while they go on.",
    "doctor": "Show what this machine grants, versions, and what is installed.",
    "demo": "Generate a sample, run the weights workload on it, and say where the page is.",
}
_GROUP = "raddle.workloads"
#: set by the shell's completion function: what is printed then is what it offers
_COMPLETING = "_RADDLE_COMPLETE"


class Commands(TyperGroup):
    """Our own commands and the installed workloads."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is Typer's
        """Return the names; nothing is imported for this."""
        return [*_OWN, *sorted(set(workloads()) - set(_OWN))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        """Import what `cmd_name` needs, and nothing else."""
        if cmd_name in _OWN:
            return _own(cmd_name)
        entry = workloads().get(cmd_name)
        return None if entry is None else workload_command(entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands for `--help`; of a workload its package alone is imported, which is light."""
        found = workloads()
        with formatter.section("Commands"):
            formatter.write_dl(list(_OWN.items()))
        others = [name for name in self.list_commands(ctx) if name not in _OWN]
        if others:
            with formatter.section("Workloads"):
                formatter.write_dl([(name, _summary(found[name])) for name in others])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer the names of the commands, again with no more than packages."""
        found = workloads()
        texts = {name: _OWN.get(name) or _summary(found[name]) for name in self.list_commands(ctx)}
        commands = [TyperCommand(name, help=text) for name, text in texts.items()]
        alike = TyperGroup(name=self.name, commands=commands, params=self.params)
        # With a context of its own: click asks the context's command for the others, which would import them all.
        return alike.shell_complete(typer.Context(alike, info_name=ctx.info_name), incomplete)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end as any program in a pipe does when nobody reads its output any more."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None and not sys.stdout.closed:
                    sys.stdout.flush()
        except BrokenPipeError:
            write_nowhere()
            raise SystemExit(_exit.CLOSED) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or name the nearest right one."""
        wrong = args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-")
        if wrong and not ctx.resilient_parsing:  # a shell that completes wants no messages
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="\b\nExample:\n  raddle map mymodule:resize paths.txt --timeout 30 --journal runs.db > outcomes.jsonl",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"raddle {version('raddle')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    _traceback: Annotated[bool, typer.Option("--traceback", hidden=True)] = False,
) -> None:
    """Run one function over many items, in parallel, with nothing tangled and nothing lost."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (see `_exit`)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with_traceback = "--traceback" in takewhile(lambda word: word.startswith("-"), arguments)
    try:
        with _noted(arguments):
            typer.main.get_command(app)(args=list(arguments), prog_name="raddle", obj=arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else _exit.USAGE if end.code else _exit.OK
    except RaddleError as error:
        if _COMPLETING in os.environ:
            return _exit.OK  # a message would land in the middle of what is being typed
        if with_traceback:
            raise
        print(f"raddle: {error}", file=sys.stderr)  # noqa: T201 - this is the command line
        return _exit.USAGE
    return _exit.OK


def _noted(arguments: Sequence[str]) -> AbstractContextManager[None]:
    """Let the journal know what starts the runs of a workload; our own commands say it themselves."""
    name = next((word for word in arguments if not word.startswith("-")), None)
    if name is None or name in _OWN:
        return nullcontext()
    from raddle.journal._started import started_as

    return started_as(arguments)


def workloads() -> dict[str, EntryPoint]:
    """Return the installed workloads by name."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=_GROUP)}


def _own(name: str) -> Any:
    import importlib

    return typer.main.get_command(importlib.import_module(f"raddle.cli.{name}").app)


def workload_command(entry: EntryPoint) -> Any:
    """Import a workload and return its command."""
    try:
        return typer.main.get_command(entry.load().cli())
    except ImportError as error:
        if isinstance(error, RaddleError) or error.name is None:
            raise
        package = entry.dist.name if entry.dist else entry.module
        if package == "raddle":
            raise MissingExtra(f"{error.name!r}, which {entry.name!r} needs,", entry.name) from error
        raise ConfigError(f"workload={entry.name!r}: {package} needs {error.name!r}: pip install it") from error


def _summary(entry: EntryPoint) -> str:
    """Return what a workload says of itself; a package is light, or its worker processes would not be."""
    try:
        return str(entry.load().summary)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others are to be listed
        return f"cannot be imported: {type(error).__name__}: {error}"
