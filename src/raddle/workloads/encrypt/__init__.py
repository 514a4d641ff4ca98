"""Any file sealed so that it comes back bit for bit, any picture sketched as a Fourier drawing.

Everything is imported when it is first asked for: a worker that seals loads no OpenCV, and the command line nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raddle.workloads.encrypt._workload import workload
    from raddle.workloads.encrypt.age import Keys, Lock, Secret
    from raddle.workloads.encrypt.keys import keygen, read_identities, read_recipients, secret_from
    from raddle.workloads.encrypt.live.renderer import ThreadSafeRenderer
    from raddle.workloads.encrypt.sealed_sketch import SealedSketch, SketchSealer
    from raddle.workloads.encrypt.sealing import open_bytes, open_file, seal_bytes, seal_file
    from raddle.workloads.encrypt.seed import ConcurrentEncryptionOrchestrator, EncryptionResult, EncryptionTask
    from raddle.workloads.encrypt.sketch import EncryptionConfig, PreprocessConfig, Sketch, sketch_picture

__all__ = [
    "ConcurrentEncryptionOrchestrator",
    "EncryptionConfig",
    "EncryptionResult",
    "EncryptionTask",
    "Keys",
    "Lock",
    "PreprocessConfig",
    "SealedSketch",
    "Secret",
    "Sketch",
    "SketchSealer",
    "ThreadSafeRenderer",
    "keygen",
    "open_bytes",
    "open_file",
    "read_identities",
    "read_recipients",
    "seal_bytes",
    "seal_file",
    "secret_from",
    "sketch_picture",
    "workload",
]

_HOMES: Final = {
    "ConcurrentEncryptionOrchestrator": "seed",
    "EncryptionConfig": "sketch",
    "EncryptionResult": "seed",
    "EncryptionTask": "seed",
    "Keys": "age",
    "Lock": "age",
    "PreprocessConfig": "sketch",
    "SealedSketch": "sealed_sketch",
    "Secret": "age",
    "Sketch": "sketch",
    "SketchSealer": "sealed_sketch",
    "ThreadSafeRenderer": "live.renderer",
    "keygen": "keys",
    "open_bytes": "sealing",
    "open_file": "sealing",
    "read_identities": "keys",
    "read_recipients": "keys",
    "seal_bytes": "sealing",
    "seal_file": "sealing",
    "secret_from": "keys",
    "sketch_picture": "sketch",
    "workload": "_workload",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
