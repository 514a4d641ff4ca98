"""Kernels are plain modules; compiled they are kept on disk, and that is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("numba")

if TYPE_CHECKING:
    from pathlib import Path

KERNEL = """
FACTOR = 3.0

def twice(x: float) -> float:
    return inner(x) + inner(x)

def inner(x: float) -> float:
    return x * FACTOR
"""
PROGRAM = """
import kernel
from raddle.workloads.weights.rules.compiled import compiled, is_ready
before = is_ready(kernel)
assert kernel.twice(1.5) == compiled(kernel).twice(1.5) == 9.0
print(before, is_ready(kernel))
"""


@pytest.mark.parametrize("apart", [False, True], ids=["beside the source", "in NUMBA_CACHE_DIR"])
def test_what_was_compiled_before_is_known(apart: bool, tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    if apart:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "cache")
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["False True", "True True"]
