"""One POST over aiohttp, with a bound on what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.errors import MissingExtra
from raddle.workloads.classify.errors import InvalidAnswer, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from aiohttp import ClientSession

    from raddle.workloads.classify.upstream.endpoint import Endpoint

__all__ = ["Reply", "TooLarge", "Wire"]


class TooLarge(InvalidAnswer):
    """The answer is larger than any label."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Connections to all endpoints, of one event loop; opened at the first call.

    Args:
        most: bytes of an answer, after decompression
        connect: seconds for a connection; the rest of the time is for the caller to bound
    """

    def __init__(self, *, most: int, connect: float) -> None:
        self._most, self._connect = most, connect
        self._session: ClientSession | None = None

    async def post(self, endpoint: Endpoint, data: bytes) -> Reply:
        """Post a JSON body.

        Raises:
            TransientError: no connection, or it broke; the message holds no address
            TooLarge: the answer is larger than `most`
            MissingExtra: aiohttp is not installed
        """
        http = _aiohttp()
        if self._session is None:
            self._session = self._open(http)
        headers = {"Content-Type": "application/json"}
        if endpoint.key is not None:
            headers["Authorization"] = f"Bearer {endpoint.key.reveal()}"
        try:
            async with self._session.post(
                endpoint.completions, data=data, headers=headers, allow_redirects=False
            ) as answer:
                chunks, size = [], 0
                async for chunk in answer.content.iter_any():
                    size += len(chunk)
                    if size > self._most:
                        answer.close()
                        raise TooLarge(f"answer larger than max_answer={self._most} bytes")
                    chunks.append(chunk)
                return Reply(answer.status, answer.headers, b"".join(chunks))
        except (http.ClientError, OSError, ValueError) as error:
            # Its text may hold the address and what was resolved: the class is what people need. The cause is left
            # out too, since it is printed with the error. aiohttp says ValueError where a header is beyond its limits.
            if isinstance(error, TimeoutError):
                raise TransientError("no connection in time") from None
            raise TransientError(f"the connection failed ({type(error).__name__})") from None

    def _open(self, http: ModuleType) -> ClientSession:
        session: ClientSession = http.ClientSession(
            # The pool says how many; proxies and .netrc of the environment are not asked, nor are cookies kept.
            connector=http.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=http.DummyCookieJar(),
            timeout=http.ClientTimeout(total=None, sock_connect=self._connect),
            trust_env=False,
        )
        return session

    async def aclose(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _aiohttp() -> ModuleType:
    try:
        import aiohttp
    except ImportError as error:
        raise MissingExtra("aiohttp", "classify") from error
    return aiohttp
