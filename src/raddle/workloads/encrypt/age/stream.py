"""One age v1 file from one stream to another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age import passphrase as by_passphrase
from raddle.workloads.encrypt.age import primitives, x25519
from raddle.workloads.encrypt.age.armor import ArmorReader, ArmorWriter, armored
from raddle.workloads.encrypt.age.errors import Damaged, WrongKey
from raddle.workloads.encrypt.age.feed import Feed, write_all
from raddle.workloads.encrypt.age.header import MAX_STANZAS, Header, Stanza, read_header, write_header
from raddle.workloads.encrypt.age.payload import open_payload, seal_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.age.feed import Reader, Writer
    from raddle.workloads.encrypt.age.payload import Progress
    from raddle.workloads.encrypt.age.secret import Secret

__all__ = ["Keys", "Lock", "open_stream", "seal_stream"]

_NONCE = 16


@dataclass(frozen=True, slots=True)
class Lock:
    """To whom a file is sealed: to recipients, or with one passphrase; the format allows no mixture.

    Raises:
        ConfigError: both, neither, or more recipients than raddle would open
    """

    recipients: Sequence[x25519.X25519Recipient] = ()
    passphrase: Secret | None = None
    work_factor: int = by_passphrase.WORK_FACTOR

    def __post_init__(self) -> None:
        if bool(self.recipients) == (self.passphrase is not None):
            raise ConfigError("seal to recipients or with a passphrase: give exactly one of the two")
        if len(self.recipients) > MAX_STANZAS:
            raise ConfigError(f"recipients={len(self.recipients)}: at most {MAX_STANZAS}")

    def wrap(self, file_key: bytes) -> list[Stanza]:
        """Seal a file key."""
        if self.passphrase is not None:
            return [by_passphrase.wrap(self.passphrase, file_key, work_factor=self.work_factor)]
        return [recipient.wrap(file_key) for recipient in self.recipients]


@dataclass(frozen=True, slots=True)
class Keys:
    """What to try on a sealed file: any number of identities, and a passphrase."""

    identities: Sequence[x25519.X25519Identity] = ()
    passphrase: Secret | None = None
    max_work_factor: int = by_passphrase.MAX_WORK_FACTOR

    def __post_init__(self) -> None:
        if not self.identities and self.passphrase is None:
            raise ConfigError("opening takes an identity or a passphrase: give one")

    def unwrap(self, header: Header) -> bytes:
        """Return the file key of a header that it then proves authentic.

        Raises:
            WrongKey: no key fits
            Damaged: a stanza is not well formed, or the header's MAC is not right
            Unsupported: the passphrase's cost is above the limit
        """
        _check(header.stanzas)
        file_key = x25519.unwrap(header.stanzas, self.identities)
        if file_key is None and self.passphrase is not None:
            file_key = by_passphrase.unwrap(header.stanzas, self.passphrase, max_work_factor=self.max_work_factor)
        if file_key is None:
            raise WrongKey(f"no key that was given opens this file; it is sealed {_asks(header.stanzas)}")
        header.verify(file_key)
        return file_key


def seal_stream(
    reader: Reader,
    writer: Writer,
    lock: Lock,
    *,
    armor: bool = False,
    hint: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write all that the reader holds as one age v1 file; returns the plain bytes.

    Args:
        reader: read to its end; pipes and standard input too
        writer: takes a header, then blocks of about 1 MiB
        lock: to whom
        armor: as ASCII text
        hint: plain bytes to expect, if known: small files then take small buffers
        progress: called with the plain bytes done so far, about every MiB
    """
    file_key = os.urandom(primitives.FILE_KEY)
    nonce = os.urandom(_NONCE)
    head = write_header(lock.wrap(file_key), file_key) + nonce
    text = ArmorWriter(writer) if armor else None
    out = writer if text is None else text
    write_all(out, head)
    plain = seal_payload(_payload_key(file_key, nonce), Feed(reader), out, hint=hint, progress=progress)
    if text is not None:
        text.finish()
    return plain


def open_stream(
    reader: Reader, writer: Writer, keys: Keys, *, hint: int | None = None, progress: Progress | None = None
) -> int:
    """Write what an age v1 file, binary or armored, holds; returns the plain bytes.

    The writer gets only verified bytes, but it gets them before the file's end is seen: on an error, what it got is
    a true beginning of the plain text and must not be taken for the whole.

    Raises:
        SealError: WrongKey, Damaged or Unsupported
    """
    feed = Feed(reader)
    if armored(feed):
        feed = Feed(ArmorReader(feed))
    file_key = keys.unwrap(read_header(feed))
    nonce = bytearray(_NONCE)
    if feed.into(memoryview(nonce)) < _NONCE:
        raise Damaged
    return open_payload(_payload_key(file_key, bytes(nonce)), feed, writer, hint=hint, progress=progress)


def _payload_key(file_key: bytes, nonce: bytes) -> bytes:
    return primitives.hkdf(file_key, salt=nonce, info=b"payload")


def _check(stanzas: Sequence[Stanza]) -> None:
    for stanza in stanzas:
        if stanza.args[0] == x25519.TYPE:
            x25519.check(stanza)
        elif stanza.args[0] == by_passphrase.TYPE:
            by_passphrase.check(stanza, alone=len(stanzas) == 1)


def _asks(stanzas: Sequence[Stanza]) -> str:
    kinds = {stanza.args[0] for stanza in stanzas}
    if by_passphrase.TYPE in kinds:
        return "with a passphrase"
    if x25519.TYPE in kinds:
        return "to recipients: it takes an identity file of one of them"
    return "in a way that raddle does not know (post-quantum, plug-in or SSH keys)"
