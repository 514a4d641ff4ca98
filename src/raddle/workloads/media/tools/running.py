"""Running one program to its end, with progress, and with an eye on whether it still gets anywhere.

`raddle.run_process` owns the process group, the hard limit and the end of the attempt; it hands over output when all
is done. What is said meanwhile therefore goes through two pipes to a thread of ours, which keeps a bounded part of it,
and ends the program when it stands still: through a process descriptor, which can never mean another process. The
program's side is opened by way of /proc: named pipes would be left in the temporary folder by a kill -9.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Self

from raddle import run_process
from raddle.errors import ConfigError
from raddle.workloads.media.tools.reading import Lines, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from raddle.workloads.media.tools.commands import Command

__all__ = ["ToolResult", "run_commands", "run_tool"]

#: $1 and $2 are the pipes; the program takes the shell's place, so its number is the one told
_TOLD: Final = 'exec >"$1" 2>"$2"; shift 2; echo "#pid $$"; exec "$@"'
_LOOK: Final = 0.5
_BLOCK: Final = 1 << 16
#: both read by mkvmerge, the second by SVT-AV1: names and titles are UTF-8, and no greetings on stderr
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "SVT_LOG": "1"}
_MKVTOOLNIX: Final = ("mkvmerge", "mkvpropedit")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """How a program ended."""

    argv: tuple[str, ...]
    #: exit code, negative for a signal; None: it was ended because of `reason`
    code: int | None
    reason: Literal["", "stalled", "timeout"]
    #: the last lines of what it complained about
    errors: tuple[str, ...]
    #: of how many
    error_count: int
    #: mkvmerge's; some are harmless, some say that the source is damaged
    warnings: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Say whether it did its work without a word of complaint, warnings aside: exit codes hide damage."""
        mkvtoolnix = os.path.basename(self.argv[0]).startswith(_MKVTOOLNIX)  # noqa: PTH119 - a name of any program
        good = self.code == 0 or (mkvtoolnix and self.code == 1 and bool(self.warnings))
        return good and not self.reason and not self.error_count

    @property
    def message(self) -> str:
        """Return in one line what went wrong, "" if nothing did."""
        if self.ok:
            return ""
        name = os.path.basename(self.argv[0])  # noqa: PTH119 - as above
        how = {"stalled": "got no further and was ended", "timeout": "took too long and was ended"}
        last = self.errors[-1] if self.errors else "it gave no reason"
        more = f" (and {self.error_count - 1} lines before)" if self.error_count > 1 else ""
        return f"{name} {how.get(self.reason, f'ended with exit code {self.code}')}: {last}{more}"


