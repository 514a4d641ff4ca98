"""What the user is told: JSON Lines as files end, or a summary at the end; and how a command ends."""

from __future__ import annotations

import contextlib
import heapq
import json
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import typer

from raddle.plugin import command_line
from raddle.plugin.command_line import NOT_ALL_OK
from raddle.workloads.media.batch.results import STATUSES, printable, row, size_text
from raddle.workloads.media.batch.stopping import Signals
from raddle.workloads.media.batch.watching import length_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raddle.workloads.media.batch.results import Result

__all__ = ["NONE_HERE", "Told", "echo_json", "ending", "say", "totals_text"]

NONE_HERE: Final = "no video files here (-R looks into the folders below too)"
_PROGRAM: Final = "raddle media"
say = partial(command_line.say, _PROGRAM)
#: failures that the screen gets; all stand in JSON Lines
_MOST: Final = 50
_SLOWEST: Final = 5
_SAID: Final = 5


@dataclass(slots=True)
class Told:
    """Takes the results of a run."""

    as_json: bool = False
    dry_run: bool = False
    _counts: Counter[str] = field(default_factory=Counter)
    _resumed: int = 0
    _before: int = 0
    _after: int = 0
    _failed: list[Result] = field(default_factory=list)
    _slowest: list[tuple[float, str]] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def __call__(self, result: Result) -> None:
        """Tell one result, or keep it for the end."""
        self._counts[result.status] += 1
        self._resumed += result.resumed
        if result.size_before is not None and result.size_after is not None:
            self._before += result.size_before
            self._after += result.size_after
        if result.status in {"failed", "cancelled"} and len(self._failed) < _MOST:
            self._failed.append(result)
        if result.attempts:
            keep = heapq.heappushpop if len(self._slowest) >= _SLOWEST else heapq.heappush
            keep(self._slowest, (result.seconds, printable(result.path)))
        if self.as_json:
            echo_json(row(result))
        elif self.dry_run and (result.status != "unchanged" or result.warnings):
            _tell_planned(result)

    @property
    def speaks(self) -> bool:
        """Whether results are written to a terminal while others still run."""
        return (self.as_json or self.dry_run) and sys.stdout.isatty()

    @property
    def exit_code(self) -> int:
        """Return 0 if no file failed or was cancelled."""
        return NOT_ALL_OK if self._counts["failed"] or self._counts["cancelled"] else 0

    def end(self, *, interrupted: int = 0) -> None:
        """Tell the sums.

        Args:
            interrupted: number of the signal that stopped the run, else 0

        Raises:
            Exit: with the exit code, if it is not 0
        """
        code = 128 + interrupted if interrupted else self.exit_code
        if self.as_json:
            echo_json({"summary": self._summary(code)})
        else:
            self._tell()
        if interrupted:
            say("interrupted; what was under way is as it was, and a run with --resume goes on")
        if code:
            raise typer.Exit(code)

    def _summary(self, code: int) -> dict[str, Any]:
        saved = self._before - self._after
        return {
            "files": sum(self._counts.values()),
            **{status: self._counts[status] for status in STATUSES if status != "planned" or self.dry_run},
            "resumed": self._resumed,
            "bytes_before": self._before,
            "bytes_after": self._after,
            "bytes_saved": saved,
            "saved_percent": round(100 * saved / self._before, 2) if self._before else 0.0,
            "seconds": round(time.monotonic() - self._begun, 3),
            "slowest": [
                {"path": path, "seconds": round(took, 3)} for took, path in sorted(self._slowest, reverse=True)
            ],
            "dry_run": self.dry_run,
            "exit_code": code,
        }

    def _tell(self) -> None:
        files = sum(self._counts.values())
        parts = [f"{self._counts[status]:,} {status}" for status in STATUSES if self._counts[status]]
        again = f" ({self._resumed:,} of them known from earlier runs)" if self._resumed else ""
        typer.echo(f"{files:,} file{'s' * (files != 1)}: {', '.join(parts) or NONE_HERE}{again}")
        if not self.dry_run:
            typer.echo(_saved_text(self._before, self._after))
        took = time.monotonic() - self._begun
        rate = f" ({files / took:,.1f} files/s)" if files and took else ""
        typer.echo(f"took {length_text(took)}{rate}")
        if self._slowest:
            typer.echo("slowest:")
            for seconds, path in sorted(self._slowest, reverse=True):
                typer.echo(f"  {length_text(seconds)}  {path}")
        bad = self._counts["failed"] + self._counts["cancelled"]
        if self._failed:
            mixed = self._counts["cancelled"] > 0
            typer.echo("not done:" if mixed else "failed:")
            for result in self._failed:
                _tell_failed(result, which=f"{result.status}: " if mixed else "")
        if bad > len(self._failed):
            typer.echo(f"  and {bad - len(self._failed):,} more; --json tells each")


