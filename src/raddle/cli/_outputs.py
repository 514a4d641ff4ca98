"""Outcomes as JSON Lines."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from raddle.progress._repeat import Repeat

if TYPE_CHECKING:
    from raddle._model import Outcome

__all__ = ["LineWriter", "as_dict", "dump", "safe_repr"]

#: seconds that a finished outcome may wait for company before it is flushed
_FLUSH = 0.05


class LineWriter:
    """Writes lines, and notes when nobody reads them any more instead of raising.

    A line is flushed at once, or soon after by a thread of its own if others have just been: a million lines a second
    are cheap, and none waits for the next one to come.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._flushed = float("-inf")
        self._waiting = False
        self._repeat: Repeat | None = None
        self.closed = False

    def write(self, record: dict[str, Any]) -> None:
        """Write one record as JSON, unless the reader has gone."""
        if not self.closed:
            self.write_line(dump(record))

    def write_line(self, line: bytes) -> None:
        """Write one line, unless the reader has gone."""
        if self.closed:
            return
        try:
            self._stream.write(line)
            self._waiting = True
            if time.monotonic() - self._flushed > _FLUSH:
                self.flush()
            elif self._repeat is None:
                self._repeat = Repeat(self.flush, _FLUSH)
        except BrokenPipeError:
            self._give_up()

    def flush(self) -> None:
        """Write out what has been held back."""
        # The order matters, as a line may be written by another thread meanwhile: flushed twice is better than never.
        if not self._waiting or self.closed:
            return
        self._waiting = False
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._give_up()
        except ValueError:  # closed in this instant by the other thread, and so flushed
            self.closed = True
        self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush."""
        if self._repeat is not None:
            self._repeat.stop()
        self._waiting = True
        self.flush()

    def _give_up(self) -> None:
        if self.closed:
            return
        self.closed = True
        # What is still buffered goes nowhere, or Python would complain once more when it exits.
        if self._stream is getattr(sys.stdout, "buffer", None):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def as_dict(outcome: Outcome, *, values: bool = True) -> dict[str, Any]:
    """Return an outcome as a dict in the order of the output's fields."""
    error = outcome.error
    record: dict[str, Any] = {"position": outcome.position, "item": outcome.item, "status": outcome.status.value}
    if values:
        record["value"] = outcome.value
    record["error"] = {"type": error.type, "message": error.message, "traceback": error.traceback} if error else None
    record["attempts"] = outcome.attempts
    record["seconds"] = round(outcome.seconds, 6)
    record["worker"] = outcome.worker
    if outcome.resumed:
        record["resumed"] = True
    return record


def dump(record: dict[str, Any]) -> bytes:
    """Return a record as one line of JSON. A field that JSON cannot hold becomes its repr under "FIELD_repr"."""
    try:
        return (json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # lone surrogates, as in file names: escaped they pass
        return (json.dumps(record, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError):
        plain = {key: value for name, given in record.items() for key, value in [_plain(name, given)]}
        return (json.dumps(plain) + "\n").encode()


def _plain(name: str, value: Any) -> tuple[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return f"{name}_repr", safe_repr(value)
    return name, value


def safe_repr(value: Any) -> str:
    """Return the repr, or what is wrong with it."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a hostile __repr__ costs its own text only
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"
