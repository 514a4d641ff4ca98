"""The command line of this process, for runs whose caller does not say what started them: those of workloads."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["command_line", "started_as"]

# Of the process, as its number and its folder are; a run is begun by the journal's own thread.
_lines: list[str] = []


@contextmanager
def started_as(arguments: Sequence[str]) -> Iterator[None]:
    """Say, while the block runs, that `raddle ARGUMENTS` was started in the current folder."""
    line = ""
    with suppress(OSError):  # a folder that is gone has no name
        line = json.dumps({"argv": list(arguments), "cwd": str(Path.cwd()), "stdin": "-" in arguments})
    _lines.append(line)
    try:
        yield
    finally:
        _lines.pop()


def command_line() -> str:
    """Return what was said, as JSON; "" if nobody did: the program is somebody's own."""
    return _lines[-1] if _lines else ""
