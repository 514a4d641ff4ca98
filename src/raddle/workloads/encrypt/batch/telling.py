"""What the user is told of a batch: JSON Lines as files end, or a few lines at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer

from raddle.plugin import command_line
from raddle.plugin.command_line import NOT_ALL_OK
from raddle.workloads.encrypt.sketch.values import NOTICE

if TYPE_CHECKING:
    from collections import Counter

    import raddle

__all__ = ["Told", "ending", "say"]

_PROGRAM: Final = "raddle encrypt"
ending = partial(command_line.ending, _PROGRAM)
say = partial(command_line.say, _PROGRAM)
#: failures, and figures of pictures, that the screen gets; all stand in JSON Lines
_MOST: Final = 50
_PAST: Final = {"seal": "sealed", "open": "opened", "sketch": "sketched"}
_NOT_FIGURES: Final = {"bytes", "plain_bytes", "summary"}


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
