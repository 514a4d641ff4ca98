"""Pictures from strange addresses: what may be dialled, how far, how long, how much."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from hypothesis import given
from hypothesis import strategies as st

import raddle
from raddle.errors import ConfigError
from raddle.workloads.classify.errors import PictureError
from raddle.workloads.classify.pictures import Fetcher
from raddle.workloads.classify.pictures.addresses import allowed, networks
from raddle.workloads.classify.pictures.hosts import Hosts
from raddle.workloads.classify.upstream import Budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LOOPBACK = [
    *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "0x7f.1"),
    *("127.1", "0177.0.0.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"),
]
CLOSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255"),
    *("169.254.169.254", "169.254.170.2", "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192"),
    *("192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "64:ff9b:1::1", "100::1", "2001::1"),
    *("2001:0:7f00:1::", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1"),
    *("fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "4000::1", "no address", ""),
]
OPEN = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", CLOSED)
def test_closed_addresses(address: str) -> None:
    assert not allowed(address)


@pytest.mark.parametrize("address", OPEN)
def test_open_addresses(address: str) -> None:
    assert allowed(address)


def test_networks_that_are_opened() -> None:
    also = networks(["10.1.0.0/16", "::1"])
    assert allowed("10.1.2.3", also)
    assert allowed("::ffff:10.1.2.3", also)
    assert allowed("::1", also)
    assert not allowed("10.2.0.1", also)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_however_it_is_wrapped(address: Any) -> None:
    assert allowed(str(address)) == allowed(f"::ffff:{address}") == allowed(f"64:ff9b::{address}")


def test_a_network_that_is_none() -> None:
    with pytest.raises(ConfigError, match="allow_networks takes such as"):
        Fetcher(allow_networks=["intranet"])


# ------------------------------------------------------------------------------------------------------- servers


class Listener:
    """Counts who connects, and answers nothing."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def _connected(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    @asynccontextmanager
    async def listening(self, *hosts: str) -> AsyncIterator[Listener]:
        async with await asyncio.start_server(self._connected, hosts[0], 0) as first:
            self.port = first.sockets[0].getsockname()[1]
            others = [await asyncio.start_server(self._connected, host, self.port) for host in hosts[1:]]
            try:
                yield self
            finally:
                for other in others:
                    other.close()


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]], host: str) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, host, 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[int]:
    """Speak whatever comes to mind after the head of a request."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


class Answers(AbstractResolver):
    """Gives one address after the other for any name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[Any]:
        address = self.addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [{"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def fetcher(*ports: int, allow: tuple[str, ...] = ("127.0.0.0/8",), **options: Any) -> AsyncIterator[Fetcher]:
    each = Fetcher(allow_networks=allow, ports=ports, **options)
    try:
        yield each
    finally:
        await each.aclose()


async def refused(each: Fetcher, url: str) -> str:
    with pytest.raises(PictureError) as caught:
        await each.fetch(url)
    message = str(caught.value)
    assert "127.0.0" not in message
    assert "/secret" not in message
    return message


# ------------------------------------------------------------------------------------------------------ who may be


@pytest.mark.parametrize("spelling", LOOPBACK)
def test_loopback_is_refused_however_it_is_spelled(spelling: str) -> None:
    async def main() -> None:
        hosts = ["0.0.0.0", *(["::1"] if socket.has_ipv6 else [])]
        async with Listener().listening(*hosts) as listener, fetcher(listener.port, allow=()) as each:
            message = await refused(each, f"http://{spelling}:{listener.port}/secret")
            assert "private or reserved" in message or "not known" in message
            assert listener.connections == 0

    asyncio.run(main())


@pytest.mark.parametrize("spelling", sorted({*LOOPBACK} - {"2130706433", "127.1", "0177.0.0.1"}))
def test_the_same_spellings_do_arrive_where_loopback_is_open(spelling: str) -> None:
    """What the test above relies on. The three that are missing, aiohttp takes for no host at all."""

    async def main() -> None:
        allow = ("127.0.0.0/8", "0.0.0.0", "::1")
        async with Listener().listening("0.0.0.0", "::1") as listener, fetcher(listener.port, allow=allow) as each:
            with pytest.raises(PictureError, match="broke off"):
                await each.fetch(f"http://{spelling}:{listener.port}/secret")
            assert listener.connections > 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{}/secret", "//localhost:{}/secret", "http://[::ffff:7f00:1]:{}/"]
)
def test_a_redirect_to_loopback_is_refused(target: str) -> None:
    async def main() -> None:
        async with Listener().listening("127.0.0.1") as listener:

            async def redirect(_request: web.Request) -> web.StreamResponse:
                raise web.HTTPFound(target.format(listener.port))

            async with (
                serving(redirect, "127.0.0.2") as port,
                fetcher(port, listener.port, allow=("127.0.0.2",)) as each,
            ):
                assert "private or reserved" in await refused(each, f"http://127.0.0.2:{port}/a.png")
            assert listener.connections == 0

    asyncio.run(main())


def test_a_resolver_that_changes_its_answer() -> None:
    async def main() -> None:
        async def once(_request: web.Request) -> web.StreamResponse:
            return web.Response(body=b"picture", headers={"Connection": "close"})

        async with serving(once, "127.0.0.2") as port:
            other = await asyncio.start_server(lambda _r, _w: pytest.fail("dialled"), "127.0.0.1", port)
            resolver = Answers("127.0.0.2", "127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1")
            async with other, fetcher(port, allow=("127.0.0.2",), resolver=resolver) as each:
                assert await each.fetch(f"http://shop.example:{port}/") == b"picture"
                for _ in range(3):
                    assert "private or reserved" in await refused(each, f"http://shop.example:{port}/")
            assert not resolver.addresses

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("ftp://shop.example/a.png", "http://"),
        ("file:///etc/passwd", "http://"),
        ("data:image/png;base64,AA", "http://"),
        ("gopher://127.0.0.1:70/", "http://"),
        ("//shop.example/a.png", "http://"),
        ("a.png", "http://"),
        ("", "http://"),
        ("http://", "http://"),
        ("http://shop.example:99999/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
        ("http://me:pass@shop.example/", "user name"),
        ("http://me@shop.example/", "user name"),
        ("http://shop.example:22/", "port=22"),
        ("https://shop.example:8443/", "port=8443"),
        ("http://shop.example/" + "a" * 9000, "longer than"),
        ("http://" + "a" * 70 + ".example/", "not known"),
    ],
)
def test_forms_of_addresses_that_are_refused(url: str, hint: str) -> None:
    async def main() -> None:
        async with fetcher(80, 443) as each:
            assert hint in await refused(each, url)

    asyncio.run(main())


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_picture_error(text: str) -> None:
    async def main() -> None:
        async with fetcher(1, resolver=Answers(*["127.0.0.1"] * 9)) as each:
            with pytest.raises(PictureError):
                await each.fetch("http://" + text)

    asyncio.run(main())