def run_commands(
    commands: Sequence[Command],
    *,
    staged: str,
    stall: float | None = 300.0,
    hard: float | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> ToolResult:
    """Run the commands of a plan in order, until one does not end well; return the last result.

    Arguments as in `run_tool`; `hard` is for all together, and so is the progress.
    """
    if not commands:
        raise ConfigError("commands=() has nothing to run")
    end = None if hard is None else time.monotonic() + hard
    done = 0.0
    for command in commands:

        def tell(part: float, command: Command = command, done: float = done) -> None:
            if on_progress is not None and command.share:
                on_progress(min(done + part * command.share, 1.0))

        left = None if end is None else max(end - time.monotonic(), 0.001)
        result = run_tool(
            command.argv, stall=stall, hard=left, on_progress=tell, duration=command.duration, watch=staged
        )
        if not result.ok:
            break
        done += command.share
        tell(0.0, command, done)
    return result


def run_tool(
    argv: Sequence[str],
    *,
    stall: float | None = 300.0,
    hard: float | None = None,
    on_progress: Callable[[float], None] | None = None,
    duration: float | None = None,
    watch: str | None = None,
    grace: float = 3.0,
) -> ToolResult:
    """Run one program; its whole process group ends with it, and with the attempt.

    Args:
        argv: program and arguments
        stall: seconds without progress until it is ended; progress is what `Progress` reads, and any change of `watch`
        hard: seconds it may take at all
        on_progress: called with the part done, 0 to 1, from another thread; an exception of it ends the program
        duration: seconds of media that ffmpeg goes through
        watch: path of the file it writes
        grace: seconds between SIGTERM and SIGKILL

    Raises:
        raddle.ItemCancelled: nobody waits for the attempt any more
        OSError: no shell, or no room for two pipes
    """
    if stall is not None and stall <= 0:
        raise ConfigError(f"stall={stall}: give seconds above 0, or None for no limit")
    begun = time.monotonic()
    code: int | None = None
    late = False
    with _Listener(
        stall=stall, watch=watch, progress=Progress(duration), on_progress=on_progress, grace=grace
    ) as listener:
        try:
            whole = ["/bin/sh", "-c", _TOLD, "sh", *listener.pipes, *argv]
            environment = {**os.environ, **_ENVIRONMENT}
            code = run_process(whole, timeout=hard, grace=grace, env=environment).returncode
        except subprocess.TimeoutExpired:
            late = True
    if listener.failure is not None:
        raise listener.failure
    return ToolResult(
        argv=tuple(argv),
        code=None if listener.stalled or late else code,
        reason="stalled" if listener.stalled else "timeout" if late else "",
        errors=listener.progress.errors.lines,
        error_count=listener.progress.errors.count,
        warnings=listener.progress.warnings.lines,
        seconds=time.monotonic() - begun,
    )


class _Listener:
    """A thread that reads what the program says, and ends it when it says nothing new for too long."""

    def __init__(
        self,
        *,
        stall: float | None,
        watch: str | None,
        progress: Progress,
        on_progress: Callable[[float], None] | None,
        grace: float,
    ) -> None:
        self.progress = progress
        self.stalled = False
        self.failure: Exception | None = None
        self._stall, self._watch, self._on_progress, self._grace = stall, watch, on_progress, grace
        ours, theirs = zip(os.pipe(), os.pipe(), strict=True)
        for fd in ours:
            os.set_blocking(fd, False)
        #: paths by which the program opens its output and its errors
        self.pipes = tuple(f"/proc/{os.getpid()}/fd/{fd}" for fd in theirs)
        self._ends = theirs
        self._lines = {fd: Lines() for fd in ours}
        self._out = ours[0]
        self._open = set(self._lines)
        self._woken, self._wake = os.pipe()
        self._process = -1
        self._moved = time.monotonic()
        self._mark: tuple[int, int] | None = None
        self._kill_at = float("inf")
        self._thread = threading.Thread(target=self._listen, name="raddle-media-listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.write(self._wake, b"x")
        self._thread.join()
        for fd in (
            *self._lines,
            *self._ends,
            self._woken,
            self._wake,
            *([self._process] if self._process >= 0 else []),
        ):
            os.close(fd)

    def _listen(self) -> None:
        done = False
        while not done:
            poll = select.poll()
            for fd in (*self._open, self._woken):
                poll.register(fd, select.POLLIN)
            ready = {fd for fd, _ in poll.poll(_LOOK * 1000)}
            done = self._woken in ready  # then the program has ended, and all it said is in the pipes
            for fd in sorted(self._open if done else self._open & ready):
                self._read(fd, to_end=done)
            if not done:
                self._look()
        for fd, lines in self._lines.items():
            self._take(fd, lines.end())

    def _read(self, fd: int, *, to_end: bool) -> None:
        while True:
            try:
                part = os.read(fd, _BLOCK)
            except BlockingIOError:
                return
            if not part:
                self._open.discard(fd)
                return
            self._take(fd, self._lines[fd].feed(part))
            if not to_end:
                return

    def _take(self, fd: int, lines: list[str]) -> None:
        before = self.progress.fraction
        for line in lines:
            if fd != self._out:
                self.progress.errors.add(line)
            elif line.startswith("#pid ") and self._process < 0:
                with contextlib.suppress(OSError):  # it has ended already
                    self._process = os.pidfd_open(int(line.split()[1]))
            elif self.progress.take(line):
                self._moved = time.monotonic()
        if self._on_progress is not None and self.progress.fraction != before and self.failure is None:
            try:
                self._on_progress(self.progress.fraction)
            except Exception as error:  # noqa: BLE001 - the caller's code, in our thread: raised where it can be caught
                self.failure = error
                self._end(signal.SIGTERM)

    def _look(self) -> None:
        now = time.monotonic()
        if self._watch is not None:
            with contextlib.suppress(OSError):
                stat = os.stat(self._watch)  # noqa: PTH116 - text in, figures out
                mark = (stat.st_size, stat.st_mtime_ns)
                self._moved = now if mark != self._mark else self._moved
                self._mark = mark
        if now >= self._kill_at:
            self._end(signal.SIGKILL)
        elif self._stall is not None and now - self._moved >= self._stall and not self.stalled:
            self.stalled = True
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self._kill_at = min(self._kill_at, time.monotonic() + self._grace)
        if self._process >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)
