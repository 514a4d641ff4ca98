"""What the tests of the command share. Put this folder on `sys.path`, then `from media_command import ...`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from made import copy_of
from typer.testing import CliRunner

from raddle.workloads.media.cli import app

if TYPE_CHECKING:
    from collections.abc import Mapping

PROGRAM = "from raddle.workloads.media.cli import app; app(prog_name='raddle media')"
FAKE = Path(__file__).parent / "fake_tools" / "ffmpeg_watched"

#: changes every clip that has sound in another language or a title
KEEP_ENGLISH = "keep_audio: {languages: [eng, und], otherwise: keep_all}"
CLEAR = "clear: {titles: [video, audio]}"
ENCODE = "video: {to: h264, crf: 40, preset: ultrafast, max_height: 64}"


def policy(folder: Path, *steps: str, **top: str) -> Path:
    """A policy file of those steps."""
    lines = ["version: 1", *(f"{key}: {value}" for key, value in top.items()), "steps:"]
    file = folder / "policy.yaml"
    file.write_text("\n".join([*lines, *(f"  - {step}" for step in steps)]) + "\n")
    return file


def run(*words: object, code: int = 0) -> Any:
    """Run the command in this process."""
    result: Any = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result


def rows(*words: object, code: int = 0) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Run with --json; return the rows by file name, and the summary."""
    return read_rows(run(*words, "--json", "--progress", "none", code=code).stdout)


def read_rows(text: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """The rows by file name, and the summary."""
    lines = [json.loads(line) for line in text.splitlines()]
    summary = lines.pop()["summary"]
    found = {Path(line["path"]).name: line for line in lines}
    assert len(found) == len(lines), "one line for each file"
    assert summary["files"] == len(lines)
    return found, summary


def argv(*words: object) -> list[str]:
    """The command for a process of its own."""
    return [sys.executable, "-c", PROGRAM, *map(str, words)]


def start(*words: object, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    env = {**os.environ, **(environment or {})}
    return subprocess.Popen(argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def library(folder: Path, *names: str) -> Path:
    """A folder with copies of clips of `made`, numbered where one comes again."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        copy_of(name, folder, f"{number:02}-{name}{'.mkv' if '.' not in name else ''}")
    return folder


def tree(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What a folder holds, by path: inode, mtime, bytes."""
    found = {}
    for here, _, names in os.walk(folder):
        for name in names:
            path = Path(here) / name
            facts = path.stat()
            found[str(path.relative_to(folder))] = (facts.st_ino, facts.st_mtime_ns, path.read_bytes())
    return found


def watched(folder: Path, do: str = "", **more: str) -> tuple[Path, Path, dict[str, str]]:
    """A configuration with the watched ffmpeg, its log, and the environment that says what it does."""
    real = shutil.which("ffmpeg")
    if real is None:
        pytest.skip("no ffmpeg here: install it")
    config, log = folder / "media.toml", folder / "ffmpeg.log"
    config.write_text(f'[media]\nffmpeg = "{FAKE}"\nmkvtoolnix = false\nstate = "{folder / "state"}"\n')
    log.touch()
    return config, log, {"FAKE_LOG": str(log), "FAKE_DO": do, "FAKE_FFMPEG": real, **more}


def most_at_once(log: Path, kind: str) -> int:
    """How many of a kind worked at the same time."""
    now = most = 0
    for line in log.read_text().splitlines():
        what, which, _ = line.split()
        if which == kind:
            now += 1 if what == "begin" else -1
            most = max(most, now)
    return most
