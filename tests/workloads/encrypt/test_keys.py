"""Passphrases and identities: where they come from, and that nothing shows them."""

from __future__ import annotations

import copy
import io
import os
import pickle
import shutil
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from getpass import GetPassWarning
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("cryptography", reason="the extra `encrypt` is not installed")

import raddle
from raddle.errors import ConfigError
from raddle.workloads.encrypt import age, keys
from raddle.workloads.encrypt.batch_key import IDENTITY_FILE, batch_identity, keys_beside
from raddle.workloads.encrypt.lending import Loan, lend
from raddle.workloads.encrypt.sealing import open_bytes, open_file, seal_bytes, seal_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = "seven brown owls sing"
PASSPHRASE = age.Secret(TEXT.encode())
FAST = 10


def asking(*answers: str) -> Callable[[str], str]:
    rest = iter(answers)
    return lambda question: next(rest)


# ------------------------------------------------------------------------------------------------ never shown


def test_a_secret_shows_nothing() -> None:
    shown = [
        f"{PASSPHRASE}",
        repr(PASSPHRASE),
        f"{PASSPHRASE!s:>40}",
        repr([PASSPHRASE]),
        repr(age.Keys((), PASSPHRASE)),
    ]
    shown += [repr(age.Lock(passphrase=PASSPHRASE)), repr(vars(keys)), repr(PASSPHRASE.__class__.__dict__)]
    assert not any(TEXT in text for text in shown)
    identity = age.generate()
    secret = identity.reveal().reveal().decode()
    assert secret[20:50] not in repr(identity) + str(identity) + repr(age.Keys([identity])) + repr(identity.reveal())
    assert str(identity.recipient) in repr(identity)


def test_a_secret_is_compared_and_copied_but_not_hashed() -> None:
    assert age.Secret(b"a") == age.Secret(b"a") != age.Secret(b"b")
    assert age.Secret(b"a") != b"a"
    assert copy.deepcopy(PASSPHRASE) is copy.copy(PASSPHRASE) is PASSPHRASE
    with pytest.raises(TypeError, match="unhashable"):
        hash(PASSPHRASE)


@pytest.mark.parametrize(
    "value", [PASSPHRASE, age.generate(), age.Keys((), PASSPHRASE), [age.Lock(passphrase=PASSPHRASE)]]
)
def test_pickle_refuses_and_says_what_to_do(value: object) -> None:
    with pytest.raises(TypeError, match=r"lending\.lend"):
        pickle.dumps(value)


def test_recipients_are_no_secret() -> None:
    lock = age.Lock([age.generate().recipient])
    assert pickle.loads(pickle.dumps(lock)) == lock


def test_errors_do_not_show_the_passphrase(tmp_path: Path) -> None:
    sealed = seal_bytes(b"x", age.Lock(passphrase=age.Secret(b"another"), work_factor=FAST))
    with pytest.raises(age.WrongKey) as caught:
        open_bytes(sealed, age.Keys(passphrase=PASSPHRASE))
    assert TEXT not in "".join(traceback.format_exception(caught.value))


# ---------------------------------------------------------------------------------------------------- sources


def test_sources(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text(TEXT + "\n")
    path.chmod(0o600)
    assert keys.secret_from(f"file:{path}") == PASSPHRASE
    readable, writable = os.pipe()
    os.write(writable, TEXT.encode() + b"\r\n")
    os.close(writable)
    assert keys.secret_from(f"fd:{readable}") == PASSPHRASE
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(readable)
    os.environ["RADDLE_TEST_PASSPHRASE"] = TEXT
    assert keys.secret_from("env:RADDLE_TEST_PASSPHRASE") == PASSPHRASE
    assert "RADDLE_TEST_PASSPHRASE" not in os.environ


@pytest.mark.parametrize(
    ("content", "mode", "hint"),
    [
        ("good enough", 0o644, "chmod 600"),
        ("good enough", 0o640, "chmod 600"),
        ("", 0o600, "one line"),
        ("\n", 0o600, "one line"),
        ("two\nlines\n", 0o600, "one line"),
        ("x" * 5000, 0o600, "longer than"),
    ],
)
def test_passphrase_files_that_are_refused(tmp_path: Path, content: str, mode: int, hint: str) -> None:
    path = tmp_path / "passphrase"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=hint):
        keys.secret_from(f"file:{path}")


