"""The header of age v1: text, with one stanza per recipient, and a MAC over all of it.

Source: c2sp.org/age, "Header". Read strictly: what the grammar does not allow is damage.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.workloads.encrypt.age import primitives, text
from raddle.workloads.encrypt.age.errors import Damaged, Unsupported

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.age.feed import Feed

__all__ = ["MAX_HEADER", "MAX_STANZAS", "VERSION", "Header", "Stanza", "read_header", "write_header"]

VERSION = b"age-encryption.org/v1"

#: bytes of a header; a stanza for a post-quantum key takes 1.6 kB, one for X25519 takes 0.1 kB
MAX_HEADER = 1 << 20
#: each costs a key agreement per identity before anything is authenticated; the format itself sets no bound
MAX_STANZAS = 1024

_COLUMNS = 64
_MAC_LINE = len("--- ") + 43


@dataclass(frozen=True, slots=True)
class Stanza:
    """The file key, sealed for one recipient."""

    args: tuple[bytes, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A header that was read: not authentic before `verify` says so."""

    stanzas: tuple[Stanza, ...]
    covered: bytes
    mac: bytes

    def verify(self, file_key: bytes) -> None:
        """Raise Damaged if the header is not the one that was written with this file key."""
        if not hmac.compare_digest(_mac(file_key, self.covered), self.mac):
            raise Damaged


def write_header(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """Return the header's bytes, line feed at the end included."""
    covered = b"".join([VERSION, b"\n", *map(_stanza_text, stanzas), b"---"])
    return covered + b" " + text.base64_encode(_mac(file_key, covered)) + b"\n"


def read_header(feed: Feed) -> Header:
    """Take the header from the feed and leave it at the payload's first byte.

    Raises:
        Damaged: it does not follow the grammar
        Unsupported: another version of age, or more than MAX_HEADER bytes or MAX_STANZAS stanzas
    """
    lines = _Lines(feed)
    version = lines.next()
    if version != VERSION:
        raise Unsupported("another version of age: raddle reads v1") if _other_version(version) else Damaged
    stanzas: list[Stanza] = []
    while (line := lines.next()).startswith(b"-> "):
        if len(stanzas) == MAX_STANZAS:
            raise Unsupported(f"more than {MAX_STANZAS} stanzas in the header")
        stanzas.append(Stanza(_arguments(line), _body(lines)))
    if not stanzas or not line.startswith(b"--- ") or len(line) != _MAC_LINE:
        raise Damaged
    covered = b"\n".join([*lines.taken[:-1], b"---"])
    return Header(tuple(stanzas), covered, _decode(line[4:]))


class _Lines:
    """Lines of the header, within its bound."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._left = MAX_HEADER
        self.taken: list[bytes] = []

    def next(self) -> bytes:
        line = self._feed.line(self._left)
        if line is None:
            if len(self._feed.peek(self._left)) == self._left and self.taken:
                raise Unsupported(f"the header is longer than {MAX_HEADER} bytes")
            raise Damaged
        self._left -= len(line) + 1
        self.taken.append(line)
        return line


def _arguments(line: bytes) -> tuple[bytes, ...]:
    arguments = tuple(line[3:].split(b" "))
    if not all(argument and all(0x21 <= code <= 0x7E for code in argument) for argument in arguments):  # noqa: PLR2004 (VCHAR)
        raise Damaged
    return arguments


def _body(lines: _Lines) -> bytes:
    parts: list[bytes] = []
    while not parts or len(parts[-1]) == _COLUMNS:
        parts.append(lines.next())
        if len(parts[-1]) > _COLUMNS:
            raise Damaged
    return _decode(b"".join(parts))


def _decode(line: bytes) -> bytes:
    try:
        return text.base64_decode(line)
    except ValueError as error:
        raise Damaged from error


def _other_version(line: bytes) -> bool:
    return line.startswith(VERSION[:-2]) and line[len(VERSION) - 2 :].isalnum()


def _stanza_text(stanza: Stanza) -> bytes:
    body = text.base64_encode(stanza.body)
    cut = [body[at : at + _COLUMNS] for at in range(0, len(body) + 1, _COLUMNS)]  # the last one is short, if empty
    return b"\n".join([b"-> " + b" ".join(stanza.args), *cut, b""])


def _mac(file_key: bytes, covered: bytes) -> bytes:
    return primitives.mac(primitives.hkdf(file_key, salt=b"", info=b"header"), covered)
