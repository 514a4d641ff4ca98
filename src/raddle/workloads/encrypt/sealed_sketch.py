"""A picture -> its sketch -> sealed with a passphrase: what the seed's API makes by default.

scrypt takes a second and 256 MiB by design, and the format forbids to use it once for many files (see `batch_key`).
So each passphrase is spent once, on an identity that exists for this purpose alone; sketches are sealed to its
recipient, in a tenth of a millisecond, and each carries the sealed identity with it. Of the identity nothing stays in
memory but the recipient: whoever only seals holds no key, so that none has to go to worker processes either.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raddle.errors import ConfigError
from raddle.workloads.encrypt.age import Keys, Lock, Secret, TargetExists, generate, identity_text, parse_identities
from raddle.workloads.encrypt.age.feed import write_all
from raddle.workloads.encrypt.age.passphrase import MAX_WORK_FACTOR, WORK_FACTOR
from raddle.workloads.encrypt.batch_key import IDENTITY_FILE
from raddle.workloads.encrypt.sealing import open_bytes, seal_bytes
from raddle.workloads.encrypt.sketch import from_bytes, sketch_picture, to_bytes
from raddle.workloads.encrypt.staging import staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from raddle.workloads.encrypt.age import X25519Recipient
    from raddle.workloads.encrypt.sketch import EncryptionConfig, PreprocessConfig, Sketch

__all__ = ["SealedSketch", "SketchLock", "SketchSealer", "sealed_sketch"]

_LEAST_WORK_FACTOR = 10
#: share of the work that is the sketch; the rest is sealing it
_SKETCH = 0.9


@dataclass(frozen=True, slots=True)
class SketchLock:
    """What one passphrase comes to: nothing of it is secret."""

    recipient: X25519Recipient
    #: age file, armored: the identity, sealed with the passphrase
    identity: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealedSketch:
    """A sketch that the passphrase opens, with nothing else needed."""

    #: age file: the bytes of the sketch, sealed to the identity
    sealed: bytes = field(repr=False)
    #: age file, armored: the identity, sealed with the passphrase
    identity: bytes = field(repr=False)
    #: of the picture; not part of what is sealed here
    name: str = ""

    def open(self, key: str | bytes | Secret) -> Sketch:
        """Return the sketch; takes as long as scrypt is meant to take.

        Raises:
            WrongKey: another passphrase
            Damaged, SketchDamaged: the bytes are not what was sealed
        """
        identities = parse_identities(self.identity, passphrase=secret_of(key))
        return from_bytes(open_bytes(self.sealed, Keys(identities)))

    def save(self, folder: str | os.PathLike[str], *, name: str | None = None) -> Path:
        """Write NAME.sketch.age, and `raddle-identity.age` beside it, as `raddle encrypt` does; return the first.

        Args:
            folder: must exist; all that is saved there shares one passphrase
            name: default: that of the picture

        Raises:
            ConfigError: the folder is missing, or its identity is another one
            TargetExists: the file is there already
        """
        self._save_identity(Path(folder) / IDENTITY_FILE)
        path = Path(folder) / f"{name or self.name or 'sketch'}.sketch.age"
        with staged(path) as file:
            write_all(file, self.sealed)
        return path

    def _save_identity(self, path: Path) -> None:
        try:
            with staged(path) as file:
                write_all(file, self.identity)
        except TargetExists:
            if path.read_bytes() != self.identity:
                raise ConfigError(
                    f"{str(path)!r} belongs to files of another batch or passphrase: save to another folder"
                ) from None


class SketchSealer:
    """Sketches pictures and seals the sketches; one scrypt for each distinct passphrase. Any thread may call it.

    Args:
        work_factor: log2 of scrypt's cost; each step doubles time and memory

    Raises:
        ConfigError: a cost that raddle would not open again
    """

    def __init__(self, *, work_factor: int = WORK_FACTOR) -> None:
        if not _LEAST_WORK_FACTOR <= work_factor <= MAX_WORK_FACTOR:
            raise ConfigError(f"work_factor={work_factor} must be {_LEAST_WORK_FACTOR} to {MAX_WORK_FACTOR}")
        self._work_factor = work_factor
        self._salt = os.urandom(32)
        self._lock = threading.Lock()
        #: guarded by the lock; each slot by its own, which is held while scrypt runs
        self._slots: dict[bytes, _Slot] = {}

    def encrypt_image(
        self,
        image_path: str | os.PathLike[str],
        key: str | bytes | Secret,
        preprocess_config: PreprocessConfig,
        encryption_config: EncryptionConfig,
    ) -> SealedSketch:
        """Sketch and seal one picture.

        Raises:
            ConfigError: the key is empty
            PictureError: the picture cannot be read within the limits
            OSError: the file cannot be opened
        """
        return sealed_sketch(image_path, self.lock_for(key), preprocess_config, encryption_config)

    def lock_for(self, key: str | bytes | Secret) -> SketchLock:
        """Return what the passphrase comes to; who asks for one that is being made waits for it.

        Raises:
            ConfigError: the key is empty, or no passphrase
        """
        secret = secret_of(key)
        slot = self._slot(secret)
        with slot.lock:
            if slot.made is None:
                identity = generate()
                lock = Lock(passphrase=secret, work_factor=self._work_factor)
                slot.made = SketchLock(identity.recipient, seal_bytes(identity_text(identity), lock, armor=True))
            return slot.made

    def is_ready(self, key: str | bytes | Secret) -> bool:
        """Tell whether `lock_for` would return at once."""
        return self._slot(secret_of(key)).made is not None

    def _slot(self, secret: Secret) -> _Slot:
        # neither the passphrase nor what could be compared with that of another process is kept
        tag = hashlib.blake2b(secret.reveal(), key=self._salt, digest_size=32).digest()
        with self._lock:
            return self._slots.setdefault(tag, _Slot())


def sealed_sketch(
    image_path: str | os.PathLike[str],
    lock: SketchLock,
    preprocess: PreprocessConfig | None = None,
    encryption: EncryptionConfig | None = None,
    *,
    report: Callable[[float], None] | None = None,
) -> SealedSketch:
    """Sketch and seal one picture; see `SketchSealer.encrypt_image`.

    Args:
        image_path: of the picture
        lock: to whom
        preprocess: how to read and prepare it
        encryption: how much to keep
        report: told the percentage of the work that is done
    """
    tell = None if report is None else lambda percent: report(_SKETCH * percent)
    sketch = sketch_picture(image_path, preprocess, encryption, report=tell)
    sealed = seal_bytes(to_bytes(sketch), Lock(recipients=[lock.recipient]))
    return SealedSketch(sealed, lock.identity, Path(image_path).name)


def secret_of(key: object) -> Secret:
    """Return a passphrase as its UTF-8 bytes.

    Raises:
        ConfigError: it is empty, or no text
    """
    if isinstance(key, str):
        key = key.encode("utf-8", "surrogateescape")
    secret = Secret(key) if isinstance(key, bytes) else key
    if not isinstance(secret, Secret):
        raise ConfigError(f"the key of a task is of type {type(key).__name__}: give a passphrase (str, bytes, Secret)")
    if not secret:
        raise ConfigError("the key of a task is empty: give a passphrase")
    return secret


class _Slot:
    __slots__ = ("lock", "made")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: SketchLock | None = None
