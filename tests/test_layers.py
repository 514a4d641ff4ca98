"""Who may import whom: the contracts in pyproject.toml hold, and they would notice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import raddle

LAYERS = "Imports point downwards, never up, never sideways"
PURE = "What decides touches no clock, thread, disk, network or dice"
FACE = "Workloads use the public face only"
STRANGERS = "Workloads do not know each other"
ADAPTERS = "Adapters do not know the engine"

# (file, line added to it, the contract that must notice)
VIOLATIONS = [
    ("_policy/retry.py", "import random", PURE),
    ("_engine/machine.py", "import time", PURE),
    ("_model.py", "import raddle._engine", LAYERS),
    ("_engine/machine.py", "import raddle.journal", LAYERS),
    ("backends/intruder.py", "import raddle.progress", LAYERS),
    ("_newcomer.py", "import raddle.errors", LAYERS),
    ("testing/intruder.py", "import raddle.workloads", LAYERS),
    ("plugin/package.py", "import raddle.workloads", LAYERS),
    ("workloads/intruder/__init__.py", "import raddle._model", FACE),
    ("workloads/intruder/__init__.py", "import raddle.workloads.weights", STRANGERS),
    ("journal/intruder.py", "import raddle._engine.machine", ADAPTERS),
]


def contracts(source: Path, config: Path) -> dict[str, str]:
    """Run import-linter over a copy of the package; return contract -> KEPT or BROKEN."""
    tool = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [tool, "--no-cache", "--config", config],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    found = dict(re.findall(r"^(\S.*\S) (KEPT|BROKEN)", result.stdout, re.MULTILINE))
    assert set(found) == {LAYERS, PURE, FACE, STRANGERS, ADAPTERS}, result.stdout + result.stderr
    return found


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package to spoil."""
    skip = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(Path(raddle.__file__).parent, tmp_path / "raddle", ignore=skip))


def test_all_contracts_are_kept(package: Path, root: Path) -> None:
    assert set(contracts(package.parent, root / "pyproject.toml").values()) == {"KEPT"}


def test_workloads_are_kept_from_every_module_but_the_public_ones(package: Path, root: Path) -> None:
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    forbidden = next(set(entry["forbidden_modules"]) for entry in config["contracts"] if entry["name"] == FACE)
    modules = {
        f"raddle.{path.stem}" for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    open_to_workloads = {
        "raddle.__init__",
        "raddle.__main__",
        "raddle.cli",
        "raddle.errors",
        "raddle.plugin",
        "raddle.testing",
        "raddle.web",
        "raddle.workloads",
    }
    assert modules - open_to_workloads == forbidden


@pytest.mark.slow
@pytest.mark.parametrize(("file", "line", "contract"), VIOLATIONS)
def test_a_violation_is_noticed(package: Path, root: Path, file: str, line: str, contract: str) -> None:
    target = package / file
    target.parent.mkdir(exist_ok=True)
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    target.write_text(f"{before}\n{line}\n", encoding="utf-8")
    broken = {name for name, state in contracts(package.parent, root / "pyproject.toml").items() if state == "BROKEN"}
    assert contract in broken
