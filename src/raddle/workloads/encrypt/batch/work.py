"""What is done to one file, in a worker. The values that go there hold no secret: keys are lent (see `lending`)."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import raddle
from raddle.errors import ConfigError, ItemTimedOut
from raddle.workloads.encrypt.age.errors import SealError, TargetExists
from raddle.workloads.encrypt.age.feed import write_all
from raddle.workloads.encrypt.sealing import open_file, seal_bytes, seal_file
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from raddle.workloads.encrypt.age import Keys, Lock
    from raddle.workloads.encrypt.batch.plan import Job
    from raddle.workloads.encrypt.batch.published import Published
    from raddle.workloads.encrypt.lending import Loan
    from raddle.workloads.encrypt.sketch.values import EncryptionConfig, PreprocessConfig

__all__ = ["Open", "Seal", "Trace", "Work", "common_mode", "warm"]

#: a passphrase for a single file takes 256 MiB or more, whatever the number of workers
_COSTLY: Final = threading.BoundedSemaphore(2)
#: permissions of what is sealed, or was
_PRIVATE: Final = 0o600


@dataclass(frozen=True, slots=True)
class Seal:
    """Any file -> NAME.age."""

    lock: Loan[Lock]
    armor: bool = False
    published: Published | None = None

    def __call__(self, job: Job) -> dict[str, Any]:
        lock = self.lock.take()
        size = _regular(job.source)

        def write(file: io.FileIO) -> dict[str, Any]:
            done = seal_file(job.source, file, lock, armor=self.armor, progress=_told(size))
            return {"plain_bytes": done}

        with _COSTLY if lock.passphrase is not None else nullcontext():
            return _publish(job, write, self.published)


@dataclass(frozen=True, slots=True)
class Open:
    """A sealed file -> what it held."""

    keys: Loan[Keys]
    published: Published | None = None

    def __call__(self, job: Job) -> dict[str, Any]:
        keys = self.keys.take()
        size = _regular(job.source)

        def write(file: io.FileIO) -> dict[str, Any]:
            return {"plain_bytes": open_file(job.source, file, keys, progress=_told(size))}

        with _turn(job.source, keys):
            return _publish(job, write, self.published)


@dataclass(frozen=True, slots=True)
class Trace:
    """A picture -> NAME.sketch, or sealed at once: what is not sealed never reaches the disk then."""

    preprocess: PreprocessConfig
    encryption: EncryptionConfig
    lock: Loan[Lock] | None = None
    armor: bool = False
    published: Published | None = None

    def __call__(self, job: Job) -> dict[str, Any]:
        from raddle.workloads.encrypt.draw.curves import summary
        from raddle.workloads.encrypt.sketch import sketch_picture, to_bytes

        _regular(job.source)
        report = raddle.attempt().report

        def write(file: io.FileIO) -> dict[str, Any]:
            sketch = sketch_picture(
                job.source, self.preprocess, self.encryption, report=lambda percent: report(0.95 * percent)
            )
            data = to_bytes(sketch)
            with _COSTLY if self.lock is not None and self.lock.take().passphrase is not None else nullcontext():
                write_all(file, data if self.lock is None else seal_bytes(data, self.lock.take(), armor=self.armor))
            return {
                "width": sketch.width,
                "height": sketch.height,
                "contours": len(sketch.points),
                "contours_found": sketch.found,
                "coefficients": len(sketch.c),
                "rmse": sketch.rmse,
                "max_error": sketch.max_error,
                "recall": sketch.recall,
                "notes": list(sketch.notes),
                "summary": summary(sketch),
            }

        return _publish(job, write, self.published, mode=common_mode() if self.lock is None else _PRIVATE)


Work = Seal | Open | Trace


def warm() -> None:
    """Import what sketching needs before the first item: it is not the item's time."""
    from raddle.workloads.encrypt.draw import curves  # noqa: F401 - for its effect
    from raddle.workloads.encrypt.sketch import make  # noqa: F401 - as above


def _publish(
    job: Job, write: Callable[[io.FileIO], dict[str, Any]], published: Published | None, *, mode: int = _PRIVATE
) -> dict[str, Any]:
    """Let the target appear whole; one that is there already fails, unless this item wrote it before a kill."""
    key = raddle.attempt().idempotency_key
    try:
        with staged(job.target, mode=mode) as file:
            facts = write(file)
            facts["bytes"] = os.fstat(file.fileno()).st_size
            if published is not None:
                published.note(key, file.fileno(), facts)
            return facts
    except TargetExists:
        known = None if published is None else published.facts(key, job.target)
        if known is None:
            raise
        return known


def _regular(source: str) -> int:
    """Size in bytes; a pipe that took the place of a file would be waited for without end."""
    found = os.stat(source)  # noqa: PTH116 - a plain text
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"source={source!r} is no regular file any more")
    return found.st_size


def _told(size: int) -> Callable[[int], None]:
    """Report progress; end a thread that was given up when its time was over."""
    attempt = raddle.attempt()

    def told(done: int) -> None:
        if attempt.remaining() <= 0:
            raise ItemTimedOut("the time for this file is over")
        attempt.report(100 * done / max(1, size, done))

    return told


def _turn(source: str, keys: Keys) -> AbstractContextManager[object]:
    if keys.passphrase is None:
        return nullcontext()
    from raddle.workloads.encrypt.age.armor import ArmorReader, armored
    from raddle.workloads.encrypt.age.feed import Feed
    from raddle.workloads.encrypt.age.header import read_header

    with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - as above
        feed = Feed(file)
        try:
            header = read_header(Feed(ArmorReader(feed)) if armored(feed) else feed)
        except SealError:
            return nullcontext()  # opening it says so better
    return _COSTLY if any(stanza.args[0] == b"scrypt" for stanza in header.stanzas) else nullcontext()


def common_mode() -> int:
    """Permissions of what is no secret. os.umask() reads the mask only by setting it, for all threads."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no path
        mask = next((int(line.split()[1], 8) for line in status if line.startswith("Umask:")), 0o077)
    return 0o666 & ~mask
