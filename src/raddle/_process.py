"""`raddle.run_process`: another program, with all that it starts, for no longer than the attempt that wants it.

The program gets a process group of its own. Its first member is a guardian, a shell that does nothing but wait on a
pipe whose other end this process holds: should this process end in whatever way, the guardian kills the group. It is
there before the program starts, so there is no moment in which a killed worker could leave something behind.
`PR_SET_PDEATHSIG` would need code between fork and exec, which is not safe beside threads, and does not reach
grandchildren; the worker's own group would do for a kill from outside, but not to end one program and leave the worker.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from raddle._attempt import attempt
from raddle.errors import ConfigError, ItemCancelled

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

    from raddle._attempt import Attempt

__all__ = ["run_process"]

_SHELL = "/bin/sh"
_GUARD = "trap '' TERM INT HUP QUIT; read _; kill -s KILL 0"
#: the same where there is no shell
_GUARD_PYTHON = (
    "import os, signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]; os.read(0, 1); os.killpg(0, 9)"
)
#: seconds between looks at whether the attempt is still wanted
_LOOK = 0.05
#: seconds for what outlives the program to say its last words: `tee` behind a shell's redirection
_LINGER = 0.1
_BLOCK = 1 << 16
#: seconds of one wait; the system refuses some that are longer than weeks
_LONGEST = 86_400.0


def run_process(
    argv: Sequence[str | bytes | os.PathLike[str]],
    *,
    timeout: float | None = None,
    stall_timeout: float | None = None,
    grace: float = 2.0,
    input: str | bytes | None = None,  # noqa: A002 - as in subprocess.run
    check: bool = False,
    capture_output: bool = True,
    on_output: Callable[[bytes], object] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    text: bool = False,
    encoding: str | None = None,
    errors: str | None = None,
) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, as `subprocess.run` does, in a process group that never outlives the call.

    Inside a function that raddle runs it ends with the attempt at the latest: at its deadline, when the worker is
    killed or abandoned, such as when a stopped run has waited for its `grace`. Anywhere it ends on Ctrl-C and with this
    process. What the program leaves running when it exits is killed; a program that makes itself a group or a session
    of its own (`setsid`, a daemon) is out of reach.

    The program reads from `input`, or from nothing.

    Args:
        argv: program and arguments; for a shell's help give ["sh", "-c", "..."]
        timeout: seconds it may take; no more than the attempt has left
        stall_timeout: seconds it may go without writing anything to its captured output
        grace: seconds between SIGTERM and SIGKILL to the group
        input: what it reads on standard input
        check: raise if its exit code is not 0
        capture_output: keep what it writes; else it goes where this process writes
        on_output: called with what it writes on standard output, as it comes: bytes, which may end in the middle of a
            line or a character. It should be quick, as nothing is read and no limit looked at meanwhile; what it
            raises ends the program and is raised here.
        cwd: directory it starts in
        env: its environment, instead of this one's
        text: output is str, not bytes; so it is with `encoding` or `errors`
        encoding: of text; default: the locale's
        errors: how text that is not of that encoding is treated

    Raises:
        subprocess.TimeoutExpired: it took too long; with what it had written
        subprocess.CalledProcessError: with `check`, its exit code is not 0; with what it had written
        raddle.ItemCancelled: nobody waits for the attempt any more
        OSError: it cannot be started
        raddle.ConfigError: an argument that cannot work
    """
    # Here and in the functions below: together with what it needs it would cost every `import raddle` 5 ms.
    import signal
    import subprocess

    _check(argv, timeout, stall_timeout, grace, on_output, capture_output=capture_output)
    words = _Words(encoding, errors) if text or encoding or errors else None
    mine = _attempt()
    limit = min(float("inf") if timeout is None else timeout, mine.remaining() if mine else float("inf"))
    data = words.encode(input) if words and isinstance(input, str) else input
    if isinstance(data, str):
        raise ConfigError("input=str needs text=True; or give bytes")
    pipe = subprocess.PIPE if capture_output else None
    source = subprocess.DEVNULL if data is None else subprocess.PIPE
    with _Group(grace) as group:
        child = group.start(argv, stdin=source, stdout=pipe, stderr=pipe, cwd=cwd, env=env)
        with contextlib.closing(_Talk(child, data or b"", on_output)) as talk:
            reason = talk.until_exit(limit, stall_timeout, mine)
            patience = time.monotonic() + (grace if reason else _LINGER)
            if reason:
                group.signal(signal.SIGTERM)
                talk.until_exit(grace, None, None)
            talk.until_silent(patience - time.monotonic())
    out, err = talk.output(words, broken=bool(reason)) if capture_output else (None, None)
    if reason == "cancelled":
        raise ItemCancelled(f"{_name(argv)} was ended, because the run was stopped")
    if reason:
        late = subprocess.TimeoutExpired(list(argv), (stall_timeout or 0.0) if reason == "stalled" else limit, out, err)
        if reason == "stalled":
            late.add_note(f"stall_timeout={stall_timeout}: for so long it wrote nothing")
        raise late
    if check and child.returncode:
        raise subprocess.CalledProcessError(child.returncode, list(argv), out, err)
    return subprocess.CompletedProcess(list(argv), child.returncode, out, err)


