"""The payload of age v1: STREAM over chunks of 64 KiB with ChaCha20-Poly1305.

Source: c2sp.org/age, "Payload". A chunk's nonce is its number, 11 bytes, and a byte that is 1 for the last chunk, so
that cutting, dropping, doubling, swapping and appending all show. Memory is two buffers, whatever the file's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raddle.workloads.encrypt.age.errors import Damaged
from raddle.workloads.encrypt.age.feed import write_all
from raddle.workloads.encrypt.age.primitives import TAG, ChaCha20Poly1305, InvalidTag

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.encrypt.age.feed import Feed, Writer

    Cipher = Callable[[bytes, memoryview, None, memoryview], int]
    Progress = Callable[[int], object]

__all__ = ["CHUNK", "open_payload", "seal_payload"]

#: plain bytes of a chunk
CHUNK = 65536

#: chunks that one read and one write move: system calls stop to matter, and both buffers stay in a core's cache
_GROUP = 16


def seal_payload(
    key: bytes, feed: Feed, writer: Writer, *, hint: int | None = None, progress: Progress | None = None
) -> int:
    """Seal all that the feed holds.

    Args:
        key: 32 bytes, for this payload alone
        feed: plain bytes
        writer: takes the sealed bytes
        hint: bytes to expect, so that a small file costs small buffers
        progress: called with the plain bytes done so far, after each group of chunks

    Returns:
        how many plain bytes there were
    """
    run = _Run(ChaCha20Poly1305(key).encrypt_into, CHUNK, TAG)
    return _pump(run, feed, writer, hint, progress)


def open_payload(
    key: bytes, feed: Feed, writer: Writer, *, hint: int | None = None, progress: Progress | None = None
) -> int:
    """Open what `seal_payload` wrote; only chunks that are verified reach the writer. Returns the plain bytes.

    Raises:
        Damaged: a chunk differs, is missing, doubled or out of place, or something follows the last
    """
    run = _Run(ChaCha20Poly1305(key).decrypt_into, CHUNK + TAG, -TAG)
    return _pump(run, feed, writer, hint, progress)


@dataclass(slots=True)
class _Run:
    """One payload on its way through the cipher."""

    cipher: Cipher
    size: int
    """bytes of a whole chunk on the way in"""
    grows: int
    """by how much it is longer on the way out"""
    number: int = 0
    plain: int = 0

    def group(self, source: memoryview, target: memoryview, writer: Writer, *, last: bool) -> None:
        """Pass whole chunks through; with `last`, the last of them is the file's last and may be short."""
        done = at = 0
        try:
            while at < len(source) or (last and not self.number):
                chunk = source[at : at + self.size]
                at += len(chunk)
                out = len(chunk) + self.grows
                if out < 0 or (out == 0 and self.number):  # an empty last chunk would be a second way to say the same
                    raise Damaged
                whole = self._chunk(chunk, target[done : done + out], last=last and at == len(source))
                done += out
                if not whole:
                    raise Damaged
                self.plain += min(len(chunk), out)
                self.number += 1
        except InvalidTag as error:
            raise Damaged from error
        finally:
            write_all(writer, target[:done])  # what was verified before the damage may go to a pipe

    def _chunk(self, chunk: memoryview, room: memoryview, *, last: bool) -> bool:
        """Pass one chunk through; False if it is true and in its place, but last where it must not be or not last."""
        place = self.number.to_bytes(11, "big")
        try:
            self.cipher(place + bytes([last]), chunk, None, room)
        except InvalidTag:
            if len(chunk) < self.size:
                raise
            # as the reference does: a reader without foresight has released this chunk when it meets the damage
            self.cipher(place + bytes([not last]), chunk, None, room)
            return False
        return True


def _pump(run: _Run, feed: Feed, writer: Writer, hint: int | None, progress: Progress | None) -> int:
    """Move groups of chunks; one chunk is kept back until it is known whether another follows."""
    # writing in a thread beside the cipher was measured: 0.9 times the speed, the blocks change caches
    group = _GROUP if hint is None else max(1, min(_GROUP, -(-hint // run.size)))
    source = memoryview(bytearray((group + 1) * run.size))
    target = memoryview(bytearray((group + 1) * (run.size + run.grows)))
    held, last = 0, False
    while not last:
        held += feed.into(source[held:])
        last = held < len(source)
        ready = held if last else held - run.size
        run.group(source[:ready], target, writer, last=last)
        if progress is not None:
            progress(run.plain)
        source[: held - ready] = source[ready:held]
        held -= ready
    return run.plain
