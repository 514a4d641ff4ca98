from __future__ import annotations

from typing import TYPE_CHECKING

from raddle._engine.driver import Outbox

if TYPE_CHECKING:
    from collections.abc import Callable


class Interrupted(Outbox):
    """Its consumer is interrupted by the driver right after it looked whether it is waited for."""

    def __init__(self) -> None:
        self.driver: Callable[[], object] | None = None
        super().__init__()

    @property
    def _wanted(self) -> bool:
        seen = self._flag
        driver, self.driver = self.driver, None
        if driver is not None:
            driver()
        return seen

    @_wanted.setter
    def _wanted(self, wanted: bool) -> None:
        self._flag = wanted


def test_who_begins_to_wait_while_the_consumer_acknowledges_is_woken_by_it_or_the_next_time() -> None:
    outbox = Interrupted()
    seen: list[int] = []
    outbox.driver = lambda: seen.append(outbox.acknowledged(wake=True))
    woken = outbox.acknowledge(5)
    assert seen == [5], "it saw the count, and waits for more"
    assert woken or outbox.acknowledge(3)
    outbox.acknowledged(wake=True)
    assert outbox.acknowledge(1)
    assert not outbox.acknowledge(1), "once is enough"
