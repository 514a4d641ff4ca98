"""One call to one endpoint: its turn, its reply, and what that says of the endpoint and of the next try."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raddle.workloads.classify.errors import TransientError
from raddle.workloads.classify.upstream.answers import Unusable, completion
from raddle.workloads.classify.upstream.pool import Ended, Pool
from raddle.workloads.classify.upstream.prompt import FORMATS
from raddle.workloads.classify.upstream.queue import Queue
from raddle.workloads.classify.upstream.replies import exhausted_for, kind_of, retry_after
from raddle.workloads.classify.upstream.wire import TooLarge, Wire
from raddle.workloads.classify.values import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from raddle.workloads.classify.upstream.answers import Completion
    from raddle.workloads.classify.upstream.endpoint import Endpoint
    from raddle.workloads.classify.upstream.pool import Figures, Place, Verdict
    from raddle.workloads.classify.upstream.prompt import Format, Prompt
    from raddle.workloads.classify.upstream.replies import Kind
    from raddle.workloads.classify.upstream.wire import Reply
    from raddle.workloads.classify.values import Product

__all__ = ["Calls", "Item", "Tried"]

_log = logging.getLogger(__name__)
#: tokens: characters of English per token, a picture of low detail
_CHARACTERS, _PICTURE = 4.0, 300.0


@dataclass(slots=True)
class Item:
    """One product under way."""

    product: Product
    picture: bytes | None
    messages: list[dict[str, Any]]
    #: place in the queue, over all tries
    ticket: int
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: int = 0
    asked_again: bool = False
    #: what the last try ended with, for the message
    last: str = "it waited for a free endpoint"
    avoid: int | None = None

    @property
    def usage(self) -> Usage:
        return Usage(self.calls, self.input_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True)
class Tried:
    """How one call ended: its class and answer, or what went wrong."""

    kind: Kind
    lane: int
    answer: Completion | None = None
    form: Format = "plain"
    error: str = ""


class Calls:
    """Asks endpoints, whichever has room. For one event loop.

    Args:
        endpoints: at least one
        prompt: what they are asked
        timeout: seconds for one call
        most_answer: bytes of an answer
        usual_answer: tokens of one, as long as none has been seen
        clock: seconds that never go back
        chance: uniform in [0, 1)
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        prompt: Prompt,
        *,
        timeout: float,
        most_answer: int,
        usual_answer: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._endpoints, self._prompt, self._timeout = tuple(endpoints), prompt, timeout
        self._clock, self._chance = clock, chance
        self._pool = Pool(self._endpoints)
        self._queue = Queue(self._pool, clock)
        self._wire = Wire(most=most_answer, connect=min(10.0, timeout))
        #: what each endpoint was found to know
        self._formats = [FORMATS[0]] * len(self._endpoints)
        #: what went wrong with the last call, "" if nothing: why items that were never sent had to wait
        self.trouble = ""
        #: endpoints of which it was said that they fail
        self._told: set[int] = set()
        #: tokens of an answer, as far as seen
        self._usual_answer = usual_answer

    def ticket(self) -> int:
        """Return a place in the order, kept over all tries of an item."""
        return self._queue.ticket()

    def figures(self) -> tuple[Figures, ...]:
        """Return what each endpoint does now, in their order."""
        return tuple(lane.figures(self._clock()) for lane in self._pool.lanes)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._wire.aclose()

    async def ask(self, item: Item) -> Tried:
        """Make one call for an item, when an endpoint has room for it.

        Raises:
            FatalAnswer: no key is accepted
        """
        place = await self._queue.enter(item.ticket, self._tokens(item), item.avoid)
        item.calls += 1
        form = self._formats[place.lane]
        endpoint = self._endpoints[place.lane]
        ended = Ended(verdict="unknown")
        try:
            async with asyncio.timeout(self._timeout) as limit:
                reply = await self._wire.post(endpoint, self._prompt.data(endpoint.model, item.messages, form))
            ended, tried = self._read(place, reply, form)
        except TooLarge as error:
            ended, tried = Ended(verdict="ok"), Tried("answered", place.lane, error=str(error))
        except TransientError as error:
            ended, tried = Ended(verdict="failed"), Tried("transient", place.lane, error=str(error))
        except TimeoutError:
            if not limit.expired():
                raise
            ended = Ended(verdict="failed")
            tried = Tried("transient", place.lane, error=f"no answer within try_timeout={self._timeout:g} s")
        finally:
            self._queue.leave(place, ended)
        self._note(place.lane, ended.verdict, tried.error)
        return tried

    def step_down(self, tried: Tried) -> None:
        """Remember that an endpoint does not know a format; calls that were on their way with it change nothing."""
        if self._formats[tried.lane] == tried.form:
            self._formats[tried.lane] = FORMATS[FORMATS.index(tried.form) + 1]

    def _note(self, number: int, verdict: Verdict, error: str) -> None:
        """Remember what went wrong; say once that an endpoint is left alone, since all may wait for it."""
        self.trouble = "" if verdict == "ok" else error
        if verdict == "ok":
            self._told.discard(number)
        elif number not in self._told and self._pool.lanes[number].figures(self._clock()).state == "open":
            self._told.add(number)
            model = self._endpoints[number].model
            _log.warning("model=%r: its endpoint fails (%s); asked now and then until it answers", model, error)

    def _read(self, place: Place, reply: Reply, form: Format) -> tuple[Ended, Tried]:
        kind = kind_of(reply.status, reply.headers, reply.body)
        if kind == "format" and form == FORMATS[-1]:
            kind = "fatal"
        verdicts: dict[Kind, Verdict] = {"rejected": "rejected", "transient": "failed", "key": "key"}
        if kind == "answered":
            used_up = exhausted_for(reply.headers)
            if used_up:
                self._pool.lanes[place.lane].cool(self._clock(), used_up)
            try:
                answer = completion(reply.body)
            except Unusable as error:
                return Ended(verdict="ok"), Tried(kind, place.lane, None, form, str(error))
            if answer.output_tokens:
                self._usual_answer += 0.05 * (answer.output_tokens - self._usual_answer)
            tokens = (answer.input_tokens + answer.output_tokens) or None
            return Ended(verdict="ok", tokens=tokens), Tried(kind, place.lane, answer, form)
        wait = retry_after(reply.headers, time.time()) if kind == "rejected" else None
        ended = Ended(verdict=verdicts.get(kind, "heard"), retry_after=wait, chance=self._chance())
        return ended, Tried(kind, place.lane, None, form, f"HTTP {reply.status}")

    def _tokens(self, item: Item) -> float:
        """Return about how many tokens a call will cost, in and out."""
        said = sum(_length(message["content"]) for message in item.messages)
        characters = len(self._prompt.system) + said
        return characters / _CHARACTERS + self._usual_answer + (_PICTURE if item.picture is not None else 0.0)


def _length(content: Any) -> int:
    return len(content) if isinstance(content, str) else len(content[0]["text"])
