"""What the tests of the command share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from raddle.workloads.encrypt.cli import app

PROGRAM = "from raddle.workloads.encrypt.cli import app; app(prog_name='raddle encrypt')"


def run(*words: object, code: int = 0) -> Any:
    """Run the command in this process."""
    result: Any = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def argv(*words: object) -> list[str]:
    """The command for a process of its own."""
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def process(*words: object, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    done = subprocess.run(argv(*words), capture_output=True, text=True, check=False, **options)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def tree(folder: Path) -> dict[str, bytes]:
    """What a folder holds, by path."""
    found = {}
    for here, _, names in os.walk(folder):
        for name in names:
            path = Path(here) / name
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def key(folder: Path) -> tuple[Path, str]:
    """A key file and its recipient."""
    file = folder / "key.txt"
    return file, run("keygen", "-o", file).output.strip()
