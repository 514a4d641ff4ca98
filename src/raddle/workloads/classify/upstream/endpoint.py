"""Where labels are asked for: an address, a model, a key, and what they allow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from raddle.errors import ConfigError

__all__ = ["Endpoint", "Key"]


class Key:
    """An API key that shows itself only to `reveal()`: not in a repr, a log, a pickle or a traceback."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable():
            raise ConfigError("key: is empty, or has characters that no HTTP header may have; look how it was copied")
        self._text = text

    def reveal(self) -> str:
        """Return the key itself."""
        return self._text

    def __repr__(self) -> str:
        return "Key(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a key does not travel: make the endpoint where it is used")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One key of one service; several keys of one address are several endpoints.

    Args:
        url: up to and with the version, such as "https://host/v1"; "/chat/completions" is added
        model: as the service calls it
        key: sent as `Authorization: Bearer`; None where none is needed
        requests_per_minute: what the key allows; None: whatever the service is seen to allow
        tokens_per_minute: the same for tokens, in and out together
        max_in_flight: calls at once, at most; how many it really are follows what the service bears
    """

    url: str
    model: str
    key: Key | None = field(default=None, repr=False)
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_in_flight: int = 64

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: naming the value; never the key
        """
        parts = urlsplit(self.url)
        if parts.username is not None or parts.password is not None:
            raise ConfigError("url: has a user or a password in it; the key is given apart from it")
        if parts.query or parts.fragment:
            raise ConfigError("url: ends at the version, such as https://host/v1; no ?query and no #fragment")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"url={self.url!r}: must be http:// or https:// and a host, such as https://host/v1")
        if not self.model:
            raise ConfigError("model='': name the model as the service calls it")
        if self.key is not None and not isinstance(self.key, Key):
            raise ConfigError("key: must be a Key, which hides itself; write key=Key(...)")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name}={value}: must be more than 0, or None for no limit")
        if self.max_in_flight < 1:
            raise ConfigError(f"max_in_flight={self.max_in_flight}: must be at least 1")

    @property
    def completions(self) -> str:
        """Where calls are posted."""
        return self.url.rstrip("/") + "/chat/completions"
