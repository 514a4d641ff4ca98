"""The provider for any OpenAI-compatible endpoint. No SDK: one POST per try, and every try is decided here."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from raddle.errors import ConfigError
from raddle.workloads.classify.deadline import remaining
from raddle.workloads.classify.errors import FatalAnswer, InvalidAnswer, LateError, NoPicture, TransientError
from raddle.workloads.classify.upstream.answers import Unusable, label_of
from raddle.workloads.classify.upstream.calls import Calls, Item
from raddle.workloads.classify.upstream.prompt import Prompt
from raddle.workloads.classify.upstream.replies import Budget, backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from raddle.workloads.classify.taxonomy import Taxonomy
    from raddle.workloads.classify.upstream.calls import Tried
    from raddle.workloads.classify.upstream.endpoint import Endpoint
    from raddle.workloads.classify.upstream.pool import Figures
    from raddle.workloads.classify.values import Label, Picture, Product

__all__ = ["OpenAI"]

#: seconds before the engine's own deadline, so that the error tells what it waited for
_BEFORE: Final = 0.05
_REMEDY: Final = {
    "HTTP 404": ": is the url right, up to and with its version such as /v1, and does it have this model?",
    "HTTP 405": ": is the url right, up to and with its version such as /v1?",
}


class OpenAI:
    """Labels products by asking endpoints; implements `Provider`.

    An item is asked for until it has a label, fails for good, or `timeout` is over, waiting and tries included:

    - rejected (429, 503 with Retry-After): the endpoint cools down for all items; the item waits its turn again, and
      no try is counted,
    - transient (no connection, 5xx, 408, 409, `try_timeout`): tried again after a backoff, `attempts` times in all,
    - invalid (no JSON, no category of the taxonomy): asked once more and told why; then `InvalidAnswer`, or the label
      `OTHER` with the flag "outside_taxonomy",
    - fatal (other 4xx): the item's error. 401, 403 and 429 for want of credit end the use of that key for good.

    Every call beyond an item's first is taken from `budget`, rejected ones aside.

    Args:
        endpoints: at least one
        taxonomy: what may be answered
        load: gives the picture of a product as JPEG; None: `Picture.data` is sent as it is
        styles: ask for styles and tags too
        timeout: seconds for one item; inside a run also at most what `raddle.attempt()` leaves
        try_timeout: seconds for one call
        attempts: calls that may fail before the item does
        budget: extra calls over the whole provider; default: 10 % and 20
        max_answer: bytes of an answer
        most_tokens: that an answer may have
        clock: seconds that never go back
        chance: uniform in [0, 1)
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        taxonomy: Taxonomy,
        *,
        load: Callable[[Picture], Awaitable[bytes]] | None = None,
        styles: bool = True,
        timeout: float = 60.0,
        try_timeout: float = 20.0,
        attempts: int = 4,
        budget: Budget | None = None,
        max_answer: int = 1 << 20,
        most_tokens: int = 400,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if not endpoints:
            raise ConfigError("endpoints=[]: name at least one")
        for name, value in (("timeout", timeout), ("try_timeout", try_timeout), ("attempts", attempts)):
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name}={value}: must be more than 0")
        self._endpoints, self._taxonomy, self._load = tuple(endpoints), taxonomy, load
        self._timeout, self._attempts = timeout, attempts
        self._clock, self._chance = clock, chance
        self.budget = Budget() if budget is None else budget
        self._prompt = Prompt(taxonomy, styles=styles, most_answer=most_tokens)
        self._calls = Calls(
            self._endpoints,
            self._prompt,
            timeout=try_timeout,
            most_answer=max_answer,
            usual_answer=most_tokens / 2,
            clock=clock,
            chance=chance,
        )

    @property
    def key_parts(self) -> tuple[str, ...]:
        """What a label depends on beside its product: for the key of a cache."""
        models = sorted({one.model for one in self._endpoints})
        return ("openai", *models, self._prompt.version, self._taxonomy.version)

    @property
    def max_in_flight(self) -> int:
        """How many items at once can be of use: what all endpoints together may take."""
        return sum(one.max_in_flight for one in self._endpoints)

    def figures(self) -> tuple[Figures, ...]:
        """Return what each endpoint does now, in their order, for people and metrics."""
        return self._calls.figures()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._calls.aclose()

    async def label(self, product: Product) -> Label:
        """Return the label of one product.

        Raises:
            LateError: no label in time
            TransientError: no answer after `attempts`, or the budget for retries is used up
            InvalidAnswer: the answer was unusable twice
            FatalAnswer: the request was refused for good, or every key was
            PictureError: what `load` raises; `NoPicture` if the product has none
        """
        began = self._clock()
        item: Item | None = None
        try:
            async with asyncio.timeout(max(0.0, min(self._timeout, remaining() - _BEFORE))) as limit:
                picture = await self._picture(product)
                messages = self._prompt.messages(product, picture)
                item = Item(product, picture, messages, self._calls.ticket())
                self.budget.began()
                return await self._ask(item)
        except TimeoutError as error:
            if not limit.expired():
                raise
            calls, last = (0, "its picture was not there") if item is None else (item.calls, item.last)
            if item is not None and not calls and self._calls.trouble:
                last = f"{last}, and a call of another item had failed: {self._calls.trouble}"
            seconds = self._clock() - began
            raise LateError(f"no label within {seconds:.1f} s and calls={calls}; at last {last}") from error

    # ------------------------------------------------------------------------------------------------- one item

    async def _picture(self, product: Product) -> bytes | None:
        if product.mode != "image":
            return None
        if product.picture is None:
            raise NoPicture("no picture is named; classify it by text, or name one")
        if self._load is not None:
            return await self._load(product.picture)
        if product.picture.data is None:
            raise ConfigError("load=None: pictures of a url or a path need a function that loads them")
        return product.picture.data

    async def _ask(self, item: Item) -> Label:
        while True:
            tried = await self._calls.ask(item)
            if tried.kind == "answered":
                label = self._judge(item, tried)
                if label is not None:
                    return label
            elif tried.kind == "rejected":
                item.last = f"it was told to wait ({tried.error})"
            elif tried.kind == "transient":
                await self._after_failure(item, tried)
            elif tried.kind == "key":
                item.last = f"a key was refused ({tried.error})"
            elif tried.kind == "format":
                self._calls.step_down(tried)
            else:
                raise FatalAnswer(f"the endpoint refused the request: {tried.error}{_REMEDY.get(tried.error, '')}")

    def _judge(self, item: Item, tried: Tried) -> Label | None:
        """Return the label, or None to ask again."""
        provider = f"openai:{self._endpoints[tried.lane].model}"
        text, outside = "", None
        try:
            answer = tried.answer
            if answer is None:
                raise Unusable(tried.error)
            text = answer.text
            item.input_tokens += answer.input_tokens
            item.output_tokens += answer.output_tokens
            return replace(label_of(answer, self._taxonomy, provider=provider), usage=item.usage)
        except Unusable as error:
            complaint, outside = str(error), error.outside
        if not item.asked_again and self.budget.take():
            item.asked_again = True
            item.last = "an unusable answer was asked for again"
            item.messages = self._prompt.again(item.messages, text, complaint)
            return None
        if outside is not None:
            return replace(outside, usage=item.usage)
        raise InvalidAnswer(f"no usable answer in calls={item.calls}: {complaint}")

    async def _after_failure(self, item: Item, tried: Tried) -> None:
        """Wait before the next try, or raise."""
        item.failures += 1
        item.last, item.avoid = tried.error, tried.lane
        if item.failures >= self._attempts:
            raise TransientError(f"failed attempts={item.failures} times; at last {tried.error}")
        if not self.budget.take():
            raise TransientError(f"{tried.error}; no other try, for the budget of retries is used up")
        await asyncio.sleep(backoff(item.failures, self._chance()))
