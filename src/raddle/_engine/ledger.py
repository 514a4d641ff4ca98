"""The way out: what is final goes through the journal, if there is one, then in order to the consumer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raddle import _events as events
from raddle._engine.commands import Command, Commit, Deliver, Emit
from raddle._engine.pending import Reorder
from raddle._model import Batch, Outcome, Status, error_of
from raddle._ports import Lease, Record
from raddle.errors import ItemCancelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle._engine.rules import Rules
    from raddle._model import Chunk

__all__ = ["Ledger"]


class Ledger:
    """Counts, leases, and outcomes that wait for their commit or their turn. Pure: it says what to do in `out`."""

    def __init__(self, rules: Rules, out: list[Command]) -> None:
        self.counts = dict.fromkeys(Status, 0)
        self.consumed = 0
        self._delivered = 0
        self._journaled = rules.journaled
        self._ordered = rules.ordered
        self._out = out
        self._ticket = 0
        self._leasing: dict[int, tuple[int, Chunk]] = {}
        self._unrecorded: deque[tuple[int, Sequence[Outcome]]] = deque()
        self._reorder = Reorder()
        self._journal_lost = False
        self._discarding = False

    @property
    def settled(self) -> bool:
        """Whether nothing waits for a commit."""
        return not self._leasing and not self._unrecorded

    @property
    def leasing(self) -> list[Chunk]:
        """Chunks whose lease is not committed yet: no worker has them."""
        return [chunk for _, chunk in self._leasing.values()]

    # ------------------------------------------------------------------------------------------------- recording

    def lease(self, worker: int, name: str, chunk: Chunk) -> None:
        """Ask for the lease of a chunk; `recorded` returns it when it may start."""
        self._ticket += 1
        lease = Lease(chunk.number, name, chunk.ids or (), chunk.attempt)
        self._leasing[self._ticket] = (worker, chunk)
        self._out.append(Commit(Record(self._ticket, lease=lease)))

    def record(
        self,
        outcomes: Sequence[Outcome],
        stored: list[bytes],
        *,
        retried: list[Outcome] | None = None,
        ended: list[int] | None = None,
    ) -> None:
        """Make outcomes final.

        Args:
            outcomes: how items ended
            stored: the pickled value of each
            retried: attempts that failed and will be tried again
            ended: leases of chunks that no worker has any more
        """
        if not self._journaled:
            self.deliver(outcomes)
        elif self._journal_lost:
            self.deliver([_unsaved(outcome) for outcome in outcomes])
        elif outcomes or retried or ended:
            self._ticket += 1
            pairs = list(zip(outcomes, stored, strict=True))
            self._out.append(Commit(Record(self._ticket, outcomes=pairs, retried=retried or (), ended=ended or ())))
            self._unrecorded.append((self._ticket, outcomes))

    def recorded(self, ticket: int) -> list[tuple[int, Chunk]]:
        """Deliver what is safe up to `ticket`; return the chunks, with their worker, that hold their lease now."""
        while self._unrecorded and self._unrecorded[0][0] <= ticket:
            self.deliver(self._unrecorded.popleft()[1])
        due = [leased for leased in self._leasing if leased <= ticket]
        return [self._leasing.pop(leased) for leased in due]

    def drop_leases(self) -> None:
        """Forget chunks that wait for their lease."""
        self._leasing.clear()

    def lose_journal(self) -> list[tuple[int, Chunk]]:
        """Go on without the journal; return the chunks, with their worker, that will never get their lease."""
        self._journal_lost = self._journaled
        while self._unrecorded:
            self.deliver([_unsaved(outcome) for outcome in self._unrecorded.popleft()[1]])
        waiting = list(self._leasing.values())
        self._leasing.clear()
        return waiting

    # ------------------------------------------------------------------------------------------------ delivering

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes, show them to the observers, and hand them on when it is their turn."""
        if not outcomes:
            return
        counts = self.counts
        if isinstance(outcomes, Batch):
            counts[Status.OK] += len(outcomes)
        else:
            for outcome in outcomes:
                counts[outcome.status] += 1
        self._out.append(Emit(events.ItemsEnded(outcomes)))
        for due in self._reorder.add(outcomes) if self._ordered else [outcomes]:
            self._delivered += len(due)
            if self._discarding:
                self.consumed += len(due)
            else:
                self._out.append(Deliver(due))

    def discard(self) -> None:
        """From now on nobody consumes."""
        self._discarding = True
        self.consumed = self._delivered


def _unsaved(outcome: Outcome) -> Outcome:
    """Return what an outcome becomes that could not be recorded: it does not count, a resume runs the item again."""
    error = error_of(ItemCancelled, "it ended, but the journal failed before that was recorded")
    return outcome._replace(status=Status.CANCELLED, value=None, error=error)
