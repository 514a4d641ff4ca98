"""The age v1 format: text, keys, bounds on hostile input, and both ways with the `age` program."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

from raddle.errors import ConfigError
from raddle.workloads.encrypt import age
from raddle.workloads.encrypt.age import text
from raddle.workloads.encrypt.age.feed import Feed
from raddle.workloads.encrypt.age.header import MAX_HEADER, MAX_STANZAS, Stanza, read_header, write_header
from raddle.workloads.encrypt.age.passphrase import MAX_WORK_FACTOR
from raddle.workloads.encrypt.sealing import open_bytes, open_file, seal_bytes, seal_file

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [0, 1, 65535, 65536, 65537, 131072]
ME = age.generate()
PASSPHRASE = age.Secret(b"correct horse battery staple")
#: the identity and recipient that the specification prints
SPEC_IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
SPEC_RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

needs_age = pytest.mark.skipif(
    not shutil.which("age"), reason="the `age` program is not installed: apt-get install age"
)


class Cut:
    """A stream that delivers its bytes in small, odd pieces, as pipes may."""

    def __init__(self, data: bytes, piece: int = 7) -> None:
        self._stream = io.BytesIO(data)
        self._piece = piece

    def readinto(self, buffer: memoryview, /) -> int:
        return self._stream.readinto(buffer[: self._piece])


class Endless:
    """A gigabyte and more of one byte after a beginning; counts what was asked of it."""

    def __init__(self, beginning: bytes, filler: bytes) -> None:
        self._beginning = io.BytesIO(beginning)
        self._filler = filler
        self.read = 0

    def readinto(self, buffer: memoryview, /) -> int:
        got = self._beginning.readinto(buffer)
        if not got:
            got = len(buffer) // len(self._filler) * len(self._filler)
            buffer[:got] = self._filler * (got // len(self._filler))
        self.read += got
        return got


# ------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("A12UEL5L", "a"),
        ("a12uel5l", "a"),
        ("an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs", None),
        ("?1ezyfcl", "?"),
    ],
)
def test_bech32_vectors_of_bip_173(line: str, prefix: str | None) -> None:
    found, data = text.bech32_decode(line)
    assert data == b""
    assert prefix is None or found == prefix
    assert text.bech32_encode(found, data) == line.lower()


@pytest.mark.parametrize(
    "line",
    [
        "\x201nwldj5",
        "\x7f1axkwrx",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "A1G7SGD8",
        "10a06t8",
        "1qzzfhee",
        "A12uEL5L",
        "",
        "age1",
        "é12uel5l",
    ],
)
def test_bech32_refuses(line: str) -> None:
    with pytest.raises(ValueError, match=r"prefix|checksum|case|padding"):
        text.bech32_decode(line)


@given(st.binary(max_size=80), st.text("abcdefghijklmnopqrstuvwxyz-1", min_size=1, max_size=20))
def test_bech32_there_and_back(data: bytes, prefix: str) -> None:
    line = text.bech32_encode(prefix, data)
    assert text.bech32_decode(line) == (prefix, data)
    assert text.bech32_decode(line.upper()) == (prefix, data)


@given(st.integers(0, 73), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_a_mistyped_identity_is_refused_and_not_repeated(at: int, letter: str) -> None:
    line = SPEC_IDENTITY[:at] + letter.upper() + SPEC_IDENTITY[at + 1 :]
    if line == SPEC_IDENTITY:
        return
    with pytest.raises(ConfigError) as caught:
        age.parse_identity(line)
    assert line[17:] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("line", [b"AA==", b"AB", b"A", b"A A", b"AA\n", b"AAA_", b"AA="])
def test_base64_is_canonical_and_unpadded(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        text.base64_decode(line)


# ------------------------------------------------------------------------------------------------------- keys


def test_the_keys_of_the_specification() -> None:
    identity = age.parse_identity(SPEC_IDENTITY)
    assert str(identity.recipient) == SPEC_RECIPIENT
    assert identity.reveal() == age.Secret(SPEC_IDENTITY.encode())
    assert age.parse_recipient(SPEC_RECIPIENT) == identity.recipient


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (SPEC_IDENTITY, "not shown"),
        (SPEC_RECIPIENT.upper(), "not shown"),
        (SPEC_RECIPIENT[:-1], "checksum"),
        (text.bech32_encode("age", bytes(31)), "58 letters"),
        (text.bech32_encode("age1pq", bytes(1216)), "post-quantum"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5", "age1"),
        ("", "age1"),
    ],
)
def test_recipients_that_are_refused(line: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as caught:
        age.parse_recipient(line)
    assert SPEC_IDENTITY[20:40] not in str(caught.value)


def test_an_identity_file_is_that_of_age_keygen() -> None:
    assert age.identity_text(age.parse_identity(SPEC_IDENTITY), created="2026-11-23T00:00:00Z").decode() == (
        f"# created: 2026-11-23T00:00:00Z\n# public key: {SPEC_RECIPIENT}\n{SPEC_IDENTITY}\n"
    )


def test_files_of_keys_have_comments_and_many_lines() -> None:
    other = age.generate()
    lines = b"".join([b"# a\r\n\r\n", SPEC_IDENTITY.encode(), b"\r\n", age.identity_text(other)])
    assert age.parse_identities(lines) == [age.parse_identity(SPEC_IDENTITY), other]
    assert age.parse_recipients(f"# all\n\n{SPEC_RECIPIENT}\n{other.recipient}".encode()) == [
        age.parse_recipient(SPEC_RECIPIENT),
        other.recipient,
    ]


@pytest.mark.parametrize(
    "content", [b"", b"# only\n", b"# x\n" + SPEC_IDENTITY[:-1].encode(), b"age1\n", b"\xff\xfe\n"]
)
def test_an_identity_file_without_a_good_identity(content: bytes) -> None:
    with pytest.raises(ConfigError, match="identity file") as caught:
        age.parse_identities(content)
    assert "GFPYYSJZ" not in str(caught.value)


def test_a_recipient_of_low_order_is_refused() -> None:
    with pytest.raises(ConfigError, match="no usable public key"):
        seal_bytes(b"x", age.Lock([age.X25519Recipient(bytes(32))]))


@pytest.mark.parametrize(
    "make",
    [
        age.Lock,
        lambda: age.Lock([ME.recipient], PASSPHRASE),
        lambda: age.Lock([ME.recipient] * (MAX_STANZAS + 1)),
        age.Keys,
        lambda: seal_bytes(b"", age.Lock(passphrase=age.Secret(b""))),
        lambda: seal_bytes(b"", age.Lock(passphrase=PASSPHRASE, work_factor=9)),
        lambda: seal_bytes(b"", age.Lock(passphrase=PASSPHRASE, work_factor=MAX_WORK_FACTOR + 1)),
    ],
)
def test_locks_and_keys_that_cannot_work(make: object) -> None:
    with pytest.raises(ConfigError):
        make()  # type: ignore[operator]


# ----------------------------------------------------------------------------------------------------- stream


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=2000), st.booleans(), st.integers(1, 3), st.integers(1, 200))
def test_there_and_back_in_odd_pieces(data: bytes, armor: bool, recipients: int, piece: int) -> None:
    lock = age.Lock([*(age.generate().recipient for _ in range(recipients - 1)), ME.recipient])
    sealed, opened = io.BytesIO(), io.BytesIO()
    assert age.seal_stream(Cut(data, piece), sealed, lock, armor=armor) == len(data)
    assert age.open_stream(Cut(sealed.getvalue(), piece), opened, age.Keys([age.generate(), ME])) == len(data)
    assert opened.getvalue() == data


@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("size", [*SIZES, 16 * 65536, 17 * 65536, 17 * 65536 + 1, 3_000_000])
def test_sizes(size: int, armor: bool) -> None:
    data = os.urandom(size)
    assert open_bytes(seal_bytes(data, age.Lock([ME.recipient]), armor=armor), age.Keys([ME])) == data


def test_crlf_armor_and_mixed_armor() -> None:
    sealed = seal_bytes(bytes(1000), age.Lock([ME.recipient]), armor=True)
    assert open_bytes(sealed.replace(b"\n", b"\r\n"), age.Keys([ME])) == bytes(1000)
    with pytest.raises(age.Damaged):
        open_bytes(sealed.replace(b"\n", b"\r\n", 3), age.Keys([ME]))


def test_two_sealings_share_nothing() -> None:
    first, second = (seal_bytes(bytes(100), age.Lock([ME.recipient])) for _ in range(2))
    assert first.splitlines()[1] != second.splitlines()[1]
    assert first[-116:] != second[-116:]


def test_wrong_keys_say_what_kind_it_takes() -> None:
    by_key = seal_bytes(b"x", age.Lock([ME.recipient]))
    by_passphrase = seal_bytes(b"x", age.Lock(passphrase=PASSPHRASE, work_factor=10))
    with pytest.raises(age.WrongKey, match="identity file"):
        open_bytes(by_key, age.Keys([age.generate()], PASSPHRASE))
    with pytest.raises(age.WrongKey, match="with a passphrase"):
        open_bytes(by_passphrase, age.Keys([ME]))
    with pytest.raises(age.WrongKey, match="with a passphrase"):
        open_bytes(by_passphrase, age.Keys(passphrase=age.Secret(b"correct horse battery stable")))


@pytest.mark.parametrize("content", [b"", b"\n", b"hello", b"age-encryption.org/", b"age-encryption.org/v1\n"])
def test_what_is_no_age_file(content: bytes) -> None:
    with pytest.raises(age.Damaged, match="not an age v1 file"):
        open_bytes(content, age.Keys([ME]))


def test_another_version_is_named() -> None:
    with pytest.raises(age.Unsupported, match="another version"):
        open_bytes(b"age-encryption.org/v2\n-> X\n", age.Keys([ME]))


# -------------------------------------------------------------------------------------------- hostile headers


@pytest.mark.parametrize(
    ("beginning", "filler"),
    [
        (b"", b"a"),
        (b"age-encryption.org/v1\n", b"a"),
        (b"age-encryption.org/v1\n-> ", b"a"),
        (b"age-encryption.org/v1\n-> X25519 ", b"a "),
        (b"age-encryption.org/v1\n-> a b\n", b"a" * 64 + b"\n"),
        (b"age-encryption.org/v1\n", b"-> a\n\n"),
        (b"", b" "),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"a"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"YWdl" * 16 + b"\n"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"-"),
    ],
)
def test_endless_input_is_cut_short(beginning: bytes, filler: bytes) -> None:
    source = Endless(beginning, filler)
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises((age.Damaged, age.Unsupported)):
            age.open_stream(source, io.BytesIO(), age.Keys([ME]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert source.read < 2 * MAX_HEADER
    assert peak < 16 << 20
    assert time.process_time() - started < 10


def test_ten_thousand_stanzas_cost_no_key_work() -> None:
    stanza = ME.recipient.wrap(bytes(16))
    sealed = write_header([stanza] * 10_000, bytes(16))
    started = time.process_time()
    with pytest.raises(age.Unsupported, match=str(MAX_STANZAS)):
        open_bytes(sealed, age.Keys([ME] * 10))
    assert time.process_time() - started < 2


def test_unknown_stanzas_are_skipped_up_to_the_bound() -> None:
    file_key = os.urandom(16)
    grease = [Stanza((b"grease-%d" % number, b"!~"), os.urandom(number % 100)) for number in range(MAX_STANZAS - 1)]
    header = write_header([*grease, ME.recipient.wrap(file_key)], file_key)
    found = read_header(Feed(io.BytesIO(header)))
    assert age.Keys([ME]).unwrap(found) == file_key


@pytest.mark.parametrize("factor", [b"21", b"22", b"23", b"64", b"100", b"9" * 5000])
def test_work_factors_above_the_bound_compute_nothing(factor: bytes) -> None:
    stanza = Stanza((b"scrypt", text.base64_encode(bytes(16)), factor), bytes(32))
    started = time.process_time()
    with pytest.raises(age.Unsupported, match=f"max_work_factor={MAX_WORK_FACTOR}"):
        open_bytes(write_header([stanza], bytes(16)), age.Keys(passphrase=PASSPHRASE))
    assert time.process_time() - started < 0.5


def test_the_bound_on_work_can_be_set() -> None:
    sealed = seal_bytes(b"x", age.Lock(passphrase=PASSPHRASE, work_factor=12))
    assert open_bytes(sealed, age.Keys(passphrase=PASSPHRASE, max_work_factor=12)) == b"x"
    with pytest.raises(age.Unsupported, match="max_work_factor=11"):
        open_bytes(sealed, age.Keys(passphrase=PASSPHRASE, max_work_factor=11))


# ------------------------------------------------------------------------------------- with the age program

#: types the passphrase where the program asks: at its terminal
TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def at_a_terminal(argv: list[str], typed: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", TERMINAL, *argv], input=typed, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key.txt"
    path.write_bytes(age.identity_text(ME))
    return path


@needs_age
@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_ours_and_we_open_its(tmp_path: Path, key_file: Path, size: int, armor: bool) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(os.urandom(size))
    seal_file(plain, tmp_path / "ours.age", age.Lock([age.generate().recipient, ME.recipient]), armor=armor)
    # to a pipe: with -o, age 1.1.1 makes no file at all for 0 bytes
    done = subprocess.run(["age", "-d", "-i", key_file, tmp_path / "ours.age"], check=True, capture_output=True)
    assert done.stdout == plain.read_bytes()
    flags = ["-a"] if armor else []
    subprocess.run(["age", *flags, "-r", str(ME.recipient), "-o", tmp_path / "its.age", plain], check=True)
    open_file(tmp_path / "its.age", tmp_path / "b", age.Keys([ME]))
    assert (tmp_path / "b").read_bytes() == plain.read_bytes()


@pytest.mark.slow
@needs_age
def test_age_and_we_share_passphrases(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_bytes(b"over to you")
    typed = PASSPHRASE.reveal() + b"\n"
    seal_file(plain, tmp_path / "ours.age", age.Lock(passphrase=PASSPHRASE, work_factor=14), armor=True)
    at_a_terminal(["age", "-d", "-o", str(tmp_path / "a"), str(tmp_path / "ours.age")], typed)
    assert (tmp_path / "a").read_bytes() == b"over to you"
    at_a_terminal(["age", "-p", "-o", str(tmp_path / "its.age"), str(plain)], typed * 2)
    open_file(tmp_path / "its.age", tmp_path / "b", age.Keys(passphrase=PASSPHRASE))
    assert (tmp_path / "b").read_bytes() == b"over to you"


@needs_age
def test_we_read_the_files_of_age_keygen(tmp_path: Path) -> None:
    subprocess.run(["age-keygen", "-o", tmp_path / "key"], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", tmp_path / "key"], check=True, capture_output=True, text=True).stdout
    (identity,) = age.parse_identities((tmp_path / "key").read_bytes())
    assert str(identity.recipient) == public.strip()
