"""What every worker does around the function it calls."""

from __future__ import annotations

import signal
import traceback

from raddle._model import ErrorInfo
from raddle.errors import Rejected

__all__ = ["describe", "exit_text", "qualified_name"]


def qualified_name(cls: type) -> str:
    """Return "module.Class", or "Class" for a built-in."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def describe(exception: BaseException, *, keep: bool = True) -> ErrorInfo:
    """Turn an exception into values; never raises, whatever its `__str__` does.

    Args:
        exception: what the function raised
        keep: put the object itself in too
    """
    try:
        message = str(exception)
    except Exception as broken:  # noqa: BLE001 - a hostile __str__ must not cost more than its own text
        message = f"<unprintable {type(exception).__name__}: {type(broken).__name__}>"
    try:
        # The first frame is the worker's own call of the function: no news to the reader.
        tb = exception.__traceback__.tb_next if exception.__traceback__ else None
        text = "".join(traceback.format_exception(type(exception), exception, tb))
    except Exception as broken:  # noqa: BLE001 - see above
        text = f"<traceback could not be made: {type(broken).__name__}>"
    lineage = tuple(qualified_name(cls) for cls in type(exception).__mro__)
    after = exception.retry_after if isinstance(exception, Rejected) else None
    return ErrorInfo(qualified_name(type(exception)), message, text, lineage, exception if keep else None, after)


def exit_text(code: int) -> str:
    """Say how a process ended; `code` is as in `subprocess.Popen.returncode`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
