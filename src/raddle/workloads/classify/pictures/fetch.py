"""Pictures from http and https, where neither the address, the name server, the server nor the body is trusted.

What is checked is the address that is dialled, when its socket is made: after the resolver, for IP literals, for every
hop of a redirect and whatever a name resolves to the next time. Only the resolver checked, or the address looked up
before the request, both leave ways around.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from raddle.errors import ConfigError
from raddle.workloads.classify.deadline import remaining
from raddle.workloads.classify.errors import PictureError
from raddle.workloads.classify.pictures.addresses import allowed, networks
from raddle.workloads.classify.pictures.hosts import Hosts
from raddle.workloads.classify.upstream.replies import Budget, backoff, kind_of, retry_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from aiohttp.abc import AbstractResolver

__all__ = ["Fetcher"]

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {"Accept": "image/*;q=1.0, */*;q=0.1", "Accept-Encoding": "identity", "User-Agent": "raddle-classify"}
#: longest address taken, in characters
_LONGEST_URL: Final = 8192
_CHUNK: Final = 64 * 1024
#: seconds after which a picture is given up, if its item has no deadline
_PATIENCE: Final = 300.0


class _Refused(OSError):
    """The dialled address is not open to us; all of them say the same, so that several of them stay one error."""

    def __init__(self) -> None:
        super().__init__("address not allowed")


class _Passing(Exception):
    """A failure that may be over by the next try.

    Args:
        message: what it is if it stays
        pause: seconds the host asked for; None if it did not
    """

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


class _Shared:
    """A download under way, and how many wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[bytes]) -> None:
        self.task = task
        self.waiting = 0


