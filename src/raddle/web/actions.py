"""What the page may do to a run: start its failed items again, and ask it to stop. Only with `--allow-actions`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from raddle._model import Status
from raddle.errors import RaddleError
from raddle.journal._alive import locks_open
from raddle.journal.history import History, RunRow
from raddle.web.views import command_of, running

__all__ = ["Refused", "Retries", "all_ok", "cancel", "holds_lock", "why_no_cancel", "why_no_retry"]

_OWNER_BYTES = 256
#: characters kept of what a retry said last
_SAID = 2000


class Refused(RaddleError):
    """It cannot be done; the message says why and what to do instead."""


# ---------------------------------------------------------------------------------------------------------- retry


@dataclass(frozen=True, slots=True)
class Started:
    """A `raddle runs retry` that this page started."""

    process: subprocess.Popen[bytes]
    said: IO[bytes]


class Retries:
    """Retries that were started here, by run; they live on when the page ends."""

    def __init__(self) -> None:
        self._started: dict[str, Started] = {}

    def start(self, history: History, run: RunRow) -> int:
        """Start the command of a run again; return the process's number.

        Raises:
            Refused: it cannot be started again from here
        """
        if (reason := why_no_retry(run, history.run(run.name), all_ok=all_ok(history, run))) is not None:
            raise Refused(reason)
        before = self._started.get(run.uid)
        if before is not None and before.process.poll() is None:
            raise Refused(f"run={run.name}: is being retried already, by process {before.process.pid}")
        said = tempfile.TemporaryFile()  # noqa: SIM115 - for as long as we want to know what it said
        command = [sys.executable, "-P", "-m", "raddle", "runs", "retry", "--journal", str(history.path), run.uid]
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,  # neither Ctrl-C here nor the end of this terminal is meant for it
        )
        self._started[run.uid] = Started(process, said)
        return process.pid

    def told(self, run: RunRow) -> dict[str, Any] | None:
        """Return how the last retry of a run went: "code" is None while it runs."""
        started = self._started.get(run.uid)
        if started is None:
            return None
        size = os.fstat(started.said.fileno()).st_size
        text = os.pread(started.said.fileno(), _SAID, max(0, size - _SAID)).decode("utf-8", "replace")
        return {"pid": started.process.pid, "code": started.process.poll(), "said": text.strip()}


def all_ok(history: History, run: RunRow) -> bool:
    """Return whether the source was read to its end and every item of it is ok."""
    return run.state == "ended" and set(history.counts(run.id)) <= {Status.OK}


def why_no_retry(run: RunRow, latest: RunRow | None, *, all_ok: bool) -> str | None:
    """Say why a run cannot be retried from here; None if it can. `latest` is the latest run of its name."""
    command, reason = command_of(run), None
    if running(run):
        reason = "is running; cancel it first, or wait"
    elif all_ok:
        reason = "all its items are ok: nothing to retry"
    elif command is None:
        reason = "not started by a command: run its program again with resume='failed'"
    elif command.name not in {"map", "exec"}:
        reason = f"raddle {command.name} is not started from here: start its command again with --resume"
    elif command.stdin:
        reason = f"its items came from standard input: ... | raddle runs retry {run.name}"
    elif not Path(command.cwd).is_dir():
        reason = f"was started in {command.cwd}, which is not there any more"
    elif latest is not None and latest.uid != run.uid:
        reason = "a later run has the same name, and a retry would go on with that one"
    return reason and f"run={run.name}: {reason}"


# --------------------------------------------------------------------------------------------------------- cancel


def cancel(history: History, run: RunRow) -> int:
    """Send SIGINT, as Ctrl-C does, to the process that works on a run; return its number.

    Raises:
        Refused: it cannot be known that the process is the right one
    """
    if (reason := _not_here(run)) is not None:
        raise Refused(reason)
    try:
        handle = os.pidfd_open(run.pid)
    except OSError as error:
        raise Refused(f"run={run.name}: process {run.pid} cannot be reached: {error.strerror}") from error
    try:
        # Looked up after the handle was opened: it cannot be another process of the same number any more.
        if not holds_lock(history.path, run.pid):
            raise Refused(f"run={run.name}: process {run.pid} does not hold the lock of {history.path.name} (any more)")
        signal.pidfd_send_signal(handle, signal.SIGINT)
    except OSError as error:
        raise Refused(f"run={run.name}: process {run.pid} cannot be signalled: {error.strerror}") from error
    finally:
        os.close(handle)
    return run.pid


def why_no_cancel(history: History, run: RunRow) -> str | None:
    """Say why a run cannot be cancelled from here; None if it can."""
    if (reason := _not_here(run)) is not None:
        return reason
    if holds_lock(history.path, run.pid):
        return None
    return f"run={run.name}: process {run.pid} holds no lock on {history.path.name}, or belongs to somebody else"


def _not_here(run: RunRow) -> str | None:
    if not running(run):
        return f"run={run.name}: is not running"
    if run.host != socket.gethostname():
        return f"run={run.name}: runs on {run.host}, not on this machine: cancel it there"
    return None


def holds_lock(journal: Path, pid: int) -> bool:
    """Whether that process, named in the lock file, has it open and locked.

    Taking the lock for a try would turn away a run that starts at this moment, so that /proc is asked.
    """
    try:
        with journal.with_name(journal.name + ".lock").open("rb") as file:
            owner = json.loads(file.read(_OWNER_BYTES))["pid"]
        return owner == pid and any(map(_is_locked, locks_open(journal, pid)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_locked(descriptor: Path) -> bool:
    try:
        told = (descriptor.parent.parent / "fdinfo" / descriptor.name).read_text()
    except OSError:
        return False  # closed meanwhile
    return any(line.startswith("lock:") and "FLOCK" in line for line in told.splitlines())
