"""Which journal and which run a command of `raddle runs` looks at, and how it is told on the command line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raddle import _config
from raddle.cli._again import command_of
from raddle.errors import ConfigError, RaddleError
from raddle.journal.history import History

if TYPE_CHECKING:
    from raddle.journal.history import RunRow

__all__ = ["AsJson", "Journal", "Which", "complete_run", "find_run", "open_history", "total_of"]

_DEFAULT = "raddle.db"
#: most names offered to a shell, the latest runs' first
_OFFERED = 100


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of runs that begin like this; none if there is no journal to ask, and never an error."""
    try:
        runs = open_history(ctx.params.get("journal")).runs()
    except (RaddleError, OSError, ValueError):
        return []
    names = dict.fromkeys(run.name for run in reversed(runs))
    # What would have to be quoted is left out: shells disagree on how.
    found = [name for name in names if name.startswith(incomplete) and shlex.quote(name) == name]
    return found[:_OFFERED]


Journal = Annotated[
    str | None,
    typer.Option(metavar="FILE", help=f"The journal. Default: RADDLE_JOURNAL or the configuration's, else {_DEFAULT}."),
]
Which = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="Name or id. Default: the latest.", autocompletion=complete_run),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


def open_history(journal: str | None) -> History:
    """Return the journal that was named, or is to be taken for want of a name.

    Raises:
        ConfigError: there is no such file
    """
    path = journal or _config.load().journal or _DEFAULT
    history = History(path)
    if not history.path.exists():
        raise ConfigError(f"--journal={path}: no such file; name the journal, or set RADDLE_JOURNAL")
    return history


def find_run(history: History, which: str | None) -> RunRow:
    """Return the run of that name or id, or the latest.

    Raises:
        ConfigError: there is no such run
    """
    found = next(reversed(history.runs()), None) if which is None else history.run(which)
    if found is not None:
        return found
    names = ", ".join(sorted({run.name for run in history.runs()})) or "none at all"
    raise ConfigError(f"RUN={which}: not in {history.path.name}; its runs are: {names}")


def total_of(run: RunRow) -> int | None:
    """Return the number of items; of a source without a length, as the command line counted it, or once it was read."""
    summary: dict[str, Any] = run.summary or {}
    if run.total is not None:
        return run.total
    if summary.get("source_ended"):
        return int(summary["admitted"])
    counted = (command_of(run) or {}).get("total")
    return counted if isinstance(counted, int) else None
