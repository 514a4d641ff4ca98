"""The parent's side of the zygote: how it is started, asked and ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from raddle import _host, errors
from raddle.backends import _context, _zygote
from raddle.backends._shell import exit_text, qualified_name
from raddle.backends._wire import NO_SIGNAL, by_value, hide
from raddle.backends._worker import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Need", "Start", "Zygote", "choose", "launch"]

Start = Literal["auto", "fork", "fresh"]
_PATIENCE = 5.0
#: milliseconds that threads which have ended may take to be gone
_LEAVING = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is to be started."""

    func: Callable[[Any], Any]
    initializer: Callable[[], Any] | None
    workers: int
    timeout: float | None
    keep_fds: Sequence[int]
    memory: int
    stored: bool = False


def choose(start: Start) -> Literal["fork", "fresh"]:
    """Say how a zygote can be had here.

    A fork copies one thread; a lock that another thread held stays locked for ever in the child. So: only when there
    is no other, those of C libraries included.
    """
    if not (hasattr(os, "fork") and hasattr(os, "waitid")):
        raise errors.ConfigError('backend="processes" needs os.fork and os.waitid: use backend="threads" here')
    threads = _threads() if sys.platform == "linux" else 0
    if start == "fork" and threads != 1:
        raise errors.ConfigError(f'start="fork" with threads={threads or "unknown"}: use start="auto" or "fresh"')
    if start == "auto":
        return "fork" if threads == 1 else "fresh"
    return start


def _threads() -> int:
    """Count the threads of this process, those of C libraries included (Linux)."""
    for _ in range(_LEAVING):
        count = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names only
        if count == 1 or threading.active_count() > 1:
            break
        # No thread that Python knows of: perhaps one that has just ended, such as of the run before this one, and that
        # the kernel has not quite put away.
        time.sleep(0.001)
    return count


def launch(need: Need, how: Literal["fork", "fresh"]) -> Zygote:
    """Start a zygote.

    Raises:
        ConfigError: the function cannot be sent to a fresh interpreter
        BackendError: the system refuses another process
    """
    hidden = [*hide(need.func), *hide(need.initializer)] if how == "fresh" else []
    packed = _pack(need, hidden) if how == "fresh" else b""
    ours, theirs = socket.socketpair()
    ours.settimeout(None)
    theirs.settimeout(None)
    try:
        with theirs:
            zygote = _fork(need, ours, theirs) if how == "fork" else _spawn(need, ours, theirs, packed)
            zygote.hidden = hidden
            return zygote
    except OSError as error:
        ours.close()
        raise errors.BackendError(f"the process that starts workers could not be started: {error}") from error
    except BaseException:
        ours.close()
        raise


def _pack(need: Need, hidden: Sequence[bytes]) -> bytes:
    try:
        return by_value((need.func, need.initializer), hidden)
    except Exception as error:
        name = getattr(need.func, "__qualname__", None) or qualified_name(type(need.func))
        raise errors.ConfigError(
            f"function={name} cannot be sent to a worker process ({type(error).__name__}: {error}): "
            'use a function at the top level of a module, or backend="threads"'
        ) from error


def _logging() -> dict[str, Any] | None:
    if "logging" not in sys.modules:  # then nothing can have been set
        return None
    from raddle.backends import _logs

    return _logs.settings()