def _tell_failed(result: Result, *, which: str) -> None:
    typer.echo(f"  {printable(result.path)}: {which}{printable(result.reason)}")
    for line in result.said[-_SAID:]:
        typer.echo(f"    | {printable(line)}")


def _tell_planned(result: Result) -> None:
    target = f" -> {printable(result.target)}" if result.target else ""
    reason = f": {printable(result.reason)}" if result.reason else ""
    typer.echo(f"{printable(result.path)}{target}: {result.status}{reason}")
    for step in result.steps:
        which = f"step {step.number}{f' ({step.name})' if step.name else ''}, {step.method}"
        if step.reason and result.status == "planned":
            typer.echo(f"  {which}: {printable(step.reason)}")
        for change in step.changes:
            typer.echo(f"  {which}: {printable(change)}")
    for warning in result.warnings:
        typer.echo(f"  warning: {printable(warning)}")


def _saved_text(before: int, after: int) -> str:
    saved = before - after
    share = f" ({100 * abs(saved) / before:.1f} %)" if before else ""
    word = f"{size_text(saved)} saved{share}" if saved >= 0 else f"{size_text(-saved)} more{share}"
    return f"{size_text(before)} before, {size_text(after)} after: {word}"


def totals_text(totals: dict[str, Any]) -> list[str]:
    """Return the lines of `raddle media report`."""
    files = totals["files"]
    runs = totals["runs"]
    lines = [f"{runs:,} run{'s' * (runs != 1)}" + (_when(totals) if runs else "; nothing to report yet")]
    if not runs:
        return lines
    lines.append("files: " + ", ".join(f"{count:,} {status}" for status, count in files.items()))
    lines.append(_saved_text(totals["bytes_before"], totals["bytes_after"]))
    lines.append(f"{length_text(totals['seconds'])} of work on files")
    if totals["slowest"]:
        lines.append("slowest:")
        lines += [f"  {length_text(one['seconds'])}  {one['path']}" for one in totals["slowest"]]
    failures = totals["failures"]
    if failures:
        lines.append(f"{len(failures):,} file{'s' * (len(failures) != 1)} not well since:")
        for one in failures[:_MOST]:
            often = f" ({one['times']} times)" if one["times"] > 1 else ""
            lines.append(f"  {one['path']}: {one['reason']}{often}")
        if len(failures) > _MOST:
            lines.append(f"  and {len(failures) - _MOST:,} more; --json tells each")
    return lines


def _when(totals: dict[str, Any]) -> str:
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(totals[name])) for name in ("first", "last"))
    return f", the first at {first}, the last at {last}"


@contextmanager
def ending() -> Iterator[Signals]:
    """Turn what raddle raises, and signals, into a line on standard error and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # not a file of ours, but somebody's stand-in
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names, whatever the locale
    with command_line.ending(_PROGRAM), Signals() as signals:
        yield signals


def echo_json(value: dict[str, Any]) -> None:
    """Write one line of JSON to standard output, at once."""
    typer.echo(json.dumps(value, ensure_ascii=True))
