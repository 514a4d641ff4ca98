"""Passphrases: one scrypt stanza, alone in its header.

Source: c2sp.org/age, "The scrypt recipient type". The bytes of a passphrase are the UTF-8 of what was typed, without
Unicode normalisation, because that is what the `age` program uses.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age import primitives, text
from raddle.workloads.encrypt.age.errors import Damaged, Unsupported
from raddle.workloads.encrypt.age.header import Stanza

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raddle.workloads.encrypt.age.secret import Secret

__all__ = ["MAX_WORK_FACTOR", "TYPE", "WORK_FACTOR", "check", "unwrap", "wrap"]

TYPE = b"scrypt"
#: log2 of the cost when sealing, as in `age`: about one second, and 256 MiB of memory
WORK_FACTOR = 18
#: log2 of the most that opening will spend without being told: 1 GiB. `age` itself goes to 22, 4 GiB
MAX_WORK_FACTOR = 20

_LEAST = 10
_SALT = 16
_LABEL = b"age-encryption.org/v1/scrypt"
_DECIMAL = re.compile(rb"[1-9][0-9]*")


def wrap(passphrase: Secret, file_key: bytes, *, work_factor: int = WORK_FACTOR) -> Stanza:
    """Seal a file key with a passphrase.

    Args:
        passphrase: not empty
        file_key: of this file alone
        work_factor: log2 of the cost; memory is 2^work_factor KiB

    Raises:
        ConfigError: an empty passphrase, or a cost that raddle would not open again
    """
    if not passphrase:
        raise ConfigError("the passphrase is empty")
    if not _LEAST <= work_factor <= MAX_WORK_FACTOR:
        raise ConfigError(f"work_factor={work_factor} must be {_LEAST} to {MAX_WORK_FACTOR}")
    salt = os.urandom(_SALT)
    key = primitives.scrypt(passphrase.reveal(), salt=_LABEL + salt, log_n=work_factor)
    args = (TYPE, text.base64_encode(salt), str(work_factor).encode())
    return Stanza(args, primitives.wrap(key, file_key))


def unwrap(stanzas: Sequence[Stanza], passphrase: Secret, *, max_work_factor: int = MAX_WORK_FACTOR) -> bytes | None:
    """Open the scrypt stanza of a header that `check` has passed; None if there is none, or for a wrong passphrase.

    Raises:
        Unsupported: it costs more than `max_work_factor`; nothing was computed
    """
    if len(stanzas) != 1 or stanzas[0].args[0] != TYPE:
        return None
    (stanza,) = stanzas
    factor = stanza.args[2]
    if len(factor) > 2 or int(factor) > max_work_factor:  # noqa: PLR2004 (digits: 100 and more are beyond any memory)
        raise Unsupported(
            f"opening would take a scrypt work factor above max_work_factor={max_work_factor}: "
            "each step doubles time and memory; raise it if you trust where the file comes from"
        )
    salt = _LABEL + text.base64_decode(stanza.args[1])
    return primitives.unwrap(primitives.scrypt(passphrase.reveal(), salt=salt, log_n=int(factor)), stanza.body)


def check(stanza: Stanza, *, alone: bool) -> None:
    """Raise Damaged for a scrypt stanza that is not well formed, or not alone."""
    if not alone or len(stanza.args) != 3 or len(stanza.body) != primitives.FILE_KEY + primitives.TAG:  # noqa: PLR2004
        raise Damaged
    try:
        salt = text.base64_decode(stanza.args[1])
    except ValueError as error:
        raise Damaged from error
    if len(salt) != _SALT or not _DECIMAL.fullmatch(stanza.args[2]):
        raise Damaged
