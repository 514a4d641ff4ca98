"""What the commands of workloads share: the application, options, exit codes, and how a command ends."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NoReturn, get_type_hints

import typer
from typer.core import TyperGroup

from raddle.errors import RaddleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "CLOSED",
    "NOT_ALL_OK",
    "RESUME",
    "USAGE",
    "Backend",
    "Interrupted",
    "Journal",
    "Json",
    "Name",
    "OnError",
    "OnErrorOption",
    "Progress",
    "ProgressOption",
    "Resume",
    "RetryFailed",
    "Workers",
    "application",
    "ending",
    "example",
    "flatten",
    "option",
    "say",
    "view",
    "write_nowhere",
]

#: exit code: some items did not end ok
NOT_ALL_OK: Final = 1
#: exit code: usage or configuration, or what is read or written cannot be used
USAGE: Final = 2
#: exit code: whoever read standard output went away (128 + SIGPIPE, as for any program in a pipe)
CLOSED: Final = 128 + signal.SIGPIPE
#: how a run with --journal goes on after an interruption, for `ending`
RESUME: Final = "with --journal, run it again with --resume to go on"

#: characters of a help, more than any has
_WHOLE: Final = 1000


class _Commands(TyperGroup):
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does to its end; it would be cut at the width of a line."""
        with formatter.section("Commands"):
            found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
            formatter.write_dl([(name, each.get_short_help_str(_WHOLE)) for name, each in found.items() if each])


def application(text: str, *, epilog: str | None = None) -> typer.Typer:
    """Return an application that looks and behaves as the commands of raddle do; `text` is its help."""
    return typer.Typer(
        cls=_Commands,
        help=text,
        epilog=epilog,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def example(*lines: str) -> str:
    """Return an `epilog` that shows command lines."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


# ------------------------------------------------------------------------------------------------------- options


def option(*names: str, text: str, **more: Any) -> Any:
    """Return `typer.Option` for what has no default, or one that `text` tells."""
    return typer.Option(*names, help=text, show_default=False, **more)


def flatten(command: Callable[..., None]) -> Callable[..., None]:
    """Let a parameter of a command that is a dataclass stand for its fields, each an option or argument.

    What several commands take is said once, and the command gets it as one value. Below `@app.command()`:

    >>> @dataclass(frozen=True, slots=True, kw_only=True)
    ... class Where:
    ...     journal: Journal = None
    ...     resume: Resume = False
    >>> @app.command()
    ... @flatten
    ... def make(folder: Path, where: Where) -> None: ...
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    kinds = {each.name: each.annotation for each in own if isinstance(each.annotation, type)}
    groups = {name: kind for name, kind in kinds.items() if dataclasses.is_dataclass(kind)}
    shown = [one for each in own for one in (_fields(groups[each.name]) if each.name in groups else [each])]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
        command(**given)

    # what Typer reads
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in shown]
    )
    call.__annotations__ = {one.name: one.annotation for one in shown}
    return call


def _fields(group: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in dataclasses.fields(group):
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )


class Backend(StrEnum):
    """Where items run, but for what needs coroutines or a cluster."""

    AUTO = "auto"
    SERIAL = "serial"
    THREADS = "threads"
    PROCESSES = "processes"


class OnError(StrEnum):
    """What an item that fails means for the rest."""

    SKIP = "skip"
    FAIL = "fail"


class Progress(StrEnum):
    """What is shown while a run goes on."""

    AUTO = "auto"
    LIVE = "live"
    LINE = "line"
    NONE = "none"


Workers = Annotated[int, typer.Option(min=0, help="0: as many as are of use.")]
Journal = Annotated[Path | None, option("--journal", text="File that remembers each outcome.")]
Name = Annotated[str | None, option("--name", text="Name of the run in the journal.")]
Resume = Annotated[bool, option("--resume", text="Do only what the journal does not have.")]
RetryFailed = Annotated[bool, option("--retry-failed", text="As --resume, and do again what did not end ok.")]
OnErrorOption = Annotated[OnError, typer.Option(help="fail: start nothing more after the first that fails.")]
ProgressOption = Annotated[Progress, typer.Option(help="On standard error.")]
Json = Annotated[bool, option("--json", text="JSON Lines on standard output.")]

_VIEWS: Final[dict[Progress, Literal["line", "live"]]] = {Progress.LINE: "line", Progress.LIVE: "live"}


def view(progress: Progress, *, elsewhere: Literal["line"] | None = "line") -> Literal["line", "live"] | None:
    """Return what `raddle.run(progress=...)` takes.

    Args:
        progress: as given
        elsewhere: what "auto" means where standard error is no terminal; there it is the live view
    """
    if progress is Progress.AUTO:
        return "live" if sys.stderr.isatty() else elsewhere
    return _VIEWS.get(progress)


# -------------------------------------------------------------------------------------------------------- ending


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end. A KeyboardInterrupt, so that a run ends as it does for Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextlib.contextmanager
def ending(program: str, *, again: str = "") -> Iterator[None]:
    """Turn what raddle raises, and signals, into a line on standard error and an exit code.

    SIGTERM raises `Interrupted` in this block, as Ctrl-C raises KeyboardInterrupt. For the main thread.

    Args:
        program: begins the line, such as "raddle checksums"
        again: how to go on after an interruption

    Raises:
        Exit: with USAGE, CLOSED, 130 (SIGINT) or 143 (SIGTERM)
    """
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except BrokenPipeError as error:
        write_nowhere()
        raise typer.Exit(CLOSED) from error
    except (RaddleError, OSError) as error:  # OSError: the disk is full, a folder cannot be written
        say(program, str(error))
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt as error:
        say(program, "interrupted" + (f"; {again}" if again else ""))
        raise typer.Exit(128 + (error.number if isinstance(error, Interrupted) else signal.SIGINT)) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(number: int, _frame: object) -> NoReturn:
    raise Interrupted(number)


def write_nowhere() -> None:
    """Let what is still buffered for standard output go nowhere, or Python would complain once more when it exits."""
    with contextlib.suppress(OSError, ValueError):  # somebody's stand-in, or closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def say(program: str, line: str) -> None:
    """Write a line to standard error."""
    typer.echo(f"{program}: {line}", err=True)