class Fetcher:
    """Downloads pictures; used in one event loop.

    What may pass (no connection, it broke off, `timeout`, 408, 409, 425, 429, 5xx) is tried again after a backoff, as
    far as `attempts` and `budget` go. Where `Retry-After` asks for a pause, all pictures of the host wait for its end,
    and no try is counted. No wait goes past the deadline of the item.

    Args:
        allow_networks: networks that are open though they are private, such as `10.1.0.0/16`, for intranets and tests
        ports: the ports that may be dialled
        max_bytes: longest body
        timeout: seconds for one try, redirects included, from the moment it is its turn
        connect_timeout: seconds until a connection stands
        redirects: most hops that are followed
        in_flight: most downloads at once
        per_host: most of them from one host
        attempts: tries of one picture that may fail
        budget: extra tries over all pictures; default: 10 % and 20
        resolver: of aiohttp's kind; default: the system's
        clock: seconds that never go back
        sleep: waits for so many of them
        chance: uniform in [0, 1)
    """

    def __init__(
        self,
        *,
        allow_networks: Iterable[str] = (),
        ports: Collection[int] = (80, 443),
        max_bytes: int = 10_000_000,
        timeout: float = 15.0,
        connect_timeout: float = 5.0,
        redirects: int = 3,
        in_flight: int = 64,
        per_host: int = 8,
        attempts: int = 3,
        budget: Budget | None = None,
        resolver: AbstractResolver | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        if attempts < 1:
            raise ConfigError(f"attempts={attempts}: must be 1 or more")
        try:
            self._open = networks(allow_networks)
        except ValueError as error:
            raise ConfigError(f"{error}: allow_networks takes such as 10.1.0.0/16 or ::1") from error
        self._ports = frozenset(ports)
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._redirects = redirects
        self._attempts = attempts
        self._budget = Budget() if budget is None else budget
        self._resolver = resolver
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._hosts = Hosts(in_flight=in_flight, per_host=per_host, clock=clock, sleep=sleep)
        self._under_way: dict[str, _Shared] = {}
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """Return the body of a picture; one download serves all who ask for the same address meanwhile.

        Raises:
            PictureError: it was refused, is too large, took too long or could not be had
        """
        shared = self._under_way.get(url)
        if shared is None:
            shared = self._under_way[url] = _Shared(asyncio.create_task(self._whole(url)))
            shared.task.add_done_callback(partial(self._over, url, shared))
        shared.waiting += 1
        try:
            return await asyncio.shield(shared.task)
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.task.done():
                # nobody wants it any more; who asks from now on starts anew
                self._over(url, shared)
                shared.task.cancel()

    async def aclose(self) -> None:
        """End downloads under way and close connections."""
        tasks = [shared.task for shared in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _over(self, url: str, shared: _Shared, _task: object = None) -> None:
        if self._under_way.get(url) is shared:
            del self._under_way[url]

    async def _whole(self, url: str) -> bytes:
        there = self._checked(url)
        deadline = self._clock() + min(_PATIENCE, remaining())  # of who asked first
        tries = failures = 0
        self._budget.began()
        while True:
            tries += 1
            try:
                return await self._chain(there, deadline)
            except _Passing as error:
                failures += error.pause is None
                wait = max(error.pause or 0.0, backoff(tries, self._chance()))
                late = self._clock() + wait >= deadline
                if late or failures >= self._attempts or (error.pause is None and not self._budget.take()):
                    raise PictureError(f"{error} (tries={tries})") from error
            await self._sleep(wait)

    async def _chain(self, there: URL, deadline: float) -> bytes:
        """Follow an address to its picture."""
        left = self._timeout
        loop = asyncio.get_running_loop()
        for _ in range(self._redirects + 1):
            async with self._hosts.turn(there.host or "", patience=deadline - self._clock()):
                began = loop.time()
                try:
                    async with asyncio.timeout(left):
                        found = await self._hop(there)
                except TimeoutError as error:
                    raise _Passing(f"the picture took too long (timeout={self._timeout:g} s)") from error
                except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a name no resolver takes
                    raise _told(error) from error
                left -= loop.time() - began
            if isinstance(found, bytes):
                return found
            there = found
        raise PictureError(f"the picture's address was redirected more than {self._redirects} times")

    async def _hop(self, url: URL) -> bytes | URL:
        async with self._ready().get(url, allow_redirects=False) as answer:
            if answer.status in _MOVED:
                return self._next(url, answer.headers.get("Location", ""))
            if answer.status != 200:  # noqa: PLR2004 - OK; others, such as 206, do not give the picture
                raise self._refused(url.host or "", answer)
            return await self._body(answer)

    def _refused(self, host: str, answer: aiohttp.ClientResponse) -> Exception:
        said = f"the picture's server answered HTTP {answer.status}"
        kind = kind_of(answer.status, answer.headers, b"")
        if kind == "rejected":
            pause = retry_after(answer.headers, time.time())
            if pause is not None:
                self._hosts.pause(host, pause)
            return _Passing(said, pause)
        return _Passing(said) if kind == "transient" else PictureError(said)

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.headers.get("Content-Encoding", "identity").strip().lower() not in {"identity", ""}:
            raise PictureError("the picture's server sent it compressed, though asked not to")
        too_long = PictureError(f"the picture is longer than max_bytes={self._max_bytes:,}")
        if (answer.content_length or 0) > self._max_bytes:
            raise too_long
        body = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._max_bytes:
                raise too_long
        return bytes(body)

    def _next(self, here: URL, location: str) -> URL:
        if not location:
            raise PictureError("the picture's address was redirected to nowhere")
        try:
            there = here.join(URL(location))
        except ValueError as error:
            raise PictureError("the picture's address was redirected to what is no address") from error
        return self._checked(str(there))

    def _checked(self, text: str) -> URL:
        """Return the address if its form is allowed."""
        if len(text) > _LONGEST_URL:
            raise PictureError(f"the picture's address is longer than {_LONGEST_URL:,} characters")
        try:
            url = URL(text.strip())
            port = url.port
        except ValueError as error:
            raise PictureError("the picture's address cannot be read") from error
        if url.scheme not in {"http", "https"} or not url.host:
            raise PictureError("the picture's address does not begin with http:// or https:// and a host")
        if url.user is not None or url.password is not None:
            raise PictureError("the picture's address holds a user name or password")
        if port not in self._ports:
            raise PictureError(f"port={port} of the picture's address is not allowed")
        return url.with_fragment(None)

    def _ready(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,  # turns are taken above, outside the timeout
                resolver=self._resolver,
                use_dns_cache=self._resolver is None,
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                connector_owner=True,
                auto_decompress=False,  # a body may not grow after it was measured
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
                trust_env=False,  # a proxy would dial for us, unchecked; ~/.netrc is not for strangers
            )
        return self._session

    def _socket(self, found: Any) -> socket.socket:
        family, kind, protocol, _, address = found
        if family not in {socket.AF_INET, socket.AF_INET6} or not allowed(address[0], self._open):
            raise _Refused
        return socket.socket(family, kind, protocol)


def _told(error: Exception) -> Exception:
    """What the client says names resolved addresses: it stays in the chain, for the debugger."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _Refused):
        return PictureError(
            "the picture's address leads to a private or reserved network; allow_networks opens those that are meant"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError | ValueError):
        return PictureError("the picture's host is not known")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return PictureError("the picture's host has no valid certificate")
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return _Passing("the picture's host could not be reached, or broke off")
    said = "the picture's server answered what is not HTTP, or not all of it"
    return _Passing(said) if isinstance(error, aiohttp.ClientPayloadError) else PictureError(said)
