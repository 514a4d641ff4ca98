"""What the commands that run something share: starting the run, following it to its end, saying how it went."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raddle._api import run_command
from raddle._events import RunStarted
from raddle.cli._signals import Asked, stop_on_signals
from raddle.cli._stdin import end_input
from raddle.errors import ConfigError
from raddle.progress import observer_for
from raddle.progress._clock import RealClock
from raddle.progress.line import Line, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raddle import Outcome, Run
    from raddle._config import RunConfig
    from raddle._events import Observed
    from raddle._ports import Observer

__all__ = ["command_line", "follow", "metrics", "observers", "start"]


def start(
    func: Callable[[Any], Any],
    items: Iterable[Any],
    config: RunConfig,
    *,
    backend: str | None = None,
    key: Callable[[Any], Any] | None = None,
    identity: Callable[[Any], Any] | None = None,
    progress: list[Observer],
    command: str = "",
) -> Run:
    """Start a run as the options say. `command` is kept in the journal, for `raddle runs retry`."""
    options = asdict(config) | {"backend": backend or config.backend, "progress": progress}
    return run_command(command, func, items, key=key, id=identity, **options)


def follow(run: Run, grace: float, take: Callable[[Outcome], bool], close: Callable[[], object]) -> Asked:
    """Hand out the outcomes until the end, a signal, or until nobody takes them any more.

    Args:
        run: is over afterwards
        grace: seconds, for the message
        take: returns False when the reader of standard output has gone
        close: called in any case, before the run is waited for
    """
    with stop_on_signals(run, grace) as asked, run:
        try:
            for outcome in run:
                if not take(outcome):
                    run.cancel("nobody reads standard output any more")
                    break
        except KeyboardInterrupt:
            if not asked.number:
                raise
        finally:
            close()
            end_input()
    return asked


def command_line(arguments: object, *, from_stdin: bool, total: int | None = None) -> str:
    """Return what `raddle runs retry` needs to start the command again, as JSON; "" if it is not known.

    Args:
        arguments: of the program
        from_stdin: whether its items came from standard input
        total: number of items counted beforehand, for who watches the run: it itself sees a source without a length
    """
    if not isinstance(arguments, list):
        return ""
    return json.dumps({"argv": arguments, "cwd": str(Path.cwd()), "stdin": from_stdin, "total": total})


def observers(progress: str, total: int | None, *, scrolling: bool) -> list[Observer]:
    """Return the observers that `--progress` names.

    Args:
        progress: as in the configuration
        total: number of items counted beforehand; the run itself sees a source without a length
        scrolling: output goes to the same screen, so that what repaints itself would be torn apart
    """
    clock = RealClock()
    if progress == "auto" and scrolling and is_terminal(sys.stderr):
        chosen: list[Observer] = [Line(sys.stderr, clock, in_place=False)]
    else:
        chosen = observer_for(progress, stream=sys.stderr, clock=clock)
    return [_knowing(total, observer) for observer in chosen]


def metrics(target: str | None, total: int | None) -> list[Observer]:
    """Return the observer that `--metrics` names: a file, or ":PORT" of this machine."""
    if target is None:
        return []
    from raddle.progress import PrometheusFile, PrometheusServer

    if not target.startswith(":"):
        return [_knowing(total, PrometheusFile(target))]
    if not target[1:].isascii() or not target[1:].isdigit():
        raise ConfigError(f"--metrics={target}: must be a file, or a colon and a port, such as :9400")
    return [_knowing(total, PrometheusServer(int(target[1:])))]


def _knowing(total: int | None, observer: Observer) -> Observer:
    def observe(event: Observed) -> None:
        observer(event._replace(total=total) if isinstance(event, RunStarted) else event)

    return observe
