"""The process that forks workers, reaps them, kills them and reports: single-threaded, and it runs no user code.

It is a fork of the caller, made while that has a single thread, or a fresh interpreter (`main`). It outlives the
caller by a moment: when its control socket ends it kills every worker's process group and exits.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import pickle
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from raddle.backends import _worker
from raddle.backends._box import Box
from raddle.backends._wire import NO_SIGNAL

__all__ = [
    "DIED",
    "FORK",
    "FORKED",
    "KILL",
    "LENGTH",
    "NOT_FORKED",
    "REPLY",
    "REQUEST",
    "Setup",
    "main",
    "seal",
    "serve",
]

#: parent to zygote: what to do, slot. FORK comes with a descriptor: the worker's end of its socket.
REQUEST: Final = struct.Struct("@qq")
FORK, KILL = range(2)
#: zygote to parent: what happened, slot, pid, exit code (or errno)
REPLY: Final = struct.Struct("@qqqq")
DIED, NOT_FORKED, FORKED = range(3)
#: size of the pickled settings that a fresh zygote reads first
LENGTH: Final = struct.Struct("@q")

_PR_SET_PDEATHSIG = 1
_PATIENCE = 2.0
_HEARD = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a zygote is given: its control socket, the shared memory, the workers' plan, its parent."""

    control: socket.socket
    memory: int
    plan: _worker.Plan
    parent: int
    blas_threads: int


def main(fd: int) -> NoReturn:
    """Start in a fresh interpreter; the rest of what is to be known comes over the control socket."""
    control = socket.socket(fileno=fd)
    control.settimeout(None)
    # Exactly so many bytes: what follows comes with descriptors, and a buffered reader would swallow them.
    (size,) = LENGTH.unpack(_receive(control, LENGTH.size))
    given: dict[str, Any] = pickle.loads(_receive(control, size))  # noqa: S301 - from our parent
    sys.argv = given["argv"]
    for inherited in (fd, given["memory"], *given["keep_fds"]):
        os.set_inheritable(inherited, False)
    if b"cloudpickle" in given["packed"]:
        import cloudpickle  # noqa: F401 - once here, and not in each worker
    serve(
        Setup(
            control=control,
            memory=given["memory"],
            plan=_worker.Plan(
                given["timeout"],
                packed=given["packed"],
                stored=given["stored"],
                context=given["context"],
                logging=given["logging"],
            ),
            parent=os.getppid(),
            blas_threads=given["blas_threads"],
        )
    )


def _receive(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = sock.recv(min(size, 1 << 20))
        if not part:
            os._exit(0)  # the parent ended before it had begun
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def seal(keep: set[int]) -> None:
    """Give back what the parent has open, all but `keep`.

    The numbers stay taken, by descriptors that can neither be read nor written: an inherited file object that is
    used says EBADF, and one that is collected cannot close a descriptor of ours that got its number.
    """
    blank = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names only
        fd = int(name)
        if fd != blank and fd not in keep and fd > 2:  # noqa: PLR2004 - the standard streams
            try:
                os.fstat(fd)
            except OSError:
                continue  # the one that listed the folder
            os.dup2(blank, fd, inheritable=False)
    os.close(blank)


def serve(setup: Setup) -> NoReturn:
    """Do what the parent asks until its end of the control socket closes, or it is gone."""
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
        os.environ.setdefault(f"{name}_NUM_THREADS", str(setup.blas_threads))
    wake, wake_writer = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wake_writer, False)
    _hear(wake_writer)
    # A second lifeline beside the control socket, of which a forked relative of the parent may hold a copy. The signal
    # comes when the thread that started us ends, which need not be the end of the parent: so it only makes us look.
    die_with_parent(signal.SIGUSR1)
    # Here and not in each worker; and not in the parent, which goes on meanwhile.
    importlib.import_module("raddle.backends._logs")
    gc.freeze()
    setup.control.settimeout(0)
    workers = Workers(setup, (wake, wake_writer))
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    while os.getppid() == setup.parent:
        poll.register(setup.control, select.POLLIN | (select.POLLOUT if workers.untold else 0))
        ready = dict(poll.poll())
        if wake in ready:
            _drain(wake)
            workers.reap()
        control = ready.get(setup.control.fileno(), 0)
        if control & select.POLLOUT:
            workers.tell()
        if control & ~select.POLLOUT and not workers.obey():
            break
    workers.end(wake)
    os._exit(0)


