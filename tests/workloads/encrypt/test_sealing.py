"""File to file: whole or not at all, never over another file, in little memory."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.errors import ConfigError
from raddle.workloads.encrypt import age, staging
from raddle.workloads.encrypt.sealing import open_bytes, open_file, seal_bytes, seal_file
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CHUNK = 65536
SEALED_CHUNK = CHUNK + 16
ME = age.generate()
LOCK = age.Lock([ME.recipient])
KEYS = age.Keys([ME])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refuses(folder: Path, sealed: bytes, keys: age.Keys = KEYS) -> bool:
    """Whether opening raises one of our errors and leaves nothing but the sealed file."""
    source = folder / "sealed.age"
    source.write_bytes(sealed)
    try:
        open_file(source, folder / "plain", keys, durable=False)
    except age.SealError:
        return names(folder) == {"sealed.age"}
    return False


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def places(size: int, count: int) -> list[int]:
    """The first and last 20, and random ones between: always the same."""
    edge = [*range(20), *range(size - 20, size)]
    return sorted({*edge, *random.Random(5).sample(range(size), count - len(edge))})


# ------------------------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 40 * CHUNK + 5])
def test_there_and_back(tmp_path: Path, size: int, armor: bool, nameless: bool) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(size))
    if nameless:
        assert seal_file(source, tmp_path / "s.age", LOCK, armor=armor) == size
        assert open_file(tmp_path / "s.age", tmp_path / "back", KEYS) == size
    else:
        with source.open("rb") as reader, staged(tmp_path / "s.age", nameless=False) as file:
            seal_file(reader, file, LOCK, armor=armor)
        with (tmp_path / "s.age").open("rb") as reader, staged(tmp_path / "back", nameless=False) as file:
            open_file(reader, file, KEYS)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert names(tmp_path) == {"source", "s.age", "back"}
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o600


def test_a_passphrase_there_and_back(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"in the open")
    passphrase = age.Secret("Füße im Regen, überall".encode())
    seal_file(tmp_path / "source", tmp_path / "s.age", age.Lock(passphrase=passphrase, work_factor=11))
    open_file(tmp_path / "s.age", tmp_path / "back", age.Keys(passphrase=passphrase))
    assert (tmp_path / "back").read_bytes() == b"in the open"


def test_through_pipes() -> None:
    data = os.urandom(500_000)
    sealed = seal_bytes(data, LOCK)
    readable, writable = os.pipe()
    opened = io.BytesIO()

    def feed() -> None:
        with os.fdopen(writable, "wb", buffering=0) as pipe:
            seal_file(io.BytesIO(data), pipe, LOCK)

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(readable, "rb", buffering=0) as pipe:
        assert open_file(pipe, opened, KEYS) == len(data)
    thread.join()
    assert opened.getvalue() == data
    assert len(sealed) > len(data)


@pytest.mark.parametrize("armor", [False, True])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, armor: bool) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(32 << 20)
    tracemalloc.start()
    try:
        seal_file(source, tmp_path / "s.age", LOCK, armor=armor, durable=False)
        open_file(tmp_path / "s.age", tmp_path / "back", KEYS, durable=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20


def test_progress_rises_to_the_size(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(5 << 20))
    seen: list[int] = []
    seal_file(tmp_path / "source", tmp_path / "s.age", LOCK, progress=seen.append)
    assert seen == sorted(set(seen))
    assert len(seen) >= 5
    assert seen[-1] == 5 << 20


# ------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("armor", [False, True])
def test_every_truncation_is_seen(tmp_path: Path, armor: bool) -> None:
    sealed = seal_bytes(os.urandom(3000), LOCK, armor=armor).rstrip(b"\n" if armor else b"")
    assert all(refuses(tmp_path, sealed[:size]) for size in places(len(sealed), 200))


@pytest.mark.parametrize("armor", [False, True])
def test_every_flipped_bit_is_seen(tmp_path: Path, armor: bool) -> None:
    sealed = seal_bytes(os.urandom(3000), LOCK, armor=armor)
    assert all(refuses(tmp_path, flipped(sealed, bit)) for bit in places(8 * len(sealed), 200))


def test_flipped_bits_of_a_header_are_seen(tmp_path: Path) -> None:
    lock = age.Lock([age.generate().recipient, ME.recipient])
    sealed = seal_bytes(b"", lock)
    bits = range(0, 8 * (sealed.index(b"\n---") + 49), 3)
    kept = [bit for bit in bits if not refuses(tmp_path, flipped(sealed, bit))]
    assert kept == []


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_thousand_of_each_on_many_chunks(tmp_path: Path) -> None:
    sealed = seal_bytes(os.urandom(20 * CHUNK + 100), LOCK)
    assert all(refuses(tmp_path, sealed[:size]) for size in places(len(sealed), 1000))
    assert all(refuses(tmp_path, flipped(sealed, bit)) for bit in places(8 * len(sealed), 1000))


def parts(chunks: int, last: int = 100) -> tuple[bytes, list[bytes]]:
    """Return header with nonce, and the sealed chunks."""
    sealed = seal_bytes(os.urandom((chunks - 1) * CHUNK + last), LOCK)
    start = len(sealed) - (chunks - 1) * SEALED_CHUNK - last - 16
    return sealed[:start], [sealed[at : at + SEALED_CHUNK] for at in range(start, len(sealed), SEALED_CHUNK)]


@pytest.mark.parametrize("last", [100, CHUNK])
@pytest.mark.parametrize(
    "change",
    [
        lambda chunks: [chunks[1], chunks[0], *chunks[2:]],
        lambda chunks: [chunks[0], chunks[0], *chunks[1:]],
        lambda chunks: [*chunks[:1], *chunks[2:]],
        lambda chunks: chunks[:-1],
        lambda chunks: [*chunks, chunks[-1]],
        lambda chunks: [*chunks, b"\0"],
        lambda chunks: [*chunks, bytes(SEALED_CHUNK)],
        lambda chunks: [*chunks, bytes(16)],
        lambda chunks: chunks[-1:],
        lambda chunks: [],
    ],
)
def test_chunks_cannot_be_moved(tmp_path: Path, last: int, change: Callable[[list[bytes]], Iterable[bytes]]) -> None:
    head, chunks = parts(4, last)
    assert open_bytes(head + b"".join(chunks), KEYS)
    assert refuses(tmp_path, head + b"".join(change(chunks)))


def test_chunks_of_another_file_do_not_fit(tmp_path: Path) -> None:
    (head, chunks), (_, others) = parts(3), parts(3)
    assert refuses(tmp_path, head + b"".join([chunks[0], others[1], chunks[2]]))


def test_wrong_keys_leave_nothing(tmp_path: Path) -> None:
    by_passphrase = age.Lock(passphrase=age.Secret(b"one thing"), work_factor=10)
    assert refuses(tmp_path, seal_bytes(b"x", LOCK), age.Keys([age.generate()]))
    assert refuses(tmp_path, seal_bytes(b"x", by_passphrase), age.Keys(passphrase=age.Secret(b"another")))


def test_a_pipe_gets_a_true_beginning_at_most(tmp_path: Path) -> None:
    data = os.urandom(4 * CHUNK)
    sealed = seal_bytes(data, LOCK)
    out = io.BytesIO()
    with pytest.raises(age.Damaged):
        age.open_stream(io.BytesIO(sealed[:-1]), out, KEYS)
    assert data.startswith(out.getvalue())
    assert len(out.getvalue()) < len(data)


# ------------------------------------------------------------------------------------ whole or not at all


def write(target: Path, *, nameless: bool, then: Callable[[], object] = bool) -> None:
    with staged(target, nameless=nameless) as file:
        file.write(b"late")
        then()


@pytest.mark.parametrize("nameless", [True, False])
def test_an_output_is_never_overwritten(tmp_path: Path, nameless: bool) -> None:
    target = tmp_path / "target"
    with pytest.raises(age.TargetExists, match="never overwritten"):
        write(target, nameless=nameless, then=lambda: target.write_bytes(b"early"))
    assert target.read_bytes() == b"early"
    with pytest.raises(FileExistsError):
        write(target, nameless=nameless, then=lambda: pytest.fail("known before any work"))
    assert names(tmp_path) == {"target"}


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(age.TargetExists):
        write(tmp_path / "target", nameless=True, then=lambda: pytest.fail("known before any work"))
    assert names(tmp_path) == {"target"}


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("nameless", [True, False])
def test_an_error_leaves_nothing(tmp_path: Path, nameless: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "target", nameless=nameless, then=interrupt)
    assert names(tmp_path) == set()


def test_a_temporary_is_private(tmp_path: Path) -> None:
    with staged(tmp_path / "target", nameless=False, mode=0o644) as file:
        file.write(b"x")
        (temporary,) = tmp_path.iterdir()
        assert temporary.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o644


def test_the_way_without_links_does_not_overwrite_either(tmp_path: Path) -> None:
    """As on FAT, which this machine may not have: renameat2 with RENAME_NOREPLACE."""
    (tmp_path / "new").write_bytes(b"new")
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        staging._rename("new", tmp_path / "target", folder)
        (tmp_path / "newer").write_bytes(b"newer")
        with pytest.raises(age.TargetExists):
            staging._rename("newer", tmp_path / "target", folder)
    finally:
        os.close(folder)
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_raising_progress_stops_the_work(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(3 << 20))

    def stop(done: int) -> None:
        raise TimeoutError(str(done))

    with pytest.raises(TimeoutError):
        seal_file(tmp_path / "source", tmp_path / "s.age", LOCK, progress=stop)
    assert names(tmp_path) == {"source"}


def test_a_source_that_changes_is_not_sealed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 << 20))

    def grow(done: int) -> None:
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(age.SourceChanged, match="seal it again"):
        seal_file(source, tmp_path / "s.age", LOCK, progress=grow)
    assert names(tmp_path) == {"source"}


@pytest.mark.parametrize("call", [partial(seal_file, lock=LOCK), partial(open_file, keys=KEYS)])
def test_sources_and_folders_that_are_missing(tmp_path: Path, call: Callable[..., int]) -> None:
    with pytest.raises(OSError, match="absent"):
        call(tmp_path / "absent", tmp_path / "target")
    with pytest.raises(IsADirectoryError):
        call(tmp_path, tmp_path / "target")
    (tmp_path / "source").touch()
    with pytest.raises(ConfigError, match="make it first"):
        call(tmp_path / "source", tmp_path / "absent" / "target")
    assert names(tmp_path) == {"source"}


#: seals or opens, and stops in the middle until it is killed
VICTIM = """
import sys
from raddle.workloads.encrypt import age, staging
from raddle.workloads.encrypt.sealing import open_file, seal_file
from raddle.workloads.encrypt.staging import staged

