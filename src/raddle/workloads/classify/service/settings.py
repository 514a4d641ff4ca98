"""What the service may do and how much of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from raddle.errors import ConfigError

__all__ = ["ServiceSettings", "is_loopback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Options of the service.

    Raises:
        ConfigError: a number out of range, or an address that others can reach without a token
    """

    #: folder of the jobs: inputs and outcomes in one SQLite file, which one server at a time may use
    jobs: Path = Path("classify-jobs")
    host: str = "127.0.0.1"
    port: int = 8000
    #: what a client has to send as `Authorization: Bearer ...`; None: anybody who reaches the loopback address
    token: str | None = field(default=None, repr=False)
    #: web pages of which origins may call the service, such as "https://shop.example"
    cors_origins: tuple[str, ...] = ()
    #: most items of one job
    max_items: int = 10_000
    #: most bytes of one request's body
    max_body: int = 32 * 2**20
    #: most jobs that are not finished
    max_jobs: int = 64
    #: most event streams open at once, those of /classify-category included
    max_streams: int = 4096
    #: items in flight at once, over all jobs
    workers: int = 64
    #: seconds for one item; None: as long as the provider takes
    timeout: float | None = 120.0
    #: items in one `data:` line of /classify-category
    text_batch_size: int = 10
    image_batch_size: int = 5
    #: seconds after which a stream without news says that it is alive
    ping: float = 15.0
    #: days after which a finished job is forgotten
    keep_days: float = 7.0
    #: what GET /health says of a key for an endpoint
    openai_configured: bool = False
    #: what GET / lists; empty: the default taxonomy's
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in (
            "max_items",
            "max_body",
            "max_jobs",
            "max_streams",
            "workers",
            "text_batch_size",
            "image_batch_size",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: give 1 or more")
        for name in ("timeout", "ping", "keep_days"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}={value}: give more than 0")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and self.token.strip()):
            raise ConfigError("token=***: give printable ASCII characters, at least one")
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(f"host={self.host!r}: others can reach it; give a token, or host=127.0.0.1")

    def batch_size(self, mode: str) -> int:
        """Return how many items one `data:` line of /classify-category has."""
        return self.image_batch_size if mode == "image" else self.text_batch_size


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