def _hear(wake_writer: int) -> None:
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    for number in _HEARD:
        signal.signal(number, _ignore)
    signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _ignore(*_: object) -> None:
    """Do nothing; the wake-up descriptor has been written."""


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        pass


def die_with_parent(number: signal.Signals) -> None:
    """Ask for a signal when the thread that forked this process ends (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        import ctypes  # 4 ms that `import raddle` must not cost

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


class Workers:
    """The children. Only their reaper kills them, so that no pid is used after its end."""

    def __init__(self, setup: Setup, own: tuple[int, ...]) -> None:
        self._setup = setup
        self._own = own
        self._pids: dict[int, int] = {}
        #: replies that the parent has no room for yet
        self.untold = bytearray()

    def obey(self) -> bool:
        """Carry out one request; False at the end of the control socket."""
        try:
            data, fds, _, _ = socket.recv_fds(self._setup.control, REQUEST.size, 1)
        except ConnectionResetError:
            return False
        if len(data) < REQUEST.size:
            return False
        request, slot = REQUEST.unpack(data)
        if request == FORK and fds:
            self._fork(slot, fds[0])
        elif request == FORK:  # the kernel leaves out what there is no room for
            self._report(NOT_FORKED, slot, 0, errno.EMFILE)
        elif slot in self._pids:
            _kill_group(self._pids[slot])
        return True

    def _fork(self, slot: int, fd: int) -> None:
        zygote = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(fd)
            self._report(NOT_FORKED, slot, 0, error.errno or errno.EAGAIN)
            return
        if pid:
            self._pids[slot] = pid
            os.close(fd)
            self._report(FORKED, slot, pid, 0)
            return
        try:
            self._be_worker(slot, fd, zygote)
        finally:
            os._exit(1)

    def _be_worker(self, slot: int, fd: int, zygote: int) -> NoReturn:
        signal.set_wakeup_fd(-1)
        for number in _HEARD:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        die_with_parent(signal.SIGKILL)
        if os.getppid() != zygote:
            os._exit(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        box = Box(self._setup.memory, slot)
        self._setup.control.close()
        os.close(self._setup.memory)
        for own in self._own:
            os.close(own)
        sock = socket.socket(fileno=fd)
        sock.settimeout(None)
        _worker.main(sock, box, self._setup.plan, slot)

    def reap(self) -> None:
        """Bury the dead, and what is left of their process groups: an orphan of a crashed item must not go on."""
        for slot, pid in list(self._pids.items()):
            try:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                _kill_group(pid)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            except ChildProcessError:
                code = 255
            del self._pids[slot]
            self._report(DIED, slot, pid, code)

    def end(self, wake: int) -> None:
        """Kill all, and wait a while until they are gone."""
        for pid in self._pids.values():
            _kill_group(pid)
        patience = time.monotonic() + _PATIENCE
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        self.reap()
        while self._pids and time.monotonic() < patience:
            poll.poll(100)
            _drain(wake)
            self.reap()

    def _report(self, what: int, slot: int, pid: int, code: int) -> None:
        self.untold += REPLY.pack(what, slot, pid, code)
        self.tell()

    def tell(self) -> None:
        """Send replies as far as there is room. Never waits: the parent may itself wait for us to take its requests."""
        try:
            while self.untold:
                sent = self._setup.control.send(self.untold, NO_SIGNAL)
                del self.untold[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.untold.clear()  # the parent is gone; the loop notices


def _kill_group(pid: int) -> None:
    # Both: a worker that was just forked has not left our own group yet.
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
