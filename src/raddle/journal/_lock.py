"""Where a journal may lie, and who owns it. Nothing here opens the database itself."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from datetime import datetime
from pathlib import Path

from raddle.errors import JournalDamaged, JournalError, JournalLocked

__all__ = ["Witness", "check_place", "filesystem_type", "release", "take"]

# The lock file: a line of JSON that says who has the lock, filled up to this length, and one for the `Witness`.
_OWNER_BYTES = 256
_WITNESS_BYTES = 128
_MOUNTINFO = Path("/proc/self/mountinfo")
# SQLite's log needs memory shared between processes of one machine; over a network there is none.
_NETWORK = frozenset(
    {
        *(
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "davfs",
            "fhgfs",
            "gfs",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
        ),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "smb2", "smb3", "smbfs", "fuse.ceph", "fuse.davfs", "fuse.gcsfuse"),
        *("fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs"),
    }
)


def check_place(path: Path, *, mountinfo: str | None = None) -> None:
    """Find out, before anything is started, whether a journal can be kept at `path` (resolved).

    Raises:
        JournalError: it cannot; the message says what to do
    """
    folder = path.parent
    if not folder.is_dir():
        raise JournalError(f"journal={path}: the folder {folder} does not exist: make it first, or use another path")
    if path.exists():
        _check_file(path)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise JournalError(f"journal={path}: the folder {folder} is not writable: use another path")
    kind = filesystem_type(folder, mountinfo)
    if kind in _NETWORK:
        raise JournalError(
            f"journal={path} is on a network file system ({kind}), where SQLite cannot keep its promises: "
            "use a path on a local disk"
        )


def _check_file(path: Path) -> None:
    info = path.stat()
    if stat.S_ISDIR(info.st_mode):
        raise JournalError(f"journal={path} is a folder: give the path of a file in it")
    if not stat.S_ISREG(info.st_mode):
        raise JournalError(f"journal={path} is not a regular file: use another path")
    if info.st_nlink > 1:
        raise JournalError(
            f"journal={path} has {info.st_nlink} hard links, which breaks SQLite's log: remove the others"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise JournalError(f"journal={path} is not writable: change its permissions, or use another path")


def filesystem_type(folder: Path, mountinfo: str | None = None) -> str:
    """Return the type of the file system that holds `folder`, "" if it cannot be told."""
    if mountinfo is None:
        try:
            mountinfo = _MOUNTINFO.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth field
            continue
        point = Path(_unescape(fields[4]))
        # Not only longer but also equal: a later mount lies on top of an earlier one.
        if len(point.parts) >= best and folder.is_relative_to(point):
            best, kind = len(point.parts), right.split()[0]
    return kind


def _unescape(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def take(path: Path) -> int:
    """Take the run lock of a journal; return the descriptor that holds it.

    The lock belongs to the open file and not to the process: forked workers that keep the descriptor keep the journal
    locked, so that a resume never overlaps an orphan. The file is never removed: that would let two hold "the" lock.

    Raises:
        JournalLocked: somebody has it; the message says who
        JournalError: the lock file cannot be made
    """
    lock = path.with_name(path.name + ".lock")
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"journal={path}: cannot make {lock.name}: {error.strerror}: use another path") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = _who(path, os.pread(fd, _OWNER_BYTES, 0))
        os.close(fd)
        raise JournalLocked(message) from error
    except OSError as error:
        os.close(fd)
        raise JournalError(f"journal={path}: cannot be locked: {error.strerror}: use a path on a local disk") from error
    _note(fd, {"pid": os.getpid(), "since": datetime.now().astimezone().isoformat(timespec="seconds")}, _OWNER_BYTES, 0)
    return fd


def _note(fd: int, facts: dict[str, object], length: int, offset: int) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock holds without a name; begin() tells about the disk
        os.pwrite(fd, json.dumps(facts).encode().ljust(length - 1) + b"\n", offset)


class Witness:
    """Remembers, outside of the database, how far outcomes were acknowledged.

    SQLite itself cannot tell that its -wal file was deleted, cut or swapped: it goes on with what is left. Written
    after each commit and never synced, so that it may lag behind after a power cut, but never says too much.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def write(self, journal: str, highest: int) -> None:
        """Take note that outcomes up to this number are committed."""
        _note(self._fd, {"journal": journal, "highest": highest}, _WITNESS_BYTES, _OWNER_BYTES)

    def check(self, found: tuple[str, int] | None) -> None:
        """Compare what is noted with the journal's (first uid, highest number), None if it is new.

        Raises:
            JournalDamaged: outcomes are missing
        """
        try:
            noted = json.loads(os.pread(self._fd, _WITNESS_BYTES, _OWNER_BYTES))
            journal, highest = str(noted["journal"]), int(noted["highest"])
        except (ValueError, KeyError, TypeError):
            return  # never written, or torn by a power cut
        if found is None and not self._path.exists():
            return  # removed on purpose
        if found is not None and found[0] == journal and found[1] >= highest:
            return
        what = f"it has {found[1]}" if found and found[0] == journal else "it has none of them"
        raise JournalDamaged(
            f"journal={self._path} lacks outcomes that were acknowledged: {highest} were written, {what}. Was its -wal "
            "file removed or swapped, or an older copy put here? Bring the right files back, or salvage with "
            f"`sqlite3 {self._path.name} .recover`; to go on with what is here, remove {self._path.name}.lock"
        )


def release(fd: int, *, for_all: bool) -> None:
    """Give the lock up: `for_all` also in the name of forked workers that still keep the descriptor."""
    if for_all:
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _who(path: Path, note: bytes) -> str:
    try:
        owner = json.loads(note)
        pid, since = int(owner["pid"]), str(owner["since"])
    except (ValueError, KeyError, TypeError):
        return f"journal={path} is in use by another process: wait, or use another journal"
    if pid == os.getpid():
        who = f"pid {pid} (this process)"
        return f"journal={path} is in use by {who} since {since}: close that run first, or use another journal"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return (
            f"journal={path} is in use by a worker that pid {pid} (gone, started {since}) left behind: "
            "wait until it has ended, or use another journal"
        )
    except PermissionError:
        pass  # somebody else's process, and alive
    return f"journal={path} is in use by pid {pid} since {since}: wait, or use another journal"
