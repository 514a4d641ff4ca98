"""What the user is told of a batch: JSON Lines as files end, or a few lines at the end; and how a command ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from raddle import errors
from raddle.workloads.encrypt.sketch.values import NOTICE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    import raddle

__all__ = ["CLOSED", "NOT_ALL_OK", "USAGE", "Told", "ending", "say"]

#: exit codes; 0: all ok; 130 and 143 after signals
NOT_ALL_OK, USAGE, CLOSED = 1, 2, 128 + signal.SIGPIPE
#: failures, and figures of pictures, that the screen gets; all stand in JSON Lines
_MOST: Final = 50
_PAST: Final = {"seal": "sealed", "open": "opened", "sketch": "sketched"}
_NOT_FIGURES: Final = {"bytes", "plain_bytes", "summary"}


class _Terminated(KeyboardInterrupt):
    """SIGTERM; a KeyboardInterrupt, so that the run ends as it does for Ctrl-C."""


@dataclass(slots=True)
class Told:
    """Takes the outcomes of a batch."""

    kind: str
    out: str
    as_json: bool = False
    _failed: list[str] = field(default_factory=list)
    _figures: list[str] = field(default_factory=list)
    _written: int = 0

    def __call__(self, outcome: raddle.Outcome) -> None:
        """Tell one outcome, or keep it for the end: a progress line may stand where it would go."""
        if self.as_json:
            typer.echo(json.dumps(_row(outcome), ensure_ascii=True))
        elif not outcome.ok:
            if len(self._failed) < _MOST:
                self._failed.append(f"{_printable(outcome.item.source)}: {_why(outcome)}")
        else:
            self._written += outcome.value.get("bytes", 0)
            if self.kind == "sketch" and len(self._figures) <= _MOST:
                notes = "".join(f"; {note}" for note in outcome.value.get("notes", ()))
                self._figures.append(f"{_printable(outcome.item.source)}: {outcome.value.get('summary', '')}{notes}")

    def end(self, totals: Counter[str]) -> None:
        """Tell the rest.

        Raises:
            Exit: not all ended ok
        """
        ok, resumed = totals["ok"], totals["resumed"]
        failed = sum(totals.values()) - resumed - ok
        if not self.as_json:
            if len(self._figures) <= _MOST:
                for line in self._figures:
                    typer.echo(line)
            again = f", {resumed:,} of them taken from the journal" if resumed else ""
            typer.echo(f"{ok:,} file{'s' * (ok != 1)} {_PAST[self.kind]} in {self.out}, {self._written:,} bytes{again}")
            if self.kind == "sketch" and ok:
                typer.echo(NOTICE)
            for line in self._failed:
                say(line)
            if failed:
                more = f", {len(self._failed):,} of them above; --json tells each" if failed > len(self._failed) else ""
                say(f"{failed:,} not {_PAST[self.kind]}{more}")
        if failed:
            raise typer.Exit(NOT_ALL_OK)


@contextmanager
def ending(*, again: bool = True) -> Iterator[None]:
    """Turn what raddle raises, and signals, into a line on standard error and an exit code.

    Args:
        again: whether the command can go on where it was interrupted
    """

    def terminated(_number: int, _frame: object) -> NoReturn:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    except BrokenPipeError as error:  # whoever read the JSON Lines has gone
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # what is still buffered goes nowhere
            os.close(nowhere)
        raise typer.Exit(CLOSED) from error
    except (errors.RaddleError, OSError) as error:  # OSError: the disk is full, a folder cannot be written
        say(str(error))
        raise typer.Exit(USAGE) from error
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        say("interrupted" + ("; with --journal, run it again with --resume to go on" if again else ""))
        raise typer.Exit(128 + number) from error
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """Write a line to standard error."""
    typer.echo(f"raddle encrypt: {line}", err=True)


def _row(outcome: raddle.Outcome) -> dict[str, Any]:
    job, error, value = outcome.item, outcome.error, outcome.value or {}
    row: dict[str, Any] = {
        "file": job.source,
        "target": job.target,
        "status": outcome.status.value,
        "bytes": value.get("bytes"),
        "error": {"type": error.type, "message": error.message} if error else None,
        "attempts": outcome.attempts,
        "seconds": round(outcome.seconds, 6),
    }
    if "plain_bytes" in value:
        row["plain_bytes"] = value["plain_bytes"]
    row |= {name: figure for name, figure in value.items() if name not in _NOT_FIGURES}
    if job.kind == "sketch" and outcome.ok:
        row["notice"] = NOTICE
    if outcome.resumed:
        row["resumed"] = True
    return row


def _why(outcome: raddle.Outcome) -> str:
    error = outcome.error
    if error is None:
        return outcome.status.value
    return error.message if error.type.startswith("raddle.") and error.message else str(error)


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