def _check(
    argv: Sequence[str | bytes | os.PathLike[str]],
    timeout: float | None,
    stall_timeout: float | None,
    grace: float,
    on_output: Callable[[bytes], object] | None,
    *,
    capture_output: bool,
) -> None:
    if isinstance(argv, str | bytes | os.PathLike) or not argv:
        raise ConfigError(f'argv={argv!r}: give a list of program and arguments, such as ["sh", "-c", "..."]')
    for name, seconds in (("timeout", timeout), ("stall_timeout", stall_timeout)):
        if seconds is not None and not seconds > 0:
            raise ConfigError(f"{name}={seconds}: give seconds above 0, or None for no limit")
    if not grace >= 0:
        raise ConfigError(f"grace={grace}: give seconds from 0 on")
    if stall_timeout is not None and not capture_output:
        raise ConfigError(f"stall_timeout={stall_timeout} needs capture_output=True: else nobody sees what is written")
    if on_output is not None and not callable(on_output):
        raise ConfigError(f"on_output={on_output!r}: give a function that takes bytes")
    if on_output is not None and not capture_output:
        raise ConfigError(f"on_output={on_output!r} needs capture_output=True: else nobody sees what is written")


def _attempt() -> Attempt | None:
    try:
        return attempt()
    except LookupError:
        return None


def _name(argv: Sequence[str | bytes | os.PathLike[str]]) -> str:
    return Path(os.fsdecode(argv[0])).name


class _Words:
    """Text for bytes and back, line ends included, as `subprocess` does it."""

    def __init__(self, encoding: str | None, errors: str | None) -> None:
        import locale

        self._encoding = encoding or locale.getpreferredencoding(do_setlocale=False)
        self._errors = errors

    def encode(self, data: str) -> bytes:
        return data.encode(self._encoding, self._errors or "strict")

    def decode(self, data: bytes, *, broken: bool) -> str:
        # What was cut off may end in half a character.
        errors = self._errors or ("replace" if broken else "strict")
        return io.TextIOWrapper(io.BytesIO(data), encoding=self._encoding, errors=errors).read()


