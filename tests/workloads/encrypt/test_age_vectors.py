"""Vectors of others: CCTV for the age format, Wycheproof and RFC 4231 for the primitives. See vectors/README.md."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.errors import ConfigError
from raddle.workloads.encrypt import age
from raddle.workloads.encrypt.age import payload, primitives
from raddle.workloads.encrypt.age.feed import Feed
from raddle.workloads.encrypt.age.header import read_header, write_header
from raddle.workloads.encrypt.age.primitives import (
    ChaCha20Poly1305,
    InvalidTag,
    X25519PrivateKey,
    X25519PublicKey,
    hkdf,
    mac,
)

HYBRID = "AGE-SECRET-KEY-PQ-"
VECTORS = Path(__file__).parent / "vectors"


@dataclass(frozen=True)
class Vector:
    fields: dict[str, list[str]]
    sealed: bytes

    @property
    def expect(self) -> str:
        return self.fields["expect"][0]

    @property
    def hybrid(self) -> bool:
        """Opened, or refused, by a post-quantum identity alone."""
        identities = self.fields.get("identity", [])
        return bool(identities) and all(text.startswith(HYBRID) for text in identities)

    def keys(self) -> age.Keys:
        texts = [text for text in self.fields.get("identity", []) if self.hybrid or not text.startswith(HYBRID)]
        identities = [age.parse_identity(text) for text in texts]
        passphrases = [age.Secret(text.encode()) for text in self.fields.get("passphrase", [])]
        if not identities and not passphrases:
            identities = [age.generate()]
        return age.Keys(identities, passphrases[0] if passphrases else None)


def read_vectors() -> dict[str, Vector]:
    found = {}
    with tarfile.open(VECTORS / "cctv-age.tar.xz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                continue
            head, _, sealed = content.read().partition(b"\n\n")
            fields: dict[str, list[str]] = {}
            for line in head.decode().splitlines():
                key, _, value = line.partition(": ")
                fields.setdefault(key, []).append(value)
            compressed = fields.get("compressed") == ["zlib"]
            found[Path(member.name).name] = Vector(fields, zlib.decompress(sealed) if compressed else sealed)
    return found


CCTV = read_vectors()
WYCHEPROOF = json.loads(lzma.decompress((VECTORS / "wycheproof.json.xz").read_bytes()))

EXPECTED = {
    "no match": (age.WrongKey,),
    "HMAC failure": (age.Damaged,),
    "payload failure": (age.Damaged,),
    "armor failure": (age.Damaged,),
    "header failure": (age.Damaged, age.Unsupported),
}


def test_the_set_is_whole() -> None:
    assert len(CCTV) == 143
    assert sum(vector.hybrid for vector in CCTV.values()) == 18


@pytest.mark.parametrize("name", sorted(CCTV))
def test_cctv(name: str) -> None:
    vector = CCTV[name]
    if vector.hybrid:
        with pytest.raises(ConfigError, match="post-quantum"):
            vector.keys()
        pytest.skip("post-quantum identities are not supported, and refused by name")
    released = io.BytesIO()
    if vector.expect == "success":
        age.open_stream(io.BytesIO(vector.sealed), released, vector.keys())
    else:
        with pytest.raises(EXPECTED[vector.expect]):
            age.open_stream(io.BytesIO(vector.sealed), released, vector.keys())
    if "payload" in vector.fields:  # what was released before the error, too
        assert hashlib.sha256(released.getvalue()).hexdigest() == vector.fields["payload"][0]


PLAIN = [
    name
    for name, vector in CCTV.items()
    if vector.expect == "success" and not vector.hybrid and "armored" not in vector.fields
]


@pytest.mark.parametrize("name", PLAIN)
def test_writing_gives_the_vector_again(name: str) -> None:
    vector = CCTV[name]
    file_key = bytes.fromhex(vector.fields["file key"][0])
    stream = io.BytesIO(vector.sealed)
    feed = Feed(stream)
    header = read_header(feed)
    nonce = bytearray(16)
    feed.into(memoryview(nonce))
    key = hkdf(file_key, salt=bytes(nonce), info=b"payload")
    plain, again = io.BytesIO(), io.BytesIO()
    payload.open_payload(key, feed, plain)
    payload.seal_payload(key, Feed(io.BytesIO(plain.getvalue())), again)
    assert write_header(header.stanzas, file_key) + bytes(nonce) + again.getvalue() == vector.sealed


def test_wycheproof_chacha20_poly1305() -> None:
    assert len(WYCHEPROOF["chacha20-poly1305"]) == 325
    for case in WYCHEPROOF["chacha20-poly1305"]:
        iv, aad, message, text, tag = (bytes.fromhex(case[name]) for name in ("iv", "aad", "msg", "ct", "tag"))
        cipher = ChaCha20Poly1305(bytes.fromhex(case["key"]))
        sealed, opened = bytearray(len(text) + len(tag)), bytearray(len(text))
        if case["result"] == "valid":
            cipher.encrypt_into(iv, message, aad, sealed)
            cipher.decrypt_into(iv, text + tag, aad, opened)
            assert (sealed, opened) == (text + tag, message), case["tcId"]
        else:
            with pytest.raises((InvalidTag, ValueError)):
                cipher.decrypt_into(iv, text + tag, aad, opened)


def test_wycheproof_hkdf_sha256() -> None:
    """Ours gives 32 bytes always; longer and shorter outputs begin alike, by construction of HKDF."""
    valid = [case for case in WYCHEPROOF["hkdf-sha256"] if case["result"] == "valid"]
    assert len(valid) == 83
    for case in valid:
        ikm, salt, info, okm = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info", "okm"))
        ours = hkdf(ikm, salt=salt, info=info)
        assert ours[: case["size"]] == okm[:32], case["tcId"]


def test_wycheproof_x25519() -> None:
    assert len(WYCHEPROOF["x25519"]) == 518
    zero = 0
    for case in WYCHEPROOF["x25519"]:
        public, private, shared = (bytes.fromhex(case[name]) for name in ("public", "private", "shared"))
        ours = X25519PrivateKey.from_private_bytes(private)
        if "ZeroSharedSecret" in case["flags"]:
            zero += 1
            with pytest.raises(ValueError):  # noqa: PT011 (age demands this refusal; its text is the library's)
                ours.exchange(X25519PublicKey.from_public_bytes(public))
        else:
            assert ours.exchange(X25519PublicKey.from_public_bytes(public)) == shared, case["tcId"]
    assert zero > 20


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            (
                b"This is a test using a larger than block-size key and a larger than block-size data. "
                b"The key needs to be hashed before being used by the HMAC algorithm."
            ),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_rfc_4231_hmac_sha256(key: bytes, data: bytes, expected: str) -> None:
    assert mac(key, data).hex() == expected


def test_rfc_7914_scrypt() -> None:
    """The one vector with r = 8 and p = 1."""
    found = primitives.scrypt(b"pleaseletmein", salt=b"SodiumChloride", log_n=14)
    assert found.hex().startswith("7023bdcb3afd7348461c06cd81fd38eb")
