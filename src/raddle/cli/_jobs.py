"""One command as an item, and how it is run."""

from __future__ import annotations

import hashlib
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle.backends._shell import exit_text
from raddle.cli._template import fill

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator

    from raddle import ErrorInfo
    from raddle.cli._template import Template

__all__ = ["IDS", "CommandFailed", "Job", "Launcher", "exit_code_of", "jobs"]

#: what --resume goes by
IDS = ("command", "content", "mtime")
#: of what a failed command wrote to standard error, so much is in the message
_TAIL_LINES, _TAIL_LENGTH = 5, 2000


class Job(str):
    """A command to run. As text it is what resume goes by: the command line, and what `--id` adds about the file."""

    __slots__ = ("argv", "command", "key", "number", "text")

    argv: list[str]
    #: as one would type it
    command: str
    key: str | None
    #: counts from 1
    number: int
    #: the item that was given
    text: str


def jobs(
    items: Iterable[str], template: Template, *, identity: str = "command", key: str | None = None
) -> Iterator[Job]:
    """Yield a job for each item, lazily."""
    for number, item in enumerate(items, 1):
        command = template.text(item, number)
        stamp = _stamp(item, identity)
        job = Job(f"{command}  # {stamp}" if stamp else command)
        job.argv, job.command, job.number, job.text = template.argv(item, number), command, number, item
        job.key = None if key is None else fill(key, item, number)
        yield job


def _stamp(item: str, identity: str) -> str:
    """Say what a file is like now; "" if the item is no file, or nobody wants to know."""
    if identity == "command":
        return ""
    path = Path(item)
    try:
        if identity == "mtime":
            status = path.stat()
            return f"size={status.st_size} mtime={status.st_mtime_ns}"
        with path.open("rb") as stream:
            return f"content={hashlib.file_digest(stream, _digest).hexdigest()}"
    except (OSError, ValueError):  # ValueError: a NUL byte, which no file name has
        return ""


def _digest() -> Any:
    return hashlib.blake2b(digest_size=16)


class CommandFailed(Exception):
    """A command ended with another exit code than 0. The message ends with the last lines of its standard error."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        tail = "\n".join(stderr.splitlines()[-_TAIL_LINES:])[-_TAIL_LENGTH:]
        super().__init__(f"{exit_text(code)}: {tail}" if tail else exit_text(code))
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class _Unrecorded(dict[str, Any]):
    """What a command printed, for this session alone: a journal gets the exit code only."""

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, ({"exit_code": self["exit_code"]},)


class Launcher:
    """Runs jobs: the function of such a run.

    An object and not a function, so that it has no version: all that counts is in the job.

    Args:
        run: runs a program to its end, or to the end of the attempt
        keep: leave what commands print in the journal
    """

    def __init__(self, run: Callable[[list[str]], subprocess.CompletedProcess[bytes]], *, keep: bool = True) -> None:
        self._run = run
        self._kind: type[dict[str, Any]] = dict if keep else _Unrecorded

    def __call__(self, job: Job) -> dict[str, Any]:
        """Run one job.

        Returns:
            "exit_code" (0), "stdout" and "stderr" as text that keeps every byte

        Raises:
            CommandFailed: another exit code than 0
        """
        done = self._run(job.argv)
        stdout, stderr = _text(done.stdout), _text(done.stderr)
        if done.returncode:
            raise CommandFailed(done.returncode, stdout, stderr)
        return self._kind(exit_code=0, stdout=stdout, stderr=stderr)


def _text(output: bytes) -> str:
    return output.decode("utf-8", "surrogateescape")


def exit_code_of(error: ErrorInfo | None) -> int | None:
    """Return the exit code as in `subprocess`, also of an error that was read from a journal; None if there is none."""
    if error is None:
        return 0
    if isinstance(error.exception, CommandFailed):
        return error.exception.code
    found = re.match(r"(?:exit code (\d+)|killed by (SIG\w+))", error.message)
    if found is None:
        return None
    return int(found[1]) if found[1] else -signal.Signals[found[2]]
