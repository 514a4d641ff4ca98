"""The service as clients meet it: the seed's contract, limits, refusals, clients that go away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from raddle.errors import ConfigError
from raddle.workloads.classify.errors import FatalAnswer, LateError, PictureError
from raddle.workloads.classify.service.serve import make_server
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.values import Label, Product

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


class Scripted:
    """A provider that does as the name of a product says."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.begun: list[str] = []
        self.given_up: list[str] = []
        self.products: list[Product] = []
        self.closed = False

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    async def label(self, product: Product) -> Label:
        self.begun.append(product.name)
        self.products.append(product)
        try:
            if product.name.startswith("slow"):
                await self.gate(product.name).wait()
        except asyncio.CancelledError:
            self.given_up.append(product.name)
            raise
        if product.name.startswith("broken"):
            raise PictureError("the picture is broken")
        if product.name.startswith("bug"):
            raise KeyError("sk-secret")
        if product.name == "late":
            raise LateError("no label within 1.0 s; at last HTTP 500")
        if product.name.startswith("fatal"):
            raise FatalAnswer("HTTP 401: no access")
        return Label(
            category="SOFA",
            confidence=0.9,
            primary_style="Modern",
            style_tags=("clean",),
            reasoning="a sofa",
            provider="fake",
        )

    async def aclose(self) -> None:
        self.closed = True


class Client:
    """HTTP to one server, and the provider behind it."""

    def __init__(self, session: aiohttp.ClientSession, provider: Scripted) -> None:
        self.session = session
        self.provider = provider

    async def classify(self, names: list[str], query: str = "", **more: Any) -> list[dict[str, Any]]:
        body = {"data": [{"product_name": name} for name in names], "toggle": 1, **more}
        async with self.session.post(f"/classify-category{query}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return [event async for event in events_of(answer)]


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0)


