"""A stub of an OpenAI-compatible service, with every fault that one may have; on loopback, over aiohttp.

plan = Plan(latency=0.2, capacity=32, shares={"500": 0.01, "prose": 0.05}, by_item={"17": ("disconnect", "ok")})
async with Upstream(plan) as upstream:          # in this event loop
    ...  # post to upstream.url + "/chat/completions"
with upstream_process(plan) as upstream:        # in a process of its own
    ...

It answers with the category that the text names as `category=NAME`, else with the first one of the schema. An item is
recognised by `item=ID` in the text; without one every call is an item of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - the plan is rebuilt from JSON
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from raddle.errors import ConfigError, MissingExtra
from raddle.testing._upstream_answers import completion, label_for, refusal, reply, reply_json, said_with, text_of
from raddle.testing._upstream_capacity import Capacity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

__all__ = ["Fault", "Plan", "Seen", "Upstream", "UpstreamProcess", "upstream_process"]

Fault = Literal[
    "ok",
    "429",  # with Retry-After, whatever the load
    "500",
    "503",
    "400",
    "401",
    "no_credit",  # 429 insufficient_quota
    "reset",  # the connection is closed without an answer
    "disconnect",  # and in the middle of one
    "drip",  # the body comes byte by byte
    "hang",  # nothing comes
    "broken_body",  # the HTTP body is not JSON
    "html",  # a page, as of a proxy
    "huge",  # a body of megabytes
    "invalid_json",  # the model's text is not JSON
    "empty",  # the model says nothing
    "prose",  # JSON inside of prose
    "fenced",  # JSON inside of a Markdown fence
    "outside",  # a category that nobody offered
    "confident",  # a confidence of 17
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
_REFUSALS: Final = {
    "500": (500, "server_error", "It is not to be"),
    "503": (503, "server_error", "It is not to be"),
    "400": (400, "invalid_request_error", "The message is not to its liking"),
    "401": (401, "invalid_api_key", "Incorrect API key provided"),
    "no_credit": (429, "insufficient_quota", "You exceeded your current quota"),
}
_ITEM = re.compile(r"item=([\w.-]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the stub does. Times are seconds; instants count from its first call.

    What befalls a call is decided by `seed`, its item and how often that item was asked for: never by the order.
    """

    latency: float = 0.0
    #: the part of the calls that takes `straggler` seconds
    stragglers: float = 0.0
    straggler: float = 3.0
    #: calls that are worked on at once; None for any number
    capacity: int | None = None
    #: calls that may wait for that; beyond them 429 at once
    queue: int = 0
    #: (instant, capacity from then on)
    changes: tuple[tuple[float, int], ...] = ()
    requests_per_minute: float | None = None
    #: Retry-After of a 429 for want of capacity; None: without one
    retry_after: float | None = None
    #: how a Retry-After is written; "none" leaves it out everywhere
    retry_after_as: Literal["seconds", "date", "none"] = "seconds"
    #: structured output it knows: it answers 400 to a better one
    knows: Literal["json_schema", "json_object", "plain"] = "json_schema"
    #: the part of the calls that each fault befalls
    shares: Mapping[str, float] = field(default_factory=dict)
    #: what befalls an item, call by call; then nothing any more
    by_item: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: keys that are accepted; none: all
    keys: tuple[str, ...] = ()
    #: of a body that drips, or of an answer that never comes
    drip: float = 10.0
    huge: int = 4 << 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse faults that nobody knows.

        Raises:
            ConfigError: naming one
        """
        for name in (*self.shares, *(one for faults in self.by_item.values() for one in faults)):
            if name not in FAULTS:
                raise ConfigError(f"fault={name!r}: must be one of {', '.join(FAULTS)}")


@dataclass(slots=True)
class Seen:
    """What the stub has seen."""

    calls: int = 0
    #: by status; 0 for those that got no whole answer
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    #: the same of those that were neither waiting nor refused
    most_worked_on: int = 0


class Upstream:
    """The server, in the running event loop."""

    def __init__(self, plan: Plan | None = None) -> None:
        self.plan = Plan() if plan is None else plan
        self.seen = Seen()
        #: up to and with the version
        self.url = ""
        self._capacity = Capacity(self.plan)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        """Listen on a free port.

        Raises:
            MissingExtra: aiohttp is not installed
        """
        try:
            from aiohttp import web
        except ImportError as error:
            raise MissingExtra("aiohttp", "classify") from error
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/seen", self._tell)
        self._runner = web.AppRunner(
            app, access_log=None, logger=_quiet(), handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # ------------------------------------------------------------------------------------------------ what it answers

    async def _models(self, _request: web.Request) -> web.Response:
        return reply_json({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    async def _tell(self, _request: web.Request) -> web.Response:
        # Not `asdict`: it cannot rebuild a Counter.
        return reply_json({one.name: getattr(self.seen, one.name) for one in fields(self.seen)})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        seen = self.seen
        self._capacity.begin()
        seen.calls += 1
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        status = 0
        try:
            answer = await self._answer(request, json.loads(await request.read()))
            status = answer.status
            return answer
        finally:
            seen.in_flight -= 1
            seen.statuses[status] += 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.seen.keys[key] += 1
        if self.plan.keys and key not in self.plan.keys:
            return refusal(401, "invalid_api_key", "Incorrect API key provided")
        form = (body.get("response_format") or {}).get("type", "plain")
        ranks = ("plain", "json_object", "json_schema")
        if ranks.index(form) > ranks.index(self.plan.knows):
            return refusal(400, "invalid_request_error", f"response_format.type {form} is not supported")
        wait = self._capacity.refused_for()
        if wait:
            return self._refuse(wait)
        text = text_of(body)
        name = _ITEM.search(text)
        fault, chance = self._fault(name[1] if name else f"call-{self.seen.calls}")
        if fault == "429":
            return self._refuse(self.plan.retry_after)
        if not await self._capacity.enter():
            return self._refuse(self.plan.retry_after)
        try:
            self.seen.most_worked_on = max(self.seen.most_worked_on, self._capacity.busy)
            slow = chance.random() < self.plan.stragglers
            await asyncio.sleep(self.plan.straggler if slow else self.plan.latency)
            return await self._faulty(request, fault, label_for(body, text))
        finally:
            self._capacity.leave()

    def _fault(self, name: str) -> tuple[str, random.Random]:
        """Return what befalls this call of an item, and the dice for the rest."""
        turn = self.seen.items[name]
        self.seen.items[name] += 1
        chance = random.Random(f"{self.plan.seed}/{name}/{turn}")
        fault = "ok"
        if name in self.plan.by_item:
            listed = self.plan.by_item[name]
            fault = listed[turn] if turn < len(listed) else "ok"
        else:
            drawn = chance.random()
            for candidate, share in self.plan.shares.items():
                if drawn < share:
                    fault = candidate
                    break
                drawn -= share
        self.seen.faults[fault] += 1
        return fault, chance

    async def _faulty(self, request: web.Request, fault: str, label: dict[str, Any]) -> web.StreamResponse:
        if fault in _REFUSALS:
            return refusal(*_REFUSALS[fault])
        if fault in ("reset", "disconnect", "drip", "hang"):
            return await self._break(request, fault, completion(json.dumps(label)))
        if fault == "html":
            return reply("<!doctype html><title>Sign in</title>", "text/html")
        if fault == "broken_body":
            return reply('{"choices": [{"message"', "application/json")
        text = said_with(fault, label) + (" " * self.plan.huge if fault == "huge" else "")
        headers = {}
        if self.plan.requests_per_minute:
            headers["x-ratelimit-limit-requests"] = f"{self.plan.requests_per_minute:g}"
            headers["x-ratelimit-remaining-requests"] = str(self._capacity.left)
            headers["x-ratelimit-reset-requests"] = f"{60 / self.plan.requests_per_minute:.3f}s"
        return reply(completion(text), "application/json", headers=headers)

    async def _break(self, request: web.Request, fault: str, text: str) -> web.StreamResponse:
        from aiohttp import web

        if fault == "hang":
            await asyncio.sleep(self.plan.drip)
        data = text.encode()
        answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        if fault in ("disconnect", "drip"):
            await answer.prepare(request)
        if fault == "disconnect":
            await answer.write(data[: len(data) // 2])
        elif fault == "drip":
            for place in range(len(data)):
                await answer.write(data[place : place + 1])
                await asyncio.sleep(self.plan.drip / len(data))
            return answer
        if request.transport is not None:
            request.transport.close()
        raise ConnectionResetError("as planned")

    def _refuse(self, wait: float | None) -> web.Response:
        answer = refusal(429, "rate_limit_exceeded", "Too many requests")
        if wait is None or self.plan.retry_after_as == "none":
            return answer
        if self.plan.retry_after_as == "date":
            answer.headers["Retry-After"] = formatdate(time() + wait + 1, usegmt=True)  # it has whole seconds only
        else:
            answer.headers["Retry-After"] = f"{wait:.3f}".rstrip("0").rstrip(".")
        return answer


def _quiet() -> logging.Logger:
    """Return a log that leaves out connections that are broken as planned; aiohttp would print a traceback of each."""
    log = logging.getLogger("raddle.testing.upstream")
    log.addFilter(_not_planned)
    return log


def _not_planned(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ConnectionResetError)


# ---------------------------------------------------------------------------------------------- a process of its own


@dataclass(frozen=True, slots=True)
class UpstreamProcess:
    """A stub that runs in a process of its own."""

    url: str
    pid: int

    def seen(self) -> Seen:
        """Ask it what it has seen; blocking."""
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/seen", timeout=10) as answer:  # noqa: S310
            said = json.load(answer)
        seen = Seen(**{**said, **{name: Counter(said[name]) for name in ("faults", "items", "keys")}})
        seen.statuses = Counter({int(status): count for status, count in said["statuses"].items()})
        return seen


@contextmanager
def upstream_process(plan: Plan | None = None) -> Iterator[UpstreamProcess]:
    """Run a stub in a process of its own, and kill it in the end."""
    given = json.dumps(asdict(Plan() if plan is None else plan))
    child = subprocess.Popen(
        [sys.executable, "-m", "raddle.testing.upstream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        try:
            if child.stdin is None or child.stdout is None:
                raise RuntimeError("no pipes to the stub")
            child.stdin.write(given + "\n")
            child.stdin.flush()
            url = child.stdout.readline().strip()
            if not url:
                raise RuntimeError("the stub did not start; what it said is above")
            yield UpstreamProcess(url, child.pid)
        finally:
            os.kill(child.pid, signal.SIGKILL)


async def _serve() -> None:
    given = json.loads(sys.stdin.readline())
    given["changes"] = tuple(map(tuple, given["changes"]))
    async with Upstream(Plan(**given)) as upstream:
        print(upstream.url, flush=True)  # noqa: T201 - it is how the parent learns it
        # The pipe ends with the parent, however that ends.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
