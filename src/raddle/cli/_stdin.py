"""Standard input that a signal can end."""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["StoppableInput", "end_input"]

_wake: list[int] = []


class StoppableInput(io.RawIOBase):
    """A file descriptor that ends when `end_input()` is called.

    Python goes on with an interrupted read when the signal's handler returns (PEP 475), so a run that waits for its
    next line would not hear Ctrl-C before somebody types one.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        _wake.append(wake)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what is there, waiting for the first byte; 0 at the end."""
        ready, _, _ = select.select([self._descriptor, self._woken], [], [])
        if self._woken in ready:
            return 0
        return os.readv(self._descriptor, [buffer])


def end_input() -> None:
    """End every input that is being waited for. May be called in a signal handler."""
    for descriptor in _wake:
        os.write(descriptor, b"x")
