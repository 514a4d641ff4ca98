"""Two encodings of bytes as text, read strictly: unpadded base64 and bech32."""

from __future__ import annotations

import binascii

__all__ = ["base64_decode", "base64_encode", "bech32_decode", "bech32_encode"]

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM = 6


def base64_encode(data: bytes) -> bytes:
    """Return standard base64 without padding (RFC 4648, section 4)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=")


def base64_decode(text: bytes) -> bytes:
    """Read canonical base64 without padding.

    Raises:
        ValueError: it is anything else
    """
    data = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
    if base64_encode(data) != text:
        raise ValueError("not canonical base64")
    return data


def bech32_encode(prefix: str, data: bytes) -> str:
    """Return `prefix`1`data``checksum` in lower case (BIP 173, without its limit of length)."""
    words = _regroup(data, 8, 5, pad=True)
    checksum = _polymod([*_expand(prefix), *words, *[0] * _CHECKSUM]) ^ 1
    words += [checksum >> 5 * (_CHECKSUM - 1 - i) & 31 for i in range(_CHECKSUM)]
    return f"{prefix}1{''.join(_ALPHABET[word] for word in words)}"


def bech32_decode(text: str) -> tuple[str, bytes]:
    """Return prefix, in lower case, and data.

    Raises:
        ValueError: mixed case, foreign characters, wrong checksum or padding; the text is not repeated
    """
    if text not in {text.lower(), text.upper()} or not text.isascii():
        raise ValueError("mixed case, or not ASCII")
    prefix, mark, rest = text.lower().rpartition("1")
    if not mark or not prefix or len(rest) < _CHECKSUM or not all("!" <= letter <= "~" for letter in prefix):
        raise ValueError("prefix or checksum missing")
    words = [_ALPHABET.find(letter) for letter in rest]
    if min(words) < 0 or _polymod([*_expand(prefix), *words]) != 1:
        raise ValueError("wrong checksum: a letter is mistyped or missing")
    return prefix, bytes(_regroup(words[:-_CHECKSUM], 5, 8, pad=False))


def _polymod(words: list[int]) -> int:
    state = 1
    for word in words:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= generator
    return state


def _expand(prefix: str) -> list[int]:
    codes = prefix.encode()
    return [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes)]


def _regroup(words: bytes | list[int], size: int, into: int, *, pad: bool) -> list[int]:
    """Cut a string of bits anew; without `pad`, left-over bits must be fewer than a word, and zero."""
    out = []
    state = bits = 0
    for word in words:
        state = state << size | word
        bits += size
        while bits >= into:
            bits -= into
            out.append(state >> bits)
            state &= (1 << bits) - 1
    if pad and bits:
        out.append(state << into - bits)
    elif not pad and (bits >= size or state):
        raise ValueError("wrong padding")
    return out
