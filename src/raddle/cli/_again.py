"""A run of the command line, started once more: `raddle runs retry`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from raddle.journal.history import RunRow

__all__ = ["again", "arguments_of", "command_of", "place_of"]

_COMMANDS = ("map", "exec")


def again(run: RunRow, journal: Path) -> NoReturn:
    """Become the command that started `run`, in the folder where it was started, with `--retry-failed`.

    Raises:
        ConfigError: it was started from Python, its folder is gone, or its items would have to be piped in again
    """
    stored = _stored(run, journal)
    if stored.get("stdin") and sys.stdin.isatty():
        raise ConfigError(
            f"RUN={run.name}: its items came from standard input; give them again: ... | raddle runs retry {run.name}"
        )
    folder = Path(stored["cwd"])
    if not folder.is_dir():
        raise ConfigError(f"RUN={run.name}: was started in {folder}, which is not there any more")
    arguments = arguments_of(stored["argv"], run.name, journal)
    os.chdir(folder)
    # -P: modules of that folder must not take the place of those that raddle itself imports.
    os.execv(sys.executable, [sys.executable, "-P", "-m", "raddle", *arguments])  # noqa: S606 - our own command


def arguments_of(argv: list[str], name: str, journal: Path) -> list[str]:
    """Return the old arguments and, before anything that ends options, what makes it a retry."""
    place = place_of(argv) + 1
    return [*argv[:place], "--journal", str(journal), "--name", name, "--retry-failed", *argv[place:]]


def place_of(argv: list[str]) -> int:
    """Return where the name of the command is, such as "map"."""
    return next(place for place, word in enumerate(argv) if not word.startswith("-"))


def command_of(run: RunRow) -> dict[str, Any] | None:
    """Return the command line that started a run: "argv", "cwd", maybe "stdin" and "total"; None if there is none."""
    try:
        stored = json.loads(run.command or "{}")
        if stored["argv"][place_of(stored["argv"])] and isinstance(stored["cwd"], str):
            return dict(stored)
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        pass  # of a run that no command line started
    return None


def _stored(run: RunRow, journal: Path) -> dict[str, Any]:
    stored = command_of(run)
    if stored is not None:
        if (name := stored["argv"][place_of(stored["argv"])]) in _COMMANDS:
            return stored
        raise ConfigError(
            f"RUN={run.name}: was started by raddle {name}, which is started again by itself; "
            f"raddle runs show {run.name} has its command"
        )
    here = f"journal={str(journal)!r}, name={run.name!r}"
    raise ConfigError(
        f"RUN={run.name}: was not started by raddle map or raddle exec; in Python: "
        f"raddle.run(func, items, {here}, resume='failed')"
    )