def wait(done):
    print(done, flush=True)
    sys.stdin.read()

what, source, target, key = sys.argv[1:]
identity = age.parse_identity(key)
if what == "seal":
    seal_file(source, target, age.Lock([identity.recipient]), progress=wait)
elif what == "open":
    open_file(source, target, age.Keys([identity]), progress=wait)
else:
    with staged(target, nameless=False) as file, open(source, "rb") as reader:
        open_file(reader, file, age.Keys([identity]), progress=wait)
"""


@pytest.mark.parametrize("what", ["seal", "open", "open with a name"])
def test_kill_9_in_the_middle(tmp_path: Path, what: str) -> None:
    (tmp_path / "plain").write_bytes(os.urandom(3 << 20))
    seal_file(tmp_path / "plain", tmp_path / "sealed", LOCK)
    source = tmp_path / ("plain" if what == "seal" else "sealed")
    folder = tmp_path / "out"
    folder.mkdir()
    key = ME.reveal().reveal().decode()  # a key of this test alone: argv is no place for others
    argv = [sys.executable, "-c", VICTIM, what, str(source), str(folder / "target"), key]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as victim:
        assert victim.stdout is not None
        assert int(victim.stdout.readline()) > 0
        victim.kill()
    left = names(folder)
    if what == "open with a name":  # where the file system knows no other way: private, and not the output
        assert len(left) == 1
        assert (folder / left.pop()).stat().st_mode & 0o777 == 0o600
    else:
        assert left == set()
    assert not (folder / "target").exists()