@pytest.mark.parametrize(
    "source",
    ["", TEXT, "file:", "fd:", "fd:x", "fd:987654", "env:", "env:RADDLE_NOT_SET", "file:/nowhere/at/all"],
)
def test_sources_that_are_none(source: str) -> None:
    with pytest.raises(ConfigError) as caught:
        keys.secret_from(source)
    assert TEXT not in str(caught.value)


def test_the_prompt_asks_twice_when_sealing() -> None:
    assert keys.prompt(ask=asking(TEXT)) == PASSPHRASE
    assert keys.prompt(confirm=True, ask=asking(TEXT, TEXT)) == PASSPHRASE
    assert keys.prompt(confirm=True, ask=asking("a", "b", TEXT, TEXT)) == PASSPHRASE
    with pytest.raises(ConfigError, match="differently"):
        keys.prompt(confirm=True, ask=asking("a", "b", "c", "d", "e", "f"))
    with pytest.raises(ConfigError, match="empty"):
        keys.prompt(ask=asking(""))


def test_the_prompt_never_falls_back_to_an_echo() -> None:
    def fall_back(question: str) -> str:
        import warnings

        warnings.warn("Can not control echo on the terminal.", GetPassWarning, stacklevel=1)
        return TEXT

    with pytest.raises(ConfigError, match="fd:NUMBER"):
        keys.prompt(ask=fall_back)


def test_without_a_terminal_the_prompt_says_what_to_use() -> None:
    program = "from raddle.workloads.encrypt import keys; keys.secret_from('prompt')"
    done = subprocess.run(
        [sys.executable, "-c", program], input=TEXT, capture_output=True, text=True, check=False, start_new_session=True
    )
    assert "no terminal to ask at" in done.stderr
    assert TEXT not in done.stderr + done.stdout


@pytest.mark.parametrize(("length", "advised"), [(1, True), (14, True), (15, False), (60, False)])
def test_length_is_advised_not_demanded(length: int, advised: bool) -> None:
    assert (keys.advice(age.Secret(("ü" * length).encode())) is not None) is advised


# ----------------------------------------------------------------------------------------------- identity files