async def events_of(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Read as the seed's client does."""
    async for line in answer.content:
        text = line.decode().strip()
        if text.startswith("data: "):
            event = json.loads(text[6:])
            yield event
            if event["processing_type"] == "complete":
                return


@contextlib.asynccontextmanager
async def serving(folder: Path, **options: Any) -> AsyncIterator[Client]:
    provider = Scripted()
    server = make_server(ServiceSettings(jobs=folder / "jobs", **options), provider)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        token = options.get("token")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            async with aiohttp.ClientSession(url, headers=headers) as session:
                yield Client(session, provider)
        finally:
            server.should_exit = True
            await task
    assert provider.closed


def played(tmp_path: Path, play: Callable[[Client], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with serving(tmp_path, **options) as client:
            await play(client)

    asyncio.run(run())


# -------------------------------------------------------------------------------------------------- the seed's contract


def test_batches_are_what_the_seeds_clients_know(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        names = [f"item {number}" for number in range(25)]
        names[3] = "broken 3"
        events = await client.classify(names)
        assert sorted(event["batch_id"] for event in events[:-1]) == [1, 2, 3]
        assert {event["processing_type"] for event in events[:-1]} == {"text_multithreaded"}
        assert events[-1]["batch_id"] == -1
        assert events[-1]["total_processed"] == 25
        assert all(datetime.fromisoformat(event["timestamp"]).tzinfo is None for event in events)
        batches = {event["batch_id"]: event["results"] for event in events[:-1]}
        assert [one["product_name"] for number in (1, 2, 3) for one in batches[number]] == names
        assert batches[1][0] == {
            "id": "0",
            "product_name": "item 0",
            "category": "SOFA",
            "predicted_category": "SOFA",
            "primary_style": "Modern",
            "secondary_style": None,
            "style_tags": ["clean"],
            "placement_tags": [],
            "confidence": 0.9,
            "reasoning": "a sofa",
            "status": "ok",
            "flags": [],
        }
        bad = batches[1][3]
        assert (bad["category"], bad["confidence"], bad["reasoning"], bad["status"]) == (
            "ERROR", 0.0, "the picture is broken", "failed",
        )  # fmt: skip

    played(tmp_path, play)


def test_the_answer_streams_through_proxies(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        async with client.session.post("/classify-category", json={"data": [{"name": "a"}], "toggle": 1}) as answer:
            assert answer.content_type == "text/event-stream"
            assert answer.charset == "utf-8"
            assert answer.headers["Cache-Control"].startswith("no-cache")
            assert answer.headers["X-Accel-Buffering"] == "no"
            assert len(answer.headers["X-Job-Id"]) == 32

    played(tmp_path, play)


@pytest.mark.parametrize(("query", "first"), [("", 2), ("?order=input", 1)])
def test_a_slow_item_holds_up_its_own_batch_only_unless_order_is_asked_for(
    tmp_path: Path, query: str, first: int
) -> None:
    async def play(client: Client) -> None:
        body = {"data": [{"name": "slow"}, *({"name": str(number)} for number in range(14))], "toggle": 1}
        async with client.session.post(f"/classify-category{query}", json=body) as answer:
            got: list[int] = []
            seen = asyncio.Event()

            async def read() -> None:
                async for event in events_of(answer):
                    got.append(event["batch_id"])
                    seen.set()

            reading = asyncio.create_task(read())
            if first == 2:
                await seen.wait()
                assert got == [2]
            else:
                await until(lambda: len(client.provider.begun) == 15)
                assert not got
            client.provider.gate("slow").set()
            await reading
            assert got == [first, 3 - first, -1]

    played(tmp_path, play)


REFUSED: list[tuple[Any, int, str]] = [
    ({"data": [], "toggle": 1}, 400, "at least one"),
    ({"data": [{"name": "a"}], "toggle": 2}, 400, "1 for text or 0 for images"),
    ({"data": [{"name": "a"}], "toggle": 0}, 400, "Product URL"),
    ({"data": [{"shot": "http://x.example/a"}, {"name": "b"}], "toggle": 0, "product_column": "Shot"}, 400, "item 1"),
    ({"data": [{"name": "a"}]}, 422, "toggle"),
    ({"data": "no", "toggle": 1}, 422, "data"),
    ([], 422, "body"),
    ({"data": [{"name": "a"}] * 21, "toggle": 1}, 413, "20"),
]


def test_what_the_seed_refuses_is_refused(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        for body, status, hint in REFUSED:
            async with client.session.post("/classify-category", json=body) as answer:
                assert (answer.status, hint in await answer.text()) == (status, True), body

    played(tmp_path, play, max_items=20)


PICTURES: list[tuple[dict[str, str], dict[str, str], str]] = [
    ({"Product_URL": "https://x.example/a.jpg"}, {}, "https://x.example/a.jpg"),
    ({"product_url": "https://x.example/page", "image_url": "https://x.example/a"}, {}, "https://x.example/a"),
    ({"Shot": "https://x.example/s", "image": "no"}, {"product_column": "Shot"}, "https://x.example/s"),
    ({"image": "/etc/passwd"}, {}, "/etc/passwd"),  # an address to fetch, which fails; never a file to open
]


def test_image_mode_takes_the_column_that_is_named(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        for row, more, url in PICTURES:
            body = {"data": [row], "toggle": 0, **more}
            async with client.session.post("/classify-category", json=body) as answer:
                events = [event async for event in events_of(answer)]
            assert events[0]["processing_type"] == "image_multithreaded"
            looked_at = client.provider.products.pop()
            assert looked_at.mode == "image"
            assert looked_at.picture is not None
            assert (looked_at.picture.url, looked_at.picture.path) == (url, None)

    played(tmp_path, play)


@pytest.mark.parametrize(
    ("query", "rows", "hint"),
    [
        ("", [{"1": "2", "Grey sofa": "Lamp"}], "no item has a name"),
        ("?name_column=Titel", [{"name": "Sofa"}], "name_column='Titel': no item"),
        ("?mode=image", [{"name": "Sofa"}], "no item names a picture"),
        ("?mode=image&image_column=Bild", [{"image": "http://a/b"}], "image_column='Bild': no item"),
    ],
)
def test_a_table_without_the_columns_is_refused(tmp_path: Path, query: str, rows: Any, hint: str) -> None:
    async def play(client: Client) -> None:
        async with client.session.post(f"/jobs{query}", json=rows) as answer:
            assert answer.status == 400
            assert hint in (await answer.json())["detail"]

    played(tmp_path, play)


def test_an_item_without_text_is_not_asked_about(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        async with client.session.post("/classify-category", json={"data": [{"x": 1}], "toggle": 1}) as answer:
            events = [event async for event in events_of(answer)]
        (result,) = events[0]["results"]
        assert (result["status"], result["category"], result["confidence"]) == ("failed", "ERROR", 0.0)
        assert "nothing to classify" in result["reasoning"]
        assert not client.provider.begun

    played(tmp_path, play)


def test_an_item_whose_time_was_over_is_timed_out_and_says_what_it_waited_for(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        (event, _) = await client.classify(["late"])
        (result,) = event["results"]
        assert (result["status"], result["reasoning"]) == ("timed_out", "no label within 1.0 s; at last HTTP 500")

    played(tmp_path, play)


def test_root_and_health_have_the_seeds_shapes(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        async with client.session.get("/health") as answer:
            health = await answer.json()
        assert health.keys() == {"status", "timestamp", "openai_configured", "service"}
        assert (health["status"], health["openai_configured"]) == ("healthy", True)
        async with client.session.get("/") as answer:
            root = await answer.json()
        assert root.keys() == {"message", "version", "endpoints", "supported_categories"}
        assert root["supported_categories"] == ["SOFA", "OTHER"]

    played(tmp_path, play, openai_configured=True, categories=("SOFA", "OTHER"))


def test_head_is_get_without_its_body(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        for path in ("/", "/health", "/ready", "/ui", "/openapi.json"):
            async with client.session.get(path) as whole, client.session.head(path) as head:
                assert (head.status, await head.read()) == (200, b""), path
                for name in ("Content-Type", "Content-Length", "Content-Security-Policy"):
                    assert head.headers.get(name) == whole.headers.get(name), path
        async with client.session.get("/health") as answer:  # the connection is still in step
            assert answer.status == 200
        async with client.session.head("/jobs") as answer:
            assert answer.status == 405

    played(tmp_path, play)


def test_the_log_tells_what_the_seeds_did_and_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "raddle.classify")

    async def play(client: Client) -> None:
        names = [f"item {number}" for number in range(10)]
        names[3], names[4] = "broken", "bug"
        events = await client.classify(names)
        assert events[0]["results"][4]["reasoning"] == "the provider failed: KeyError"

    played(tmp_path, play)
    told = [record.getMessage() for record in caplog.records if record.name == "raddle.classify"]
    assert "Processing text batch 1 with 10 items using multithreading" in told
    assert "Successfully processed batch with concurrent execution" in told
    assert "Error in thread for item 3: the picture is broken" in told
    assert not any("sk-secret" in text for text in told)
    begun = next(record for record in caplog.records if record.getMessage().startswith("Processing"))
    assert vars(begun)["items"] == 10


# ------------------------------------------------------------------------------------------------- clients that go away


@pytest.mark.parametrize("detach", [False, True])
def test_a_client_that_goes_away_ends_its_job_unless_it_asked_otherwise(tmp_path: Path, detach: bool) -> None:
    async def play(client: Client) -> None:
        body = {"data": [{"name": f"slow {number}"} for number in range(6)], "toggle": 1}
        answer = await client.session.post(f"/classify-category?detach={detach}", json=body)
        name = answer.headers["X-Job-Id"]
        await until(lambda: len(client.provider.begun) == 4)
        answer.close()
        for number in range(50):  # the loop answers while calls hang
            async with client.session.get("/health") as health:
                assert health.status == 200, number
        if detach:
            for number in range(6):
                client.provider.gate(f"slow {number}").set()
        state = ""
        while state not in {"done", "cancelled"}:
            async with client.session.get(f"/jobs/{name}") as job:
                state = (await job.json())["state"]
        assert state == ("done" if detach else "cancelled")
        assert len(client.provider.given_up) == (0 if detach else 4)
        assert len(client.provider.begun) == (6 if detach else 4)
        async with client.session.get("/metrics") as metrics:
            text = await metrics.text()
        assert "raddle_classify_items_in_flight 0\n" in text
        assert "raddle_classify_streams 0\n" in text

    played(tmp_path, play, workers=4)


# ---------------------------------------------------------------------------------------------------- limits, refusals


def test_a_body_beyond_the_limit_is_refused_while_it_comes(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 1000

    async def play(client: Client) -> None:
        for path, chunked in product(("/classify-category", "/jobs"), (False, True)):
            body = pieces() if chunked else b" " * 40_000
            async with client.session.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
                assert answer.status == 413, (path, chunked)
                assert (await answer.json())["detail"].startswith("more than max_body=10,000 bytes; send")

    played(tmp_path, play, max_body=10_000)


def test_a_token_is_asked_for_everywhere_but_where_nothing_is_told(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        none = {"Authorization": ""}
        for path in ("/", "/health", "/ready", "/ui", "/openapi.json"):
            async with client.session.get(path, headers=none) as answer:
                assert answer.status == 200, path
        for path in ("/jobs", "/jobs/x", "/metrics"):
            for wrong in ("", "Bearer nearly", "Basic right-token", "Bearer r\u00eft"):
                async with client.session.get(path, headers={"Authorization": wrong}) as answer:
                    assert answer.status == 401
                    assert answer.headers["WWW-Authenticate"] == "Bearer"
        async with client.session.get("/jobs") as answer:
            assert answer.status == 200

    played(tmp_path, play, token="right-token")


ASKERS: list[tuple[dict[str, str], int]] = [
    ({}, 200),
    ({"Host": "localhost:8000"}, 200),
    ({"Host": "[::1]"}, 200),
    ({"Host": "rebound.example"}, 400),
    ({"Host": "[::1"}, 400),
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "https://shop.example"}, 200),
    ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
]


def test_without_a_token_pages_of_others_are_refused(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        for headers, status in ASKERS:
            async with client.session.get("/jobs", headers=headers) as answer:
                assert answer.status == status, headers
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == ("https://shop.example" if "shop" in headers.get("Origin", "") else None)

    played(tmp_path, play, cors_origins=("https://shop.example",))


def test_as_many_jobs_and_streams_as_may_be(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        ids = []
        for _ in range(2):
            async with client.session.post("/jobs", json=[{"name": "slow"}]) as answer:
                assert answer.status == 202
                ids.append((await answer.json())["id"])
        for path, body in (("/jobs", [{"name": "a"}]), ("/classify-category", {"data": [{"name": "a"}], "toggle": 1})):
            async with client.session.post(path, json=body) as answer:
                assert answer.status == 429
                assert int(answer.headers["Retry-After"]) > 0
        streams = [await client.session.get(f"/jobs/{ids[0]}/events") for _ in range(3)]
        assert all(stream.status == 200 for stream in streams)
        async with client.session.get(f"/jobs/{ids[1]}/events") as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
        for stream in streams:
            stream.close()
        client.provider.gate("slow").set()
        status = 503
        while status == 503:
            async with client.session.get(f"/jobs/{ids[1]}/events") as answer:
                status = answer.status
        assert status == 200

    played(tmp_path, play, max_jobs=2, max_streams=3)


def test_ready_says_why_not(tmp_path: Path) -> None:
    async def play(client: Client) -> None:
        async with client.session.get("/ready") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True, "reasons": []})
        await client.classify([f"broken {number}" for number in range(30)])
        async with client.session.get("/ready") as answer:
            assert answer.status == 200  # bad pictures are not the provider's fault
        await client.classify([f"fatal {number}" for number in range(20)])
        async with client.session.get("/ready") as answer:
            assert answer.status == 503
            assert "last 20 items" in (await answer.json())["reasons"][0]
        await client.classify(["good"])
        async with client.session.get("/ready") as answer:
            assert answer.status == 200

    played(tmp_path, play)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"host": "0.0.0.0"}, "give a token"),
        ({"host": "shop.example"}, "give a token"),
        ({"workers": 0}, "workers=0"),
        ({"ping": 0.0}, "ping=0.0"),
        ({"token": ""}, "printable"),
        ({"token": "r\u00eft"}, "printable"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        ServiceSettings(**options)


def test_a_token_is_not_in_the_repr() -> None:
    assert "hidden-token" not in repr(ServiceSettings(host="0.0.0.0", token="hidden-token"))
