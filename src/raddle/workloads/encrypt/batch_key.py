"""One passphrase for many files, at the price of one.

scrypt takes a second and 256 MiB by design, and age asks for it per file. So a batch with a passphrase makes one
identity, seals that with the passphrase and puts it beside the batch as `raddle-identity.age`; the files are sealed to
its recipient, at a tenth of a millisecond each. The `age` program opens them too, and asks for the passphrase itself:

    age -d -i raddle-identity.age photo.jpg.age

The identity file belongs to the sealed files: without it they cannot be opened, passphrase or not. Copy it with them.

Rejected: a key pair derived from the passphrase, which no age program could derive; scrypt once and the same stanza in
every file, which the format forbids, since the file key must be new each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raddle.workloads.encrypt.age.errors import TargetExists, WrongKey
from raddle.workloads.encrypt.age.passphrase import WORK_FACTOR
from raddle.workloads.encrypt.age.stream import Keys
from raddle.workloads.encrypt.age.x25519 import X25519Identity, generate
from raddle.workloads.encrypt.keys import read_identities, write_identity

if TYPE_CHECKING:
    import os

    from raddle.workloads.encrypt.age.secret import Secret

__all__ = ["IDENTITY_FILE", "batch_identity", "keys_beside"]

#: name of the sealed identity, in the folder of the sealed files
IDENTITY_FILE = "raddle-identity.age"


def batch_identity(
    passphrase: Secret, folder: str | os.PathLike[str], *, work_factor: int = WORK_FACTOR
) -> X25519Identity:
    """Return the identity of a folder of sealed files: unlock the one that is there, or make it.

    Safe to call from several processes at once: one of them makes the identity, the others unlock it. Seal to
    `.recipient`, which is no secret.

    Args:
        passphrase: of the batch
        folder: where the sealed files go; it must exist
        work_factor: log2 of scrypt's cost, for a new identity

    Raises:
        WrongKey: the folder's identity is sealed with another passphrase
        SealError: it is damaged
        ConfigError: the folder is missing
    """
    path = Path(folder) / IDENTITY_FILE
    if not path.exists():
        identity = generate()
        try:
            write_identity(identity, path, passphrase=passphrase, work_factor=work_factor)
        except TargetExists:
            pass  # another process was faster: its identity is the folder's
        else:
            return identity
    try:
        return read_identities(path, passphrase=lambda: passphrase)[0]
    except WrongKey as error:
        raise WrongKey(
            f"the passphrase is not the one of {str(path)!r}: files of one folder share one passphrase"
        ) from error


def keys_beside(folder: str | os.PathLike[str], passphrase: Secret) -> Keys:
    """Return what a passphrase opens in a folder: files sealed with it, and those of the folder's batch identity.

    An identity there that is sealed with another passphrase is left aside.
    """
    path = Path(folder) / IDENTITY_FILE
    if not path.exists():
        return Keys(passphrase=passphrase)
    try:
        return Keys(read_identities(path, passphrase=lambda: passphrase), passphrase)
    except WrongKey:
        return Keys(passphrase=passphrase)
