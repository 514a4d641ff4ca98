"""The age v1 file format (c2sp.org/age): files that the `age` program opens, and the other way round.

X25519 recipients and scrypt passphrases, binary or ASCII armor. Post-quantum, tagged, plug-in and SSH recipients are
not supported: their stanzas are skipped when another one fits, and refused by name as keys.
"""

from raddle.workloads.encrypt.age.errors import (
    Damaged,
    SealError,
    SourceChanged,
    TargetExists,
    Unsupported,
    WrongKey,
)
from raddle.workloads.encrypt.age.files import identity_text, parse_identities, parse_recipients
from raddle.workloads.encrypt.age.secret import Secret
from raddle.workloads.encrypt.age.stream import Keys, Lock, open_stream, seal_stream
from raddle.workloads.encrypt.age.x25519 import (
    X25519Identity,
    X25519Recipient,
    generate,
    parse_identity,
    parse_recipient,
)

__all__ = [
    "Damaged",
    "Keys",
    "Lock",
    "SealError",
    "Secret",
    "SourceChanged",
    "TargetExists",
    "Unsupported",
    "WrongKey",
    "X25519Identity",
    "X25519Recipient",
    "generate",
    "identity_text",
    "open_stream",
    "parse_identities",
    "parse_identity",
    "parse_recipient",
    "parse_recipients",
    "seal_stream",
]