def test_keygen_writes_a_private_file_once(tmp_path: Path) -> None:
    path = tmp_path / "key"
    recipient = keys.keygen(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [identity.recipient for identity in keys.read_identities(path)] == [recipient]
    assert "created" not in path.read_text()
    before = path.read_bytes()
    with pytest.raises(age.TargetExists):
        keys.keygen(path)
    assert path.read_bytes() == before


def test_identity_files_open_to_others_are_refused(tmp_path: Path) -> None:
    keys.keygen(tmp_path / "key")
    (tmp_path / "key").chmod(0o604)
    with pytest.raises(ConfigError, match="mode 0604"):
        keys.read_identities(tmp_path / "key")


def test_a_sealed_identity_file(tmp_path: Path) -> None:
    recipient = keys.keygen(tmp_path / "key", passphrase=PASSPHRASE, work_factor=FAST)
    (tmp_path / "key").chmod(0o644)  # it may be seen: it is sealed
    assert keys.read_identities(tmp_path / "key", passphrase=lambda: PASSPHRASE)[0].recipient == recipient
    with pytest.raises(ConfigError, match="give the passphrase"):
        keys.read_identities(tmp_path / "key")
    with pytest.raises(age.WrongKey):
        keys.read_identities(tmp_path / "key", passphrase=lambda: age.Secret(b"no"))


def test_recipients_from_a_file(tmp_path: Path) -> None:
    recipients = [age.generate().recipient for _ in range(3)]
    (tmp_path / "team").write_text("# the team\n" + "\n".join(map(str, recipients)))
    assert keys.read_recipients(tmp_path / "team") == recipients
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.read_recipients(tmp_path / "absent")
    keys.keygen(tmp_path / "key")
    with pytest.raises(ConfigError, match="line 2") as caught:  # the wrong file: its secret is not repeated
        keys.read_recipients(tmp_path / "key")
    assert "SECRET" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ one per batch


def test_a_batch_has_one_identity(tmp_path: Path) -> None:
    first = batch_identity(PASSPHRASE, tmp_path, work_factor=FAST)
    assert batch_identity(PASSPHRASE, tmp_path) == first
    with pytest.raises(age.WrongKey, match="share one passphrase"):
        batch_identity(age.Secret(b"no"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [IDENTITY_FILE]
    with pytest.raises(ConfigError, match="make it first"):
        batch_identity(PASSPHRASE, tmp_path / "absent")


def test_a_batch_begun_by_many_at_once_has_one_identity(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: batch_identity(PASSPHRASE, tmp_path, work_factor=FAST), range(8)))
    assert len({identity.recipient for identity in found}) == 1


def test_a_passphrase_opens_all_of_a_folder(tmp_path: Path) -> None:
    own = seal_bytes(b"sealed alone", age.Lock(passphrase=PASSPHRASE, work_factor=FAST))
    assert open_bytes(own, keys_beside(tmp_path, PASSPHRASE)) == b"sealed alone"
    identity = batch_identity(PASSPHRASE, tmp_path, work_factor=FAST)
    batch = seal_bytes(b"of the batch", age.Lock([identity.recipient]))
    found = keys_beside(tmp_path, PASSPHRASE)
    assert [open_bytes(data, found) for data in (own, batch)] == [b"sealed alone", b"of the batch"]
    with pytest.raises(age.WrongKey):
        open_bytes(batch, keys_beside(tmp_path, age.Secret(b"no")))


TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.mark.skipif(not shutil.which("age"), reason="the `age` program is not installed: apt-get install age")
def test_age_opens_a_batch_with_the_passphrase(tmp_path: Path) -> None:
    identity = batch_identity(PASSPHRASE, tmp_path, work_factor=12)
    (tmp_path / "photo").write_bytes(b"pixels")
    seal_file(tmp_path / "photo", tmp_path / "photo.age", age.Lock([identity.recipient]))
    argv = ["age", "-d", "-i", str(tmp_path / IDENTITY_FILE), "-o", str(tmp_path / "back"), str(tmp_path / "photo.age")]
    typed = TEXT.encode() + b"\n"
    done = subprocess.run([sys.executable, "-c", TERMINAL, *argv], input=typed, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "back").read_bytes() == b"pixels"


# ------------------------------------------------------------------------------------------------------- lending


def open_one(name: str, *, loan: Loan[age.Keys], folder: str) -> int:
    return open_file(f"{folder}/{name}.age", f"{folder}/{name}", loan.take())


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_workers_open_with_keys_that_nothing_records(tmp_path: Path, backend: str) -> None:
    identity = age.generate()
    for number in range(6):
        seal_file(io.BytesIO(b"%d" % number), tmp_path / f"{number}.age", age.Lock([identity.recipient]))
    journal = tmp_path / "runs.db"
    with lend(age.Keys([identity], PASSPHRASE)) as loan:
        work = partial(open_one, loan=loan, folder=str(tmp_path))
        with raddle.run(work, map(str, range(6)), backend=backend, workers=2, journal=journal, name="open") as run:
            assert list(run.values()) == [1] * 6
        carried = pickle.dumps(work)
        assert TEXT not in repr(work)
    assert [(tmp_path / str(number)).read_bytes() for number in range(6)] == [b"%d" % number for number in range(6)]
    secrets = [TEXT.encode(), identity.reveal().reveal(), identity.key().reveal()]
    recorded = [carried, *(path.read_bytes() for path in tmp_path.glob("runs.db*"))]
    assert len(recorded) > 1
    assert not any(secret in record for secret in secrets for record in recorded)


def test_a_loan_ends() -> None:
    with lend(PASSPHRASE) as loan:
        assert loan.take() == PASSPHRASE
        assert loan.take() is loan.take()
        assert TEXT not in repr(loan)
    with pytest.raises(ConfigError, match="same machine"):
        loan.take()
    readable, writable = os.pipe()  # the number of the descriptor is another file's by now
    os.write(writable, bytes(100))
    os.close(writable)
    with pytest.raises(ConfigError, match="same machine"):
        Loan(os.getpid(), readable, loan.token).take()
    os.close(readable)


def test_no_core_dump() -> None:
    program = (
        "import resource; from raddle.workloads.encrypt import keys; keys.forbid_core_dump(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
