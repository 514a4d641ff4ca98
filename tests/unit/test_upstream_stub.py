"""The stub does what its plan says, so that tests which lean on it may be believed."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from raddle.errors import ConfigError
from raddle.testing.upstream import Plan, Upstream, upstream_process

aiohttp = pytest.importorskip("aiohttp", reason="the stub is an aiohttp server: pip install 'raddle[classify]'")


def body(item: object = 1, form: str = "plain") -> dict[str, Any]:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": f"item={item} category=SOFA"}]
    return {"model": "m", "messages": messages, "response_format": {"type": form}}


class Client:
    """Posts to a stub."""

    def __init__(self, upstream: Upstream, session: Any) -> None:
        self.upstream, self.session = upstream, session

    async def post(self, item: object = 1, *, form: str = "plain", key: str = "") -> tuple[int, dict[str, str], str]:
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.upstream.url}/chat/completions"
        async with self.session.post(url, json=body(item, form), headers=headers) as answer:
            return answer.status, dict(answer.headers), await answer.text()


def run(plan: Plan, work: Any) -> Any:
    async def main() -> Any:
        async with Upstream(plan) as upstream, aiohttp.ClientSession() as session:
            return await work(Client(upstream, session))

    return asyncio.run(main())


def said(text: str) -> Any:
    return json.loads(json.loads(text)["choices"][0]["message"]["content"])


def test_it_answers_as_such_a_service_does() -> None:
    async def work(client: Client) -> None:
        status, headers, text = await client.post()
        assert status == 200
        assert headers["Content-Type"].startswith("application/json")
        assert said(text)["category"] == "SOFA"
        assert json.loads(text)["usage"]["total_tokens"] == 960
        async with client.session.get(f"{client.upstream.url}/models") as answer:
            assert (await answer.json())["data"][0]["object"] == "model"

    run(Plan(), work)


def test_faults_come_by_item_in_their_order() -> None:
    async def work(client: Client) -> None:
        assert [(await client.post("a"))[0] for _ in range(4)] == [500, 429, 400, 200]
        assert (await client.post("b"))[0] == 200
        assert client.upstream.seen.items == {"a": 4, "b": 1}
        assert client.upstream.seen.statuses == {500: 1, 429: 1, 400: 1, 200: 2}

    run(Plan(by_item={"a": ("500", "429", "400")}), work)


def test_faults_by_share_depend_on_seed_and_item_alone() -> None:
    async def statuses(client: Client, order: list[int]) -> dict[int, int]:
        return {item: (await client.post(item))[0] for item in order}

    plans = [Plan(shares={"500": 0.3, "429": 0.2}, seed=seed) for seed in (1, 1, 2)]
    orders = [list(range(100)), list(reversed(range(100))), list(range(100))]
    first, second, third = (
        run(plan, lambda client, order=order: statuses(client, order))
        for plan, order in zip(plans, orders, strict=True)
    )
    assert first == second != third
    assert 15 < sum(status == 500 for status in first.values()) < 50


def test_capacity_queue_and_refusal() -> None:
    async def work(client: Client) -> None:
        answers = await asyncio.gather(*(client.post(item) for item in range(8)))
        assert sorted(status for status, _, _ in answers) == [200] * 5 + [429] * 3
        assert {headers.get("Retry-After") for status, headers, _ in answers if status == 429} == {"2"}
        assert client.upstream.seen.most_worked_on == 2

    run(Plan(latency=0.2, capacity=2, queue=3, retry_after=2), work)


def test_capacity_changes_in_time() -> None:
    async def work(client: Client) -> None:
        began = time.monotonic()
        waiting = asyncio.gather(*(client.post(item) for item in range(4)))
        assert [status for status, _, _ in await waiting] == [200] * 4
        assert time.monotonic() - began >= 0.2
        assert client.upstream.seen.most_worked_on == 4

    run(Plan(capacity=0, queue=10, changes=((0.2, 4),), latency=0.05), work)


def test_requests_per_minute_with_their_headers() -> None:
    async def work(client: Client) -> list[tuple[int, dict[str, str], str]]:
        return [await client.post(item) for item in range(3)]

    first, second, third = run(Plan(requests_per_minute=2, retry_after_as="date"), work)
    assert first[0] == 200
    assert first[1]["x-ratelimit-remaining-requests"] == "0"
    assert (second[0], third[0]) == (429, 429)
    assert parsedate_to_datetime(second[1]["Retry-After"]).timestamp() > time.time() - 1


@pytest.mark.parametrize("fault", ["reset", "disconnect"])
def test_connections_break(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(aiohttp.ClientError):
            await client.post()
        assert (await client.post())[0] == 200

    caplog.set_level(logging.CRITICAL)
    run(Plan(by_item={"1": (fault,)}), work)


def test_a_body_drips() -> None:
    async def work(client: Client) -> float:
        began = time.monotonic()
        assert said((await client.post())[2])["category"] == "SOFA"
        return time.monotonic() - began

    assert run(Plan(by_item={"1": ("drip",)}, drip=0.3), work) >= 0.3


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        ("html", "<title>"),
        ("prose", "I hope this helps"),
        ("fenced", "```json"),
        ("outside", "SPACESHIP"),
        ("huge", " " * 999),
    ],
)
def test_answers_are_spoilt(fault: str, part: str) -> None:
    async def work(client: Client) -> None:
        status, _, text = await client.post()
        assert status == 200
        assert part in text

    run(Plan(by_item={"1": (fault,)}), work)


def test_keys_and_formats_are_refused() -> None:
    async def work(client: Client) -> None:
        assert (await client.post(key="bad"))[0] == 401
        assert (await client.post(key="good", form="json_schema"))[0] == 400
        assert (await client.post(key="good", form="json_object"))[0] == 200
        assert client.upstream.seen.keys == {"bad": 1, "good": 2}

    run(Plan(keys=("good",), knows="json_object"), work)


def test_in_a_process_of_its_own_until_the_end_of_the_block() -> None:
    async def work(url: str) -> int:
        async with aiohttp.ClientSession() as session, session.post(f"{url}/chat/completions", json=body()) as answer:
            return int(answer.status)

    with upstream_process(Plan(by_item={"1": ("500",)}, changes=((1.0, 3),))) as upstream:
        assert asyncio.run(work(upstream.url)) == 500
        seen = upstream.seen()
        assert (seen.calls, seen.statuses, seen.items) == (1, {500: 1}, {"1": 1})
        assert upstream.pid != os.getpid()
    with pytest.raises(ProcessLookupError):
        os.kill(upstream.pid, 0)


def test_a_fault_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="fault='flood': must be one of ok, 429"):
        Plan(shares={"flood": 0.1})


def test_importing_it_does_not_import_aiohttp() -> None:
    code = "import sys, raddle.testing, raddle.testing.upstream; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
