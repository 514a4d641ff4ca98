"""Identity files and recipient files: one key per line, comments with #, as `age` and `age-keygen` have them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypeVar

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age.stream import Keys, open_stream
from raddle.workloads.encrypt.age.x25519 import X25519Identity, X25519Recipient, parse_identity, parse_recipient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from raddle.workloads.encrypt.age.secret import Secret

_Key = TypeVar("_Key")

__all__ = ["identity_text", "parse_identities", "parse_recipients", "sealed"]

_MARKS = (b"age-encryption.org/", b"-----BEGIN AGE ENCRYPTED FILE-----")


def sealed(data: bytes) -> bool:
    """Whether the bytes of an identity file are themselves an age file, so that it takes a passphrase to read."""
    return data.lstrip(b" \t\r\n").startswith(_MARKS)


def identity_text(identity: X25519Identity, *, created: str | None = None) -> bytes:
    """Return an identity file; the creation time is left out unless given, as text."""
    lines = [f"# created: {created}"] if created else []
    if not all(line.isprintable() for line in lines):
        raise ConfigError(f"created={created!r} must be one line")
    lines.append(f"# public key: {identity.recipient}")
    return b"\n".join([*(line.encode() for line in lines), identity.reveal().reveal(), b""])


def parse_identities(
    data: bytes, *, passphrase: Secret | None = None, name: str = "identity file"
) -> list[X25519Identity]:
    """Read an identity file, one that is sealed with a passphrase too.

    Raises:
        ConfigError: no identity, or a line that is none; the message has the line's number, never its text
        SealError: it is sealed, and not with this passphrase, or damaged
    """
    if sealed(data):
        if passphrase is None:
            raise ConfigError(f"{name} is sealed with a passphrase: give the passphrase too")
        plain = io.BytesIO()
        open_stream(io.BytesIO(data), plain, Keys(passphrase=passphrase))
        data = plain.getvalue()
    return _parse(data, parse_identity, name, "AGE-SECRET-KEY-1...")


def parse_recipients(data: bytes, *, name: str = "recipients file") -> list[X25519Recipient]:
    """Read a file of recipients.

    Raises:
        ConfigError: no recipient, or a line that is none
    """
    return _parse(data, parse_recipient, name, "age1...")


def _parse(data: bytes, parse: Callable[[str], _Key], name: str, form: str) -> list[_Key]:
    keys = []
    for number, line in _lines(data):
        try:
            keys.append(parse(line))
        except ConfigError as error:
            raise ConfigError(f"{name}, line {number}: {error}") from None
    if not keys:
        raise ConfigError(f"{name} has no line that reads {form}")
    return keys


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        content = line.removesuffix(b"\r")
        if content and not content.startswith(b"#"):
            yield number, content.decode("ascii", "replace")
