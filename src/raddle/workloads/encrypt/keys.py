"""Where passphrases and identities come from: a prompt, a file, a descriptor, an environment variable by name.

Never the command line, which every user of the machine can read. Nothing here repeats what it read: messages name the
source. A passphrase is the bytes of its UTF-8 text as typed, without Unicode normalisation, as in the `age` program;
one line feed at its end is not part of it.
"""

from __future__ import annotations

import os
import resource
import stat
import sys
import warnings
from getpass import GetPassWarning, getpass
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age import files
from raddle.workloads.encrypt.age.feed import write_all
from raddle.workloads.encrypt.age.passphrase import WORK_FACTOR
from raddle.workloads.encrypt.age.secret import Secret
from raddle.workloads.encrypt.age.stream import Lock
from raddle.workloads.encrypt.age.x25519 import X25519Identity, X25519Recipient, generate
from raddle.workloads.encrypt.sealing import seal_bytes
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "advice",
    "forbid_core_dump",
    "keygen",
    "prompt",
    "read_identities",
    "read_recipients",
    "secret_from",
    "write_identity",
]

#: characters of a passphrase that is the only factor (NIST SP 800-63B-4); no rules of composition
ADVISED_LENGTH = 15

_MAX_SECRET = 4096
_MAX_FILE = 1 << 20
_OTHERS = 0o077
_TRIES = 3


def secret_from(source: str, *, confirm: bool = False, what: str = "passphrase") -> Secret:
    """Read a secret.

    Args:
        source: "prompt", "file:PATH" (mode 0600), "fd:NUMBER" (read to its end), or "env:NAME" (then removed from
            this process's environment, so that no child inherits it)
        confirm: at a prompt, ask twice; when sealing
        what: what to call it

    Raises:
        ConfigError: the source is unknown, missing, open to others, empty, or has more than one line
    """
    kind, _, place = source.partition(":")
    if source == "prompt":
        return prompt(what, confirm=confirm)
    if kind == "file" and place:
        data, mode = _read(Path(place), _MAX_SECRET)
        _private(place, mode)
        return _one_line(data, source)
    if kind == "fd" and place.isdecimal():
        return _one_line(_read_descriptor(int(place), source), source)
    if kind == "env" and place:
        value = os.environb.pop(place.encode(), None)
        if value is None:
            raise ConfigError(f"environment variable {place} is not set: export it, or use another source")
        return _one_line(value, source)
    # not repeated in full: somebody may have typed the passphrase itself
    raise ConfigError(f"the source of the {what} must be prompt, file:PATH, fd:NUMBER or env:NAME")


def prompt(what: str = "passphrase", *, confirm: bool = False, ask: Callable[[str], str] = getpass) -> Secret:
    """Ask at the terminal, without echo.

    Raises:
        ConfigError: there is no terminal, nothing was typed, or the two differed three times
    """
    for _ in range(_TRIES if confirm else 1):
        typed = _ask(f"{what.capitalize()}: ", ask)
        if not typed:
            raise ConfigError(f"the {what} is empty")
        if not confirm or _ask(f"The same {what} again: ", ask) == typed:
            return Secret(typed)
        print("They differ.", file=sys.stderr)  # noqa: T201 (a dialogue at a terminal)
    raise ConfigError(f"the {what} was typed differently {_TRIES} times: nothing was done")


def advice(secret: Secret) -> str | None:
    """Return a warning about a passphrase that is easily guessed, or None; never a refusal."""
    if len(secret.reveal().decode("utf-8", "replace")) >= ADVISED_LENGTH:
        return None
    return f"the passphrase is short: {ADVISED_LENGTH} characters or more are advised, a few random words do"


def keygen(
    path: str | os.PathLike[str],
    *,
    created: str | None = None,
    passphrase: Secret | None = None,
    work_factor: int = WORK_FACTOR,
) -> X25519Recipient:
    """Write a new identity file (0600, never over another) and return the recipient to seal to.

    Args:
        path: must not exist
        created: text of the comment `created:`, left out if None
        passphrase: seal the file with it
        work_factor: of that sealing

    Raises:
        TargetExists: the path exists
    """
    identity = generate()
    write_identity(identity, path, created=created, passphrase=passphrase, work_factor=work_factor)
    return identity.recipient


def write_identity(
    identity: X25519Identity,
    path: str | os.PathLike[str],
    *,
    created: str | None = None,
    passphrase: Secret | None = None,
    work_factor: int = WORK_FACTOR,
) -> None:
    """Write an identity file; options as for `keygen`."""
    text = files.identity_text(identity, created=created)
    if passphrase is not None:
        text = seal_bytes(text, Lock(passphrase=passphrase, work_factor=work_factor), armor=True)
    with staged(path) as file:
        write_all(file, text)


def read_identities(
    path: str | os.PathLike[str], *, passphrase: Callable[[], Secret] | None = None
) -> list[X25519Identity]:
    """Read an identity file: 0600, or sealed with a passphrase.

    Args:
        path: the file
        passphrase: called only if the file is sealed

    Raises:
        ConfigError: it is missing, open to others, or holds no identity
        SealError: it is sealed, and not with this passphrase, or damaged
    """
    name = f"identity file {os.fspath(path)!r}"
    data, mode = _read(Path(path), _MAX_FILE)
    if files.sealed(data):
        return files.parse_identities(data, passphrase=passphrase() if passphrase else None, name=name)
    _private(path, mode)
    return files.parse_identities(data, name=name)


def read_recipients(path: str | os.PathLike[str]) -> list[X25519Recipient]:
    """Read a file of recipients, one `age1...` per line, comments with #.

    Raises:
        ConfigError: it is missing, or holds no recipient
    """
    data, _ = _read(Path(path), _MAX_FILE)
    return files.parse_recipients(data, name=f"recipients file {os.fspath(path)!r}")


def forbid_core_dump() -> None:
    """Keep the memory of this process, and of those it starts from now on, out of core files."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def _ask(question: str, ask: Callable[[str], str]) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)  # it would go on with an echo, or read the data's own pipe
        try:
            return ask(question).encode("utf-8", "surrogateescape")
        except (GetPassWarning, EOFError) as error:
            raise ConfigError("no terminal to ask at: use file:PATH, fd:NUMBER or env:NAME") from error


def _read(path: Path, limit: int) -> tuple[bytes, int | None]:
    """Return content, and mode if it is a regular file: pipes and /dev/fd have none that matters."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_mode
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"file={str(path)!r} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise ConfigError(f"file={str(path)!r} is longer than {limit} bytes: it is no key file")
    return data, stat.S_IMODE(found) if stat.S_ISREG(found) else None


def _private(path: str | os.PathLike[str], mode: int | None) -> None:
    if mode is not None and mode & _OTHERS:
        raise ConfigError(f"file={os.fspath(path)!r} has mode {mode:04o}: others may read it; chmod 600")


def _read_descriptor(number: int, source: str) -> bytes:
    try:
        with open(number, "rb", closefd=number > 2) as file:  # noqa: PLR2004 (standard streams stay open)
            return file.read(_MAX_SECRET + 3)
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}") from error


def _one_line(data: bytes, source: str) -> Secret:
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if not line or len(line) > _MAX_SECRET or b"\n" in line:
        raise ConfigError(f"{source} must hold one line, not empty, of at most {_MAX_SECRET} bytes")
    return Secret(line)
