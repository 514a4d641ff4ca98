"""Where the page is served, over what, and who may look."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raddle.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "is_loopback"]

_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `raddle ui` was asked for.

    Raises:
        ConfigError: an option cannot work, or others could look without a token
    """

    journals: tuple[Path, ...]
    host: str = "127.0.0.1"
    #: 0: a free one
    port: int = 8765
    #: None: whoever reaches the address may look
    token: str | None = field(default=None, repr=False)
    #: runs may be retried and cancelled
    allow_actions: bool = False
    #: pages that may be open at once
    clients: int = 64
    #: seconds between two looks at a journal, while somebody watches
    poll: float = 0.5
    #: seconds between two signs of life
    ping: float = 15.0
    #: what cookies and forms are proved with; of this process only
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        if not self.journals:
            raise ConfigError("journals=(): name at least one journal")
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise ConfigError(f"--port={self.port}: must be 0 (a free one) to {_HIGHEST_PORT}")
        if self.token is not None and not self.token.isascii():
            raise ConfigError("token: must be ASCII, since it is sent in a header")
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"--host={self.host}: others can reach it, so that it needs a token: "
                "put one into an environment variable and name that with --token-env"
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
