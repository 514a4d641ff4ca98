"""The few primitives that age v1 is made of, and the only door to the library `cryptography`."""

from __future__ import annotations

import hashlib
import hmac

from raddle.errors import MissingExtra

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
except ImportError as error:
    raise MissingExtra("cryptography", "encrypt") from error

if not hasattr(ChaCha20Poly1305, "encrypt_into"):  # older ones allocate every result and hold the interpreter meanwhile
    raise MissingExtra("cryptography 47 or newer", "encrypt")

__all__ = [
    "FILE_KEY",
    "TAG",
    "ChaCha20Poly1305",
    "InvalidTag",
    "X25519PrivateKey",
    "X25519PublicKey",
    "hkdf",
    "mac",
    "scrypt",
    "unwrap",
    "wrap",
]

#: bytes of the key that a header carries
FILE_KEY = 16
#: bytes that the cipher adds
TAG = 16

_ZERO_NONCE = bytes(12)


def hkdf(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA-256 (RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt or None, info=info).derive(key)


def mac(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA-256 (RFC 2104)."""
    return hmac.digest(key, data, hashlib.sha256)


def scrypt(passphrase: bytes, *, salt: bytes, log_n: int) -> bytes:
    """Return 32 bytes of scrypt (RFC 7914) with r = 8 and p = 1; takes 2^log_n KiB of memory."""
    return Scrypt(salt=salt, length=32, n=1 << log_n, r=8, p=1).derive(passphrase)


def wrap(key: bytes, file_key: bytes) -> bytes:
    """Seal a file key with a key that is used this once."""
    return ChaCha20Poly1305(key).encrypt(_ZERO_NONCE, file_key, None)


def unwrap(key: bytes, body: bytes) -> bytes | None:
    """Open a sealed file key; None if the key is another one."""
    try:
        return ChaCha20Poly1305(key).decrypt(_ZERO_NONCE, body, None)
    except InvalidTag:
        return None
