"""From options to locks and keys. A secret is read once, here, in the parent process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raddle import errors
from raddle.workloads.encrypt.batch.plan import make_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.age import Keys, Lock, Secret

__all__ = ["LockOptions", "keys_for", "lock_for"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOptions:
    """To whom, as the command line says it; no secret is in it."""

    recipients: Sequence[str] = ()
    recipients_files: Sequence[Path] = ()
    #: prompt, file:PATH, fd:NUMBER or env:NAME
    passphrase: str | None = None
    #: seal each file with the passphrase itself
    standalone: bool = False

    def __bool__(self) -> bool:
        return bool(self.recipients or self.recipients_files or self.passphrase)

    def check(self) -> None:
        """Refuse what cannot work, before anybody is asked for a passphrase.

        Raises:
            ConfigError: both, neither, or a flag without what it is for
        """
        if self.passphrase and (self.recipients or self.recipients_files):
            raise errors.ConfigError("a file is sealed to recipients or with a passphrase: leave one of them out")
        if not self:
            raise errors.ConfigError("to whom? give --recipient, --recipients-file or --passphrase")
        if self.standalone and not self.passphrase:
            raise errors.ConfigError("--standalone is about a passphrase: give --passphrase, or leave it out")


def lock_for(options: LockOptions, out: Path) -> tuple[Lock, str, list[str]]:
    """Return the lock, what it is as public text, and what the user should know.

    Args:
        options: checked
        out: folder of the sealed files, which keeps the batch's identity; made if need be

    Raises:
        ConfigError: a recipient or a source of the passphrase is not good
        WrongKey: another passphrase than the folder's
    """
    from raddle.workloads.encrypt import keys
    from raddle.workloads.encrypt.age import Lock, parse_recipient
    from raddle.workloads.encrypt.batch_key import IDENTITY_FILE, batch_identity

    if options.passphrase is None:
        recipients = [parse_recipient(text) for text in options.recipients]
        recipients += [one for path in options.recipients_files for one in keys.read_recipients(path)]
        unique = list(dict.fromkeys(map(str, recipients)))
        return Lock([parse_recipient(text) for text in unique]), " ".join(sorted(unique)), []
    known = (out / IDENTITY_FILE).exists() and not options.standalone
    passphrase = keys.secret_from(options.passphrase, confirm=not known)
    advice = keys.advice(passphrase)
    notes = [advice] if advice and not known else []
    if options.standalone:
        return Lock(passphrase=passphrase), "passphrase", notes
    make_folders((), out)
    recipient = batch_identity(passphrase, out).recipient
    notes.append(f"{out / IDENTITY_FILE} is the key of these files, sealed with the passphrase: keep it with them")
    return Lock([recipient]), str(recipient), notes


def keys_for(identities: Sequence[Path], passphrase: str | None, folders: Sequence[str]) -> tuple[Keys, list[str]]:
    """Return all that may open a batch, and what the user should know.

    Args:
        identities: identity files; `passphrase` unlocks those that are sealed
        passphrase: where it comes from; None: asked for when an identity file needs it
        folders: folders of the sealed files and those above them, in which identities of batches are looked for

    Raises:
        ConfigError, SealError: see `keys.read_identities`
    """
    from raddle.workloads.encrypt import keys
    from raddle.workloads.encrypt.age import Keys
    from raddle.workloads.encrypt.batch_key import IDENTITY_FILE, keys_beside

    if not identities and passphrase is None:
        raise errors.ConfigError("with what? give --identity KEYFILE or --passphrase")
    read: list[Secret] = []

    def secret() -> Secret:
        if not read:
            read.append(keys.secret_from(passphrase or "prompt"))
        return read[0]

    found = [one for path in identities for one in keys.read_identities(path, passphrase=secret)]
    if passphrase is None or identities:
        return Keys(found), []
    notes = []
    for path in (Path(folder) / IDENTITY_FILE for folder in folders):
        if os.path.lexists(path):
            beside = keys_beside(path.parent, secret()).identities
            found += beside
            if not beside:
                notes.append(f"the passphrase is not the one of {path}, the key of that folder")
    return Keys(found, secret()), notes
