"""`import raddle.workloads.encrypt` is light, and what it promises is there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"PIL", "cryptography", "cv2", "matplotlib", "numpy", "rich", "typer"}

PROGRAM = """
import json, sys
import raddle.workloads.encrypt as encrypt
{more}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def loaded_by(more: str) -> set[str]:
    program = PROGRAM.format(more=more)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(result.stdout))


@pytest.mark.parametrize(
    "more",
    [
        "",
        "dir(encrypt)",
        "encrypt.EncryptionTask, encrypt.EncryptionResult",
        "encrypt.PreprocessConfig(), encrypt.EncryptionConfig()",
        "encrypt.ConcurrentEncryptionOrchestrator(orchestrator=object())",
        "encrypt.workload",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(more: str) -> None:
    assert not loaded_by(more) & HEAVY


def test_sealing_loads_nothing_that_draws() -> None:
    pytest.importorskip("cryptography")
    assert not loaded_by("encrypt.seal_file, encrypt.Lock, encrypt.keygen") & (HEAVY - {"cryptography"})


def test_every_name_is_there() -> None:
    for library in ("cryptography", "cv2", "PIL", "numpy", "typer"):
        pytest.importorskip(library)
    from raddle.workloads import encrypt

    assert [name for name in encrypt.__all__ if getattr(encrypt, name, None) is None] == []
    assert set(encrypt.__all__) <= set(dir(encrypt))


def test_an_unknown_name_is_an_error() -> None:
    from raddle.workloads import encrypt

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = encrypt.no_such_name
