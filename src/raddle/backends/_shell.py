"""What every worker does around the function it calls."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

from raddle._model import ErrorInfo
from raddle.errors import Rejected

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["describe", "exit_text", "leave", "qualified_name"]


def qualified_name(cls: type) -> str:
    """Return "module.Class", or "Class" for a built-in."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def describe(
    exception: BaseException, *, keep: bool = True, passing: tuple[type[BaseException], ...] = ()
) -> ErrorInfo:
    """Turn an exception into values; raises nothing but `passing`, whatever its `__str__` does.

    Args:
        exception: what the function raised
        keep: put the object itself in too
        passing: what means something else, such as the user's Ctrl-C in the caller's own thread
    """
    try:
        message = str.__str__(str(exception))  # not a subclass, which may refuse to travel
    except passing:
        raise
    except BaseException as broken:  # noqa: BLE001 - a hostile __str__ must not cost more than its own text
        message = f"<unprintable {type(exception).__name__}: {type(broken).__name__}>"
    try:
        tb = _only_this_time(exception.__traceback__)
        text = "".join(traceback.format_exception(type(exception), exception, tb))
    except passing:
        raise
    except BaseException as broken:  # noqa: BLE001 - see above
        text = f"<traceback could not be made: {type(broken).__name__}>"
    lineage = tuple(qualified_name(cls) for cls in type(exception).__mro__)
    after = _retry_after(exception) if isinstance(exception, Rejected) else None
    return ErrorInfo(qualified_name(type(exception)), message, text, lineage, exception if keep else None, after)


#: runs within runs whose tracebacks are told whole
_DEEPEST = 4


def _only_this_time(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without its first frame, the worker's own call of the function: no news to the reader.

    An object that is raised again and again keeps the traceback of each time, behind the latest one. What is far back
    is cut off: it would take a time that grows with each item, and keep all that the function had in hand then alive.
    It cannot be told from that of a run within a run within a run.
    """
    if trace is None:
        return None
    own, last, times = trace.tb_frame.f_code, trace, 1
    while last.tb_next is not None:
        times += last.tb_next.tb_frame.f_code is own
        if times > _DEEPEST:
            last.tb_next = None
        else:
            last = last.tb_next
    return trace.tb_next


def _retry_after(rejected: Rejected) -> float | None:
    """Return the seconds. It may be text, straight from a header; or missing, in a class that forgot its base."""
    try:
        return None if rejected.retry_after is None else float(rejected.retry_after)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def leave(error: BaseException) -> NoReturn:
    """End a process that the function forked and that came back with an error: its items are the other one's.

    As the interpreter would, without the callers' `finally` and `atexit`, which are the other one's too.
    """
    code: object = 1
    try:
        if isinstance(error, SystemExit):
            code = error.code
            if code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)  # noqa: T201 - what sys.exit("text") does
        else:
            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def exit_text(code: int) -> str:
    """Say how a process ended; `code` is as in `subprocess.Popen.returncode`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