def test_no_proxy_and_no_netrc_of_the_environment() -> None:
    each = Fetcher()

    async def main() -> None:
        assert each._ready().trust_env is False
        await each.aclose()

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------- how far, how much


def test_redirects_are_followed_so_far_and_no_farther() -> None:
    async def main() -> None:
        async def hop(request: web.Request) -> web.StreamResponse:
            left = int(request.match_info["path"])
            if left:
                raise web.HTTPTemporaryRedirect(f"/{left - 1}")
            return web.Response(body=b"picture")

        async with serving(hop, "127.0.0.1") as port, fetcher(port) as each:
            assert await each.fetch(f"http://127.0.0.1:{port}/3") == b"picture"
            assert "more than 3 times" in await refused(each, f"http://127.0.0.1:{port}/4")

    asyncio.run(main())


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize(
    ("head", "body", "hint"),
    [
        (HEAD + b"Content-Length: 5000\r\n\r\n", b"x", "longer than max_bytes=1,000"),
        (HEAD + b"\r\n", b"x" * 70_000, "longer than max_bytes=1,000"),
        (HEAD + b"Content-Length: 500\r\n\r\n", b"x", "not HTTP, or not all"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", b"x", "compressed"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"", "HTTP 404"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", b"", "HTTP 500"),
        (b"HTTP/1.1 206 Part\r\nContent-Length: 1\r\n\r\n", b"x", "HTTP 206"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", b"", "to nowhere"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[::\r\nContent-Length: 0\r\n\r\n", b"", "no address"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", b"", "http://"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", b"", "port=1"),
        (b"no http at all\r\n\r\n", b"", "not HTTP"),
        (b"", b"", "broke off"),
        (HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n", b"", "not HTTP"),
    ],
)
def test_answers_that_are_refused(head: bytes, body: bytes, hint: str) -> None:
    async def main() -> None:
        async def answer(writer: asyncio.StreamWriter) -> None:
            writer.write(head + body)
            await writer.drain()

        async with raw(answer) as port, fetcher(port, max_bytes=1000) as each:
            assert hint in await refused(each, f"http://127.0.0.1:{port}/secret")

    asyncio.run(main())


def test_a_dripping_server_ends_at_the_total() -> None:
    async def main() -> None:
        async def drip(writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD + b"\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with raw(drip) as port, fetcher(port, timeout=0.2) as each:
            assert "too long (timeout=0.2 s)" in await refused(each, f"http://127.0.0.1:{port}/")

    asyncio.run(main())


def test_who_asks_for_the_same_address_meanwhile_shares_the_download() -> None:
    async def main() -> None:
        asked, came, go = 0, asyncio.Event(), asyncio.Event()

        async def slow(_request: web.Request) -> web.StreamResponse:
            nonlocal asked
            asked += 1
            came.set()
            await go.wait()
            return web.Response(body=b"picture")

        async with serving(slow, "127.0.0.1") as port, fetcher(port) as each:
            url = f"http://127.0.0.1:{port}/a.png"
            tasks = [asyncio.create_task(each.fetch(url)) for _ in range(20)]
            await came.wait()
            tasks[0].cancel()  # the first to come goes; the others still get theirs
            await asyncio.wait(tasks[:1])
            go.set()
            assert await asyncio.gather(*tasks[1:]) == [b"picture"] * 19
            assert asked == 1
            assert await each.fetch(url) == b"picture"
            assert asked == 2  # nothing is kept
            assert not each._under_way
            assert not each._hosts.in_use

    asyncio.run(main())


def test_a_download_that_nobody_wants_any_more_ends() -> None:
    async def main() -> None:
        gone, over = asyncio.Event(), asyncio.Event()

        async def never(writer: asyncio.StreamWriter) -> None:
            gone.set()
            await over.wait()  # from Python 3.12 on a server waits for its connections when it ends

        async with raw(never) as port, fetcher(port) as each:
            task = asyncio.create_task(each.fetch(f"http://127.0.0.1:{port}/"))
            await gone.wait()
            shared = next(iter(each._under_way.values()))
            task.cancel()
            await asyncio.wait([task, shared.task])
            assert shared.task.cancelled()
            assert not each._under_way
            over.set()

    asyncio.run(main())


def test_one_host_gets_so_many_at_once() -> None:
    async def main() -> None:
        now = most = 0

        async def count(_request: web.Request) -> web.StreamResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            for _ in range(20):
                await asyncio.sleep(0)
            now -= 1
            return web.Response(body=b"x")

        async with serving(count, "127.0.0.1") as port, fetcher(port, per_host=3) as each:
            await asyncio.gather(*(each.fetch(f"http://127.0.0.1:{port}/{number}") for number in range(30)))
        assert most == 3

    asyncio.run(main())


# ------------------------------------------------------------------------------------------------------ what may pass


class Time:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Moody:
    """Answers with one status after the other, then with the picture."""

    def __init__(self, *moods: int | str, **headers: str) -> None:
        self.moods, self.headers, self.calls = list(moods), headers, 0
        self.over = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        mood = self.moods.pop(0) if self.moods else 200
        if mood == "hang":
            await self.over.wait()
            return web.Response()
        if mood == "breaks off":
            answer = web.StreamResponse(headers={"Content-Length": "7"})
            await answer.prepare(request)
            await answer.write(b"pict")
            assert request.transport is not None
            request.transport.abort()
            return answer
        assert isinstance(mood, int)
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()} if mood != 200 else {}
        return web.Response(status=mood, body=b"picture", headers=headers)


@pytest.mark.parametrize(
    "moods",
    [(500,), (502, 504), (408, 425), (429,), (503, 429), ("breaks off",), ("hang", 500), ("hang", "breaks off")],
)
def test_what_may_pass_is_tried_again(moods: tuple[int | str, ...]) -> None:
    async def main() -> None:
        moody, time = Moody(*moods), Time()
        async with (
            serving(moody.answer, "127.0.0.1") as port,
            fetcher(port, timeout=0.3, clock=time.clock, sleep=time.sleep, chance=lambda: 0.5) as each,
        ):
            assert await each.fetch(f"http://127.0.0.1:{port}/") == b"picture"
            moody.over.set()
        assert moody.calls == len(moods) + 1
        assert time.slept == [0.125, 0.25][: len(moods)]

    asyncio.run(main())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_what_stays_is_not_tried_again(status: int) -> None:
    async def main() -> None:
        moody = Moody(status)
        async with serving(moody.answer, "127.0.0.1") as port, fetcher(port) as each:
            assert f"HTTP {status}" in await refused(each, f"http://127.0.0.1:{port}/")
        assert moody.calls == 1

    asyncio.run(main())


def test_tries_end() -> None:
    async def main() -> None:
        moody, time = Moody(*[500] * 9), Time()
        async with (
            serving(moody.answer, "127.0.0.1") as port,
            fetcher(port, clock=time.clock, sleep=time.sleep, budget=Budget(share=0, floor=3)) as each,
        ):
            url = f"http://127.0.0.1:{port}/"
            assert "HTTP 500 (tries=3)" in await refused(each, url)
            assert "HTTP 500 (tries=2)" in await refused(each, url)
            assert "HTTP 500 (tries=1)" in await refused(each, url)  # the budget is used up
        assert moody.calls == 6

    asyncio.run(main())


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_a_host_asks_for_holds_for_all_its_pictures(status: int) -> None:
    async def main() -> None:
        moody, time = Moody(*[status] * 5, Retry_After="30"), Time()
        async with (
            serving(moody.answer, "127.0.0.1") as port,
            fetcher(port, per_host=1, budget=Budget(share=0, floor=0), clock=time.clock, sleep=time.sleep) as each,
        ):
            urls = [f"http://127.0.0.1:{port}/{number}" for number in range(4)]
            assert await asyncio.gather(*map(each.fetch, urls)) == [b"picture"] * 4
        # each pause is found out once, and no picture is lost by it, though there is no budget for tries
        assert moody.calls == 5 + 4
        assert time.now >= 5 * 30

    asyncio.run(main())


def test_who_waits_for_a_turn_heeds_a_pause_that_was_asked_for_meanwhile() -> None:
    time, began = Time(), []
    hosts = Hosts(in_flight=9, per_host=1, clock=time.clock, sleep=time.sleep)

    async def one(host: str, pause: float) -> None:
        async with hosts.turn(host, patience=60):
            began.append((host, time.now))
            await asyncio.sleep(0)
            if pause:
                hosts.pause(host, pause)

    async def main() -> None:
        await asyncio.gather(one("a", 30), one("a", 0), one("b", 0), one("a", 0))
        hosts.pause("a", 90)
        with pytest.raises(PictureError, match="asks for a pause of 90 s"):
            await one("a", 0)

    asyncio.run(main())
    assert began == [("a", 0), ("b", 0), ("a", 30), ("a", 30)]
    assert hosts.in_use == 0


def test_no_wait_goes_past_the_deadline_of_the_item() -> None:
    async def main() -> None:
        moody = Moody(429, Retry_After="200")
        async with serving(moody.answer, "127.0.0.1") as port, fetcher(port) as each:
            urls = [f"http://127.0.0.1:{port}/{number}" for number in range(2)]
            async with raddle.arun(each.fetch, urls, workers=1, timeout=20) as run:
                errors = [str(outcome.error) async for outcome in run]
        assert "HTTP 429 (tries=1)" in errors[0]
        assert "asks for a pause of 200 s: more than the item has" in errors[1]
        assert moody.calls == 1

    asyncio.run(main())
