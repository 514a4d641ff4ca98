"""Any file sealed so that it comes back bit for bit, any picture sketched as a Fourier drawing.

Everything is imported when it is first asked for: a worker that seals loads no OpenCV, and the command line nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raddle.plugin import exports

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

__getattr__, __dir__ = exports(
    __name__,
    {
        "_workload": ["workload"],
        "age": ["Keys", "Lock", "Secret"],
        "keys": ["keygen", "read_identities", "read_recipients", "secret_from"],
        "live.renderer": ["ThreadSafeRenderer"],
        "sealed_sketch": ["SealedSketch", "SketchSealer"],
        "sealing": ["open_bytes", "open_file", "seal_bytes", "seal_file"],
        "seed": ["ConcurrentEncryptionOrchestrator", "EncryptionResult", "EncryptionTask"],
        "sketch": ["EncryptionConfig", "PreprocessConfig", "Sketch", "sketch_picture"],
    },
)