def _blas_threads(workers: int) -> int:
    return max(1, _host.cpus().value // workers)


def _fork(need: Need, ours: socket.socket, theirs: socket.socket) -> Zygote:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()  # or each child would have a copy of what is not written yet
    parent = os.getpid()
    setup = _zygote.Setup(
        control=theirs,
        memory=need.memory,
        plan=Plan(need.timeout, need.func, need.initializer, stored=need.stored),
        parent=parent,
        blas_threads=_blas_threads(need.workers),
    )
    # A Ctrl-C in this moment must not run the caller's handler in the child, which would unwind the caller's stack.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                _zygote.seal({theirs.fileno(), need.memory, *need.keep_fds})
                _zygote.serve(setup)
            finally:
                os._exit(1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Zygote(ours, pid, None)


def _spawn(need: Need, ours: socket.socket, theirs: socket.socket, packed: bytes) -> Zygote:
    if not sys.executable or getattr(sys, "frozen", False):
        raise errors.ConfigError(
            f"sys.executable={sys.executable!r} is no Python interpreter that could be started for workers: "
            'use backend="threads"'
        )
    path = [str(entry) for entry in sys.path]
    fd = theirs.fileno()
    code = f"import sys; sys.path[:] = {path!r}; from raddle.backends._zygote import main; main({fd})"
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001 - as multiprocessing does
    popen = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, *flags, "-c", code],
        stdin=subprocess.DEVNULL,
        pass_fds=(fd, need.memory, *need.keep_fds),
        start_new_session=True,
    )
    zygote = Zygote(ours, popen.pid, popen)
    given = {
        "argv": list(sys.argv),
        "memory": need.memory,
        "keep_fds": list(need.keep_fds),
        "timeout": need.timeout,
        "packed": packed,
        "stored": need.stored,
        "context": _context.snapshot(),
        "logging": _logging(),
        "blas_threads": _blas_threads(need.workers),
    }
    theirs.close()  # so that a zygote that does not start is noticed by the next line
    message = pickle.dumps(given)
    try:
        ours.sendall(_zygote.LENGTH.pack(len(message)) + message, NO_SIGNAL)
    except BaseException:
        zygote.close()
        raise
    return zygote


class Zygote:
    """The running zygote, as the parent sees it."""

    def __init__(self, control: socket.socket, pid: int, popen: subprocess.Popen[bytes] | None) -> None:
        self.control = control
        self.pid = pid
        #: modules that its workers cannot import: what is defined there goes by value
        self.hidden: Sequence[bytes] = ()
        self._popen = popen
        self._part = b""
        #: pid of the worker in each slot, for the case that the zygote itself is killed
        self._groups: dict[int, int] = {}

    def fork(self, slot: int, worker_end: socket.socket) -> None:
        """Ask for a worker. A zygote that is gone is noticed by `replies`."""
        with contextlib.suppress(OSError):
            socket.send_fds(self.control, [_zygote.REQUEST.pack(_zygote.FORK, slot)], [worker_end.fileno()], NO_SIGNAL)

    def kill(self, slot: int) -> None:
        """Ask for the end of a slot's worker and of all that it started."""
        with contextlib.suppress(OSError):
            self.control.send(_zygote.REQUEST.pack(_zygote.KILL, slot), NO_SIGNAL)

    def replies(self) -> list[tuple[int, int, int, int]] | None:
        """Return what the zygote reported, as (what, slot, pid, code); None if it is gone."""
        try:
            data = self.control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            return None
        data = self._part + data
        whole = len(data) - len(data) % _zygote.REPLY.size
        self._part = data[whole:]
        found: list[tuple[int, int, int, int]] = list(_zygote.REPLY.iter_unpack(data[:whole]))
        for what, slot, pid, _ in found:
            if what == _zygote.FORKED:
                self._groups[slot] = pid
            elif what == _zygote.DIED:
                self._groups.pop(slot, None)
        return found

    def bury(self) -> str:
        """Say how the zygote ended, and kill what its workers may have left behind: it cannot do that any more."""
        for pid in self._groups.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._groups.clear()
        return exit_text(self._wait())

    def close(self) -> None:
        """End it, and with it all workers."""
        if self.control.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
        patience = time.monotonic() + _PATIENCE
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while time.monotonic() < patience:
            if poll.poll(_PATIENCE * 1000 / 10) and self.replies() is None:
                break
        else:
            if self.pid:  # 0 would mean our own process group
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
        self._wait()
        self.control.close()

    def _wait(self) -> int:
        if self.pid == 0:
            return 255
        if self._popen is not None:
            code = self._popen.wait()
        else:
            try:
                code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            except ChildProcessError:
                code = 255  # the program reaps children it does not know
        self.pid = 0
        return code