class _Group:
    """A process group: the guardian, whose pid is its number, and the program."""

    def __init__(self, grace: float) -> None:
        import subprocess

        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None
        shell = [_SHELL, "-c", _GUARD]
        python = [sys.executable, "-I", "-S", "-c", _GUARD_PYTHON]
        self._guardian = subprocess.Popen(  # noqa: S603 - ours
            shell if Path(_SHELL).exists() else python,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            process_group=0,
        )

    def __enter__(self) -> Self:
        return self

    def start(self, argv: Sequence[str | bytes | os.PathLike[str]], **options: Any) -> subprocess.Popen[bytes]:
        """Start the program."""
        import subprocess

        self._child = subprocess.Popen(argv, process_group=self._guardian.pid, **options)  # noqa: S603 - what the caller asked for
        return self._child

    def signal(self, number: int) -> None:
        """Send a signal to all of the group. Its number is taken as long as the guardian is not reaped."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guardian.pid, number)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        import signal
        import subprocess

        try:
            if kind is not None and self._child is not None:
                self.signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(self._grace)
        finally:  # also if Ctrl-C was pressed a second time
            self.signal(signal.SIGKILL)
            self._guardian.wait()
            ends = [self._guardian.stdin]
            if self._child is not None:
                self._child.wait()
                ends += [self._child.stdin, self._child.stdout, self._child.stderr]
            for end in ends:
                if end is not None:
                    with contextlib.suppress(BrokenPipeError):
                        end.close()


class _Talk:
    """What goes to the program and comes from it, and its end, in one wait."""

    def __init__(
        self, child: subprocess.Popen[bytes], data: bytes, on_output: Callable[[bytes], object] | None
    ) -> None:
        import selectors

        self._child = child
        self._data = memoryview(data)
        self._on_output = on_output
        self._heard = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._parts: dict[IO[bytes], list[bytes]] = {s: [] for s in (child.stdout, child.stderr) if s is not None}
        self._open = set(self._parts)
        for stream in self._parts:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, self._read)
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            self._selector.register(child.stdin, selectors.EVENT_WRITE, self._write)
        self._exit = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else -1
        if self._exit >= 0:
            self._selector.register(self._exit, selectors.EVENT_READ, self._exited)

    def until_exit(self, limit: float, stall: float | None, mine: Attempt | None) -> str:
        """Wait for the end of the program; say why it must not go on, or "" if it has ended."""
        end = time.monotonic() + limit
        while self._child.poll() is None:
            now = time.monotonic()
            if mine is not None and mine._given_up:  # noqa: SLF001 - of our own package
                return "cancelled"
            if now >= end:
                return "timeout"
            if stall is not None and now - self._heard >= stall:
                return "stalled"
            wait = min(end, float("inf") if stall is None else self._heard + stall) - now
            if mine is not None or self._exit < 0:
                wait = min(wait, _LOOK)
            self._step(wait)
        return ""

    def until_silent(self, patience: float) -> None:
        """Wait until nobody has the other ends of the pipes any more, or for so long."""
        end = time.monotonic() + patience
        while self._open and (left := end - time.monotonic()) > 0:
            self._step(left)

    def output(self, words: _Words | None, *, broken: bool) -> tuple[Any, Any]:
        """Return what came on standard output and on standard error."""
        out, err = (b"".join(parts) for parts in self._parts.values())
        if words is None:
            return out, err
        return words.decode(out, broken=broken), words.decode(err, broken=broken)

    def close(self) -> None:
        """Stop listening."""
        self._selector.close()
        if self._exit >= 0:
            os.close(self._exit)

    def _step(self, wait: float) -> None:
        for key, _ in self._selector.select(min(wait, _LONGEST)):
            key.data(key.fileobj)

    def _read(self, stream: IO[bytes]) -> None:
        part = os.read(stream.fileno(), _BLOCK)
        if part:
            self._parts[stream].append(part)
            self._heard = time.monotonic()
            if self._on_output is not None and stream is self._child.stdout:
                self._on_output(part)
        else:
            self._selector.unregister(stream)
            self._open.discard(stream)

    def _write(self, stream: IO[bytes]) -> None:
        try:
            sent = os.write(stream.fileno(), self._data[:_BLOCK])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want the rest
            sent = len(self._data)
        self._data = self._data[sent:]
        if not self._data:
            self._selector.unregister(stream)
            stream.close()

    def _exited(self, exit_fd: int) -> None:
        self._selector.unregister(exit_fd)
