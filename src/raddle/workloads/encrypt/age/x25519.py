"""Recipients and identities of X25519: `age1...` to seal to, `AGE-SECRET-KEY-1...` to open with.

Source: c2sp.org/age, "The X25519 recipient type".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age import primitives, text
from raddle.workloads.encrypt.age.errors import Damaged
from raddle.workloads.encrypt.age.header import Stanza
from raddle.workloads.encrypt.age.primitives import X25519PrivateKey, X25519PublicKey
from raddle.workloads.encrypt.age.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["X25519Identity", "X25519Recipient", "check", "generate", "parse_identity", "parse_recipient", "unwrap"]

TYPE = b"X25519"
_INFO = b"age-encryption.org/v1/X25519"
_KEY = 32
_RECIPIENT = "age"
_IDENTITY = "age-secret-key-"


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """A public key; `str()` gives its text, `age1...`."""

    public: bytes

    def __str__(self) -> str:
        return text.bech32_encode(_RECIPIENT, self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        """Seal a file key with a key pair that exists for this stanza alone.

        Raises:
            ConfigError: no private key can belong to this public key
        """
        ephemeral = X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.public))
        except ValueError as error:
            raise ConfigError(f"recipient={self} is no usable public key: make one with keygen") from error
        key = primitives.hkdf(shared, salt=share + self.public, info=_INFO)
        return Stanza((TYPE, text.base64_encode(share)), primitives.wrap(key, file_key))


class X25519Identity:
    """A private key; only its public half is ever shown. `reveal()` gives its text, `AGE-SECRET-KEY-1...`."""

    __slots__ = ("_key", "_secret", "recipient")

    def __init__(self, secret: Secret) -> None:
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret.reveal())
        self.recipient = X25519Recipient(self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"X25519Identity(recipient={self.recipient})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, X25519Identity) and self._secret == other._secret

    def __hash__(self) -> int:
        return hash(self.recipient)

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is not pickled: hand it to workers with raddle.workloads.encrypt.lending.lend()")

    def reveal(self) -> Secret:
        """Return the text of the identity, as identity files have it."""
        return Secret(text.bech32_encode(_IDENTITY, self._secret.reveal()).upper().encode())

    def key(self) -> Secret:
        """Return the 32 bytes, for `lending`."""
        return self._secret

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Open a stanza that `check` has passed; None if it is sealed to somebody else.

        Raises:
            Damaged: its share is one that makes every shared secret zero
        """
        share = text.base64_decode(stanza.args[1])
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(share))
        except ValueError as error:
            raise Damaged from error
        return primitives.unwrap(primitives.hkdf(shared, salt=share + self.recipient.public, info=_INFO), stanza.body)


def generate() -> X25519Identity:
    """Return a new identity from the system's source of chance."""
    return X25519Identity(Secret(X25519PrivateKey.generate().private_bytes_raw()))


def unwrap(stanzas: Sequence[Stanza], identities: Sequence[X25519Identity]) -> bytes | None:
    """Return the first file key that one of the identities opens."""
    mine = [stanza for stanza in stanzas if stanza.args[0] == TYPE]
    found = (identity.unwrap(stanza) for identity in identities for stanza in mine)
    return next((file_key for file_key in found if file_key is not None), None)


def check(stanza: Stanza) -> None:
    """Raise Damaged for an X25519 stanza that is not well formed, before any key is tried on it."""
    if len(stanza.args) != 2 or len(stanza.body) != primitives.FILE_KEY + primitives.TAG:  # noqa: PLR2004 (type and share)
        raise Damaged
    try:
        share = text.base64_decode(stanza.args[1])
    except ValueError as error:
        raise Damaged from error
    if len(share) != _KEY:
        raise Damaged


def parse_recipient(line: str) -> X25519Recipient:
    """Read `age1...`.

    Raises:
        ConfigError: it is mistyped, or of a kind that raddle does not support
    """
    shown = repr(line[:80]) if line.startswith("age1") else "(not shown)"  # an identity is easily given in its place
    try:
        prefix, public = text.bech32_decode(line)
    except ValueError as error:
        raise ConfigError(f"recipient={shown} is not an age recipient, age1 and 58 letters: {error}") from None
    if prefix != _RECIPIENT or line != line.lower() or len(public) != _KEY:
        raise ConfigError(
            f"recipient={shown} is not an X25519 recipient, age1 and 58 letters; "
            "post-quantum, plug-in and SSH recipients are not supported"
        )
    return X25519Recipient(public)


def parse_identity(line: str) -> X25519Identity:
    """Read `AGE-SECRET-KEY-1...`; messages never repeat it.

    Raises:
        ConfigError: it is mistyped, or of a kind that raddle does not support
    """
    try:
        prefix, secret = text.bech32_decode(line)
    except ValueError:
        # not chained: what was read must not reach a log through the cause
        raise ConfigError("an identity is mistyped or cut: it reads AGE-SECRET-KEY-1 and 58 letters") from None
    if prefix != _IDENTITY or line != line.upper() or len(secret) != _KEY:
        raise ConfigError(
            "an identity is not of X25519, AGE-SECRET-KEY-1 and 58 letters; "
            "post-quantum, plug-in and SSH identities are not supported"
        )
    return X25519Identity(Secret(secret))
