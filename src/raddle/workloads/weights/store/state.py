"""What stays of a run, so that the next one goes on from there: one SQLite file."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from raddle.errors import ConfigError
from raddle.workloads.weights.files import replaced
from raddle.workloads.weights.store import database
from raddle.workloads.weights.store.readers import ReadPool, drain
from raddle.workloads.weights.store.writer import Ingest, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from raddle.workloads.weights.parts import Part
    from raddle.workloads.weights.store.history import History
    from raddle.workloads.weights.values import Revised

__all__ = ["State"]


@dataclass(frozen=True, slots=True)
class _File:
    number: int
    name: str
    digest: str
    finished: bool


class State:
    """The state of all users, with its audit trail. One run at a time has it open.

    An ingest is: `begin_file` for each file, `put` for each part, `finish`. A file is known only after that; what
    a run that was killed has left is taken away by the first `begin_file` of the next.

    Args:
        path: made if it is not there
        rules: name of the rules; with `profile` and `digest` what results depend on
        profile: of the rules
        digest: of the rules and all their parameters
        days: times count from birth or start
        batch_size: a commit for so many users (`db_write_batch_size`)
        read_connections: at most so many for `history` (`db_read_connections`)
        keep_readings: a row for each reading, too
        lock_seconds: how long to wait for another run to let go of it

    Raises:
        ConfigError: the file is something else, was made by other rules, or is in use
    """

    def __init__(
        self,
        path: Path,
        *,
        rules: str,
        profile: str,
        digest: str,
        days: bool,
        batch_size: int = 100,
        read_connections: int = 4,
        keep_readings: bool = False,
        lock_seconds: float = 2.0,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"db_write_batch_size={batch_size} is too small: give 1 or more")
        self.path = path
        # Before the lock is taken: it checks its option.
        self.readers = ReadPool(path, size=read_connections)
        self._closed = False
        self._ingest: Ingest | None = None
        self._handle = database.lock(path, seconds=lock_seconds)
        drain(path)
        try:
            self._connection = database.connect(path, write=True)
        except BaseException:
            database.unlock(path, self._handle)
            raise
        try:
            wanted = {"rules": rules, "profile": profile, "digest": digest, "time": "days" if days else "utc"}
            database.check(self._connection, path, wanted | {"keep_readings": "yes" if keep_readings else "no"})
            self._files = _read_files(self._connection)
        except BaseException as error:
            self._connection.close()
            database.unlock(path, self._handle)
            if isinstance(error, sqlite3.Error):
                raise database.unusable(path, error) from error
            raise
        self._keep_readings = keep_readings
        self._writer = Writer(self._connection, batch_size)

    @property
    def known_files(self) -> dict[str, int]:
        """Files that are wholly in the state: digest of the content, number."""
        return {file.digest: file.number for file in self._files if file.finished}

    @property
    def commits(self) -> int:
        """How many batches were committed."""
        return self._writer.commits

    def begin_file(self, number: int, name: str, digest: str) -> None:
        """Announce a file, before any part with rows of it is put.

        Raises:
            ConfigError: its number is taken, or its content is known
        """
        if self._ingest is None:
            drain(self.path)
            self._call(self._begin)
            self._files = [file for file in self._files if file.finished]
            self._ingest = Ingest(number, appends=bool(self._files), readings=self._keep_readings)
        for file in self._files:
            if file.digest == digest:
                raise ConfigError(f"file={name}: its content is that of {file.name}, file {file.number}: leave it out")
            if file.number == number:
                raise ConfigError(f"file={name}: number={number} is taken by {file.name}: use the next free one")
        row = (number, name, digest, self._ingest.number, 0)
        self._call(lambda base: base.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", row))
        self._files.append(_File(number, name, digest, finished=False))

    def _begin(self, base: sqlite3.Connection) -> None:
        database.prepare(base, self.path)
        database.cleared(base)

    def history(self, users: Sequence[str]) -> History:
        """Return the readings of these users in files that are known. May be called from many threads."""
        return self.readers.history(users)

    def put(self, part: Part, revised: Revised | None = None) -> None:
        """Hand a part to the writer. Put again, it takes the place of what was put of these users in this ingest.

        Raises:
            RaddleError: an earlier part could not be stored
        """
        if self._ingest is None:
            raise ValueError("no file was begun: call begin_file first")
        try:
            self._writer.put(part, revised, self._ingest)
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error

    def flush(self) -> None:
        """Wait until all that was put is on the disk. No thread is left then, until something is put again.

        Raises:
            RaddleError: something could not be stored
        """
        try:
            self._writer.stop()
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error

    def finish_files(self) -> None:
        """Call the files of this ingest known: all their users have been put.

        What earlier ingests said of the same users' readings is dropped; the trail of revisions says it.
        """
        ingest = self._ingest
        if ingest is None:
            return

        def finish(base: sqlite3.Connection) -> None:
            with database.transaction(base):
                base.execute("UPDATE files SET finished = 1 WHERE ingest = ?", (ingest.number,))
                for table in ("results", "resets", "readings") if ingest.appends else ():
                    base.execute(
                        f"DELETE FROM {table} WHERE ingest < ?"  # noqa: S608 - own names
                        " AND user_id IN (SELECT user_id FROM snapshots WHERE ingest = ?)",
                        (ingest.number, ingest.number),
                    )

        self._call(finish)
        self._files = _read_files(self._connection)
        self._ingest = None

    def finish(self, path: Path | None = None, *, known: bool = True) -> None:
        """Finish the files, fold the log into the file, and close. The last thing to do: who comes later skips them.

        A state with one ingest is written anew, to `path` or in its own place: its bytes depend on its content only,
        not on batches, kills or the order of parts. With `known=False` the files do not count as known, because some
        of their users are missing.
        """
        target = path or self.path
        try:
            if known:
                self.finish_files()
            self._writer.stop()
            self.readers.close()
            drain(self.path)
            ingests = self._connection.execute("SELECT count(DISTINCT ingest) FROM files").fetchone()[0]
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if ingests > 1 and target == self.path:
                return
            # VACUUM counts it up; nothing else in the file tells how it came about.
            self._connection.execute("PRAGMA schema_version = 1")
            with replaced(target) as spare:
                self._connection.execute("VACUUM INTO ?", (str(spare),))
                if target == self.path:
                    # A log that outlived the file it belongs to would be played into the new one.
                    self._connection.execute("PRAGMA journal_mode = DELETE")
                    self._connection.close()
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error
        finally:
            self.close()

    def close(self) -> None:
        """Commit what was put, and let go of the file. More than once is fine.

        Raises:
            RaddleError: something that was put could not be stored
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._writer.stop()
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error
        finally:
            self.readers.close()
            drain(self.path)
            database.settle(self._connection)
            database.unlock(self.path, self._handle)

    def _call(self, function: Callable[[sqlite3.Connection], object]) -> None:
        try:
            self._writer.call(function)
        except sqlite3.Error as error:
            raise database.unusable(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _read_files(connection: sqlite3.Connection) -> list[_File]:
    rows = connection.execute("SELECT number, name, digest, finished FROM files ORDER BY number")
    return [_File(number, name, digest, bool(finished)) for number, name, digest, finished in rows]
