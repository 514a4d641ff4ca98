"""The output folder: one owner at a time, clean before a run, nothing stale after it."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from raddle import errors
from raddle.workloads.weights.files import remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from raddle.workloads.weights.options import RunOptions

__all__ = ["owned", "prepare", "remove_stale_pages", "work_folder"]

_WORK, _LOCK = ".work", ".lock"


@contextmanager
def owned(out: Path) -> Iterator[None]:
    """Make the folder if need be and hold it: two runs that write into one folder would mix their results.

    Raises:
        ConfigError: it cannot be written, or another run has it
    """
    lock = out / _LOCK
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    except OSError as error:
        raise errors.ConfigError(f"output={out}: cannot write there: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise errors.ConfigError(
                f"output={out}: another run is writing there; wait for its end or give another folder"
            ) from error
        yield  # the lock goes with the process, however that ends; the file stays, lest somebody locks a removed one


def work_folder(out: Path) -> Path:
    """Return where a run keeps what is under way."""
    return out / _WORK


def prepare(options: RunOptions) -> Path:
    """Make the folders; take away what an earlier run left under way, unless it is to be resumed.

    Raises:
        ConfigError: they cannot be made
    """
    out = options.out
    work, users = work_folder(out), out / "users"
    try:
        if not options.resume:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(exist_ok=True)
        if options.pages:
            users.mkdir(exist_ok=True)
        for folder in (out, work, users):
            remove_leftovers(folder)
    except OSError as error:
        raise errors.ConfigError(f"output={out}: cannot write there: {error.strerror or error}") from error
    return work


def remove_stale_pages(users: Path, names: Iterable[str]) -> None:
    """Remove pages of users that are not in this run."""
    kept = set(names)
    for page in users.glob("*.html"):
        if page.name not in kept:
            page.unlink(missing_ok=True)
