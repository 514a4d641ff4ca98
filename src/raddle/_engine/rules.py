"""What was asked for, in the form that the machine needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle._policy.retry import NO_RETRY, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from raddle._model import OnError
    from raddle._policy.rate import Rate

__all__ = ["Rules"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The options of one run. All times are seconds."""

    name: str = ""
    #: for people: why it runs where it runs
    note: str = ""
    #: the same in all sessions of a run
    run_id: str = ""
    backend: str = ""
    #: slots; fewer may be in use, see `limit`
    workers: int = 1
    #: of the workers, one for each slot; empty: "worker-0" and so on
    names: tuple[str, ...] = ()
    #: how many may be busy at once: from the start, at least, at most. None: all of them, always
    limit: tuple[int, int, int] | None = None
    #: `backend="auto"`: the first so many slots are processes, the others threads; with a `limit`, the caller gave
    #: the number of both. 0: nothing to choose
    trial: int = 0
    #: granted to this process
    cpus: int = 1
    rate: Rate | None = None
    #: look at memory, and hold back or kill when it runs short
    guarded: bool = False
    #: most items in a chunk, most chunks held by a worker
    max_chunk: int = 1
    depth: int = 1
    #: items slower than this are not worth a chunk waiting behind them; seconds
    prefetch_below: float = 0.02
    timeout: float | None = None
    retry: Retry = NO_RETRY
    on_error: OnError = "skip"
    ordered: bool = True
    keyed: bool = False
    #: most chunks of each class with workers at once
    permits: Mapping[str, int] | None = None
    prioritized: bool = False
    #: most items between source and consumer; None: enough for the chunks in use
    window: int | None = None
    #: what running attempts have to end in after a stop
    grace: float = 5.0
    journaled: bool = False
    #: after a stop, read the rest of the source (it has a length) and report each item as cancelled
    report_unread: bool = False
    #: attempts that the program did not survive, before an item is given up. An item that kills the program looks the
    #: same as one that was under way when somebody else did, so this is far above what outside kills add up to.
    max_interruptions: int = 10
    #: times that an item is refused (`raddle.Rejected`), before it is given up
    max_rejections: int = 20
