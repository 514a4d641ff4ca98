"""What jobs printed: each job's output as a whole, never mixed with another's."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, Any

from raddle.cli._jobs import CommandFailed, exit_code_of
from raddle.cli._outputs import LineWriter, dump
from raddle.progress._text import one_line

if TYPE_CHECKING:
    from raddle import Outcome

__all__ = ["Grouped", "as_record"]

_ABANDONED = "; abandoned: the thread is still running its item"


class Grouped:
    """Writes outcomes of jobs to standard output and standard error, in the order in which they are given.

    Args:
        as_json: one JSON line for each job, instead of what it printed
        tag: begin each line with the item and a tab
        values: have "stdout" and "stderr" in JSON
        also: where JSON lines go besides
    """

    def __init__(
        self, *, as_json: bool = False, tag: bool = False, values: bool = True, also: IO[bytes] | None
    ) -> None:
        self._out = LineWriter(sys.stdout.buffer)
        self._err = LineWriter(sys.stderr.buffer)
        self._also = None if also is None else LineWriter(also)
        self._as_json = as_json
        self._tag = tag
        self._values = values

    @property
    def closed(self) -> bool:
        """Whether the reader of standard output has gone."""
        return self._out.closed

    def take(self, outcome: Outcome) -> bool:
        """Write one; return whether somebody still reads."""
        if self._as_json or self._also is not None:
            line = dump(as_record(outcome, values=self._values))
            if self._also is not None:
                self._also.write_line(line)
            if self._as_json:
                self._out.write_line(line)
                return not self.closed
        stdout, stderr = _printed(outcome)
        self._write(self._out, outcome, stdout)
        self._write(self._err, outcome, stderr)
        if not outcome.ok:
            self._err.write_line(_complaint(outcome).encode("utf-8", "surrogateescape"))
        return not self.closed

    def close(self) -> None:
        """Flush."""
        for writer in (self._out, self._err, self._also):
            if writer is not None:
                writer.close()

    def _write(self, writer: LineWriter, outcome: Outcome, text: str) -> None:
        if not text:
            return
        if self._tag:
            body = text.removesuffix("\n")
            lines = "\n".join(f"{outcome.item.text}\t{line}" for line in body.split("\n"))
            text = lines + text[len(body) :]
        writer.write_line(text.encode("utf-8", "surrogateescape"))


def as_record(outcome: Outcome, *, values: bool = True) -> dict[str, Any]:
    """Return the outcome of a job as a dict in the order of the output's fields."""
    error = outcome.error
    record: dict[str, Any] = {
        "position": outcome.position,
        "item": outcome.item.text,
        "command": outcome.item.command,
        "status": outcome.status.value,
        "exit_code": exit_code_of(error),
    }
    if values:
        record["stdout"], record["stderr"] = _printed(outcome)
    record["error"] = {"type": error.type, "message": _message(outcome)} if error else None
    record["attempts"] = outcome.attempts
    record["seconds"] = round(outcome.seconds, 6)
    record["worker"] = outcome.worker
    if outcome.resumed:
        record["resumed"] = True
    return record


def _message(outcome: Outcome) -> str:
    # The thread that waits for a command is abandoned at the deadline; the command itself is killed.
    return (outcome.error.message if outcome.error else "").removesuffix(_ABANDONED)


def _complaint(outcome: Outcome) -> str:
    problem = _message(outcome).partition("\n")[0]
    if outcome.error is not None and isinstance(outcome.error.exception, CommandFailed):
        problem = problem.partition(": ")[0]  # its standard error stands above
    job = outcome.item
    return f"raddle: job {job.number} {outcome.status.value.replace('_', ' ')}: {problem}: {one_line(job.command)}\n"


def _printed(outcome: Outcome) -> tuple[str, str]:
    """Return standard output and error of a job, as far as they are known."""
    if outcome.ok:
        return outcome.value.get("stdout", ""), outcome.value.get("stderr", "")
    exception = outcome.error.exception if outcome.error else None
    return (exception.stdout, exception.stderr) if isinstance(exception, CommandFailed) else ("", "")
