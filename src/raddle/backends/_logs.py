"""Log records on their way from a worker to the parent, where they are handled as if they had been made there.

In the worker all inherited handlers are replaced by one that sends: their files and sockets belong to the parent.
Levels are as in the parent when it started, so that what nobody wants is not sent. In the parent each record goes to
the logger of its name, in the driver's thread, before the outcome of the item that logged it.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any, Final

from raddle.backends._wire import LOAD_ERRORS, LOGGED, PROTOCOL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle.backends._outlet import Outlet

__all__ = ["install", "replay", "settings"]

_KNOWN: Final = frozenset(logging.makeLogRecord({}).__dict__)
#: handlers that were taken out. Collected, they would flush what is the parent's to write.
_silenced: list[logging.Handler] = []


class _Sender(logging.Handler):
    """Sends records to the parent."""

    def __init__(self, outlet: Outlet, worker: str) -> None:
        super().__init__()
        self._outlet = outlet
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; from a process that the function forked it goes to standard error instead."""
        try:
            if self._outlet.mine:
                self._outlet.send(LOGGED, -1, 0, [_packed(record, self._worker)])
            elif logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
        except Exception:  # noqa: BLE001 - as in logging's own handlers: a bad log call is shown and does no harm
            self.handleError(record)


def _packed(record: logging.LogRecord, worker: str) -> bytes:
    fields = dict(record.__dict__)
    # The exact type: somebody's subclass might not be known in the parent.
    fields["msg"] = str.__str__(record.getMessage())
    fields["args"] = None
    fields["processName"] = worker
    if record.exc_info and not record.exc_text:
        fields["exc_text"] = logging.Formatter().formatException(record.exc_info)
    fields["exc_info"] = None
    extra = {name: fields.pop(name) for name in list(fields) if name not in _KNOWN}
    return pickle.dumps((fields, [(name, _tried(value)) for name, value in extra.items()]), PROTOCOL)


def _tried(value: object) -> bytes:
    try:
        return pickle.dumps(value, PROTOCOL)
    except Exception:  # noqa: BLE001 - somebody's __reduce__; its text is better than nothing
        return pickle.dumps(repr(value), PROTOCOL)


def settings() -> dict[str, Any]:
    """Return what a fresh interpreter must know of the levels here."""
    root = logging.getLogger()
    loggers = {
        name: logger.level for name, logger in root.manager.loggerDict.items() if isinstance(logger, logging.Logger)
    }
    return {
        "root": root.level,
        "loggers": {name: level for name, level in loggers.items() if level},
        "disable": root.manager.disable,
        "names": logging.getLevelNamesMapping(),
    }


def install(outlet: Outlet, worker: str, given: Mapping[str, Any] | None) -> None:
    """Let all records of this worker go to the parent.

    Called again after the user's modules have been imported, which may have added handlers of their own.
    """
    root = logging.getLogger()
    if given is not None:
        for name, level in given["names"].items():
            logging.addLevelName(level, name)
        root.setLevel(given["root"])
        for name, level in given["loggers"].items():
            logging.getLogger(name).setLevel(level)
        logging.disable(given["disable"])
    loggers = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    for logger in (root, *loggers):
        _silenced.extend(logger.handlers)
        logger.handlers.clear()
        # The parent applies these when it replays.
        logger.filters.clear()
        logger.propagate = True
    root.addHandler(_Sender(outlet, worker))


def replay(body: bytes | memoryview) -> None:
    """Handle a record in the parent."""
    fields, extra = pickle.loads(body)  # noqa: S301 - from our own worker
    for name, packed in extra:
        try:
            fields[name] = pickle.loads(packed)  # noqa: S301 - from our own worker
        except LOAD_ERRORS:  # somebody's class; the line itself must not be lost for it
            continue
    record = logging.makeLogRecord(fields)
    logger = logging.getLogger(record.name)
    if not logger.isEnabledFor(record.levelno):
        return
    try:
        logger.handle(record)
    except Exception:  # noqa: BLE001 - a filter or handler of the user's; as with logging itself, it must not stop us
        logging.Handler().handleError(record)
