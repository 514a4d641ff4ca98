"""`raddle media` as a subprocess for tests of safety, and what they look at from outside: hashes, ffprobe, /proc."""

# names are text of any bytes and pass as they are, to calls most of which Path does not have
# ruff: noqa: PTH114, PTH115, PTH118, PTH119
from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from raddle.workloads.media.replace.names import KEPT, TRASH, main_temporary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from raddle.workloads.media.plan.values import Plan

__all__ = [
    "Home",
    "Ran",
    "Shape",
    "hashes",
    "leftovers",
    "planned_shape",
    "raw_path",
    "restored_hashes",
    "shape",
    "until",
    "write",
]

#: in the environment of a command and of all that it starts
_MARK: Final = "RADDLE_TEST_MARK"
#: a stream: kind, codec, language, title, default, forced, packets or the attachment's name
Shape = tuple[tuple[Any, ...], ...]

#: Stands first on PATH under the names of the tools. Whatever files it is given are locked for as long as the real
#: program runs, since that takes the shell's place and has the descriptors; a lock that is held is a loud failure.
_GUARD: Final = r"""#!/bin/bash
# `work` is the first input, `out` the file to write, when this call is about a file of the library
fd=10 work= out=${@: -1} before=
for word in "$@"; do
    path=${word#file:}
    [ "$before" = --output ] && out=$path
    before=$word
    case $path in "$TMPDIR"/* | /proc/*) continue;; esac
    if [ -f "$path" ] && [ -s "$path" ]; then
        mark=$(stat -L -c %d-%i -- "$path")
        eval "exec $fd>>'LOCKS/$mark'"
        if ! flock -n $fd; then
            printf 'HELD %s %s %q\n' "$$" "TOOL" "$path" >>'TOLD'
            echo "$path is in use by another program" >&2
            exit 99
        fi
        printf 'start %s %s %q\n' "$$" "TOOL" "$path" >>'TOLD'
        work=${work:-$path} fd=$((fd + 1))
    fi
done
out=${out#file:}
if [ -n "$work" ]; then
    :
    BEFORE
fi
exec 'REAL' "$@"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How the command ended."""

    code: int
    out: str
    err: str
    rows: tuple[dict[str, Any], ...]
    summary: dict[str, Any]
    seconds: float

    def row(self, path: str | bytes | Path) -> dict[str, Any]:
        """The one line about this path."""
        raw = os.fsencode(path)
        found = [row for row in self.rows if raw_path(row) == raw]
        assert len(found) == 1, f"{len(found)} lines for {path!r} among {[row['path'] for row in self.rows]}"
        return found[0]

    def statuses(self) -> dict[str, str]:
        """Status by the path's last part."""
        return {os.path.basename(row["path"]): row["status"] for row in self.rows}


def raw_path(row: dict[str, Any]) -> bytes:
    """The path's bytes: a name that is not UTF-8 is told in base64 too."""
    return base64.b64decode(row["path_base64"]) if "path_base64" in row else os.fsencode(row["path"])


@dataclass(slots=True)
class Home:
    """A place with a state folder, a temporary folder and, if asked for, guarded or fake tools."""

    folder: Path
    #: stands before the command
    prefix: tuple[str, ...] = ()
    env: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("state", "tmp", "config", "bin", "locks"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.env = {
            **os.environ,
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONWARNINGS": "default",
            _MARK: uuid.uuid4().hex,
        }
        self.env.pop("RADDLE_CHAOS", None)

    @property
    def log(self) -> Path:
        """Where guarded tools tell of their inputs."""
        return self.folder / "tools.log"

    def guard(self, *tools: str, before: str = "") -> None:
        """Put wrappers first on PATH that hold a lock on every input. `before`: lines of bash before the real one."""
        for tool in tools or ("ffmpeg", "mkvmerge", "mkvpropedit"):
            real = shutil.which(tool)
            if real is None:
                continue
            text = _GUARD.replace("LOCKS", str(self.folder / "locks")).replace("TOLD", str(self.log))
            text = text.replace("TOOL", tool).replace("BEFORE", before).replace("REAL", real)
            self._install(tool, text)

    def fake(self, tool: str, text: str) -> None:
        """Put a bash script first on PATH as `tool`; REAL in it is the path of the real one."""
        self._install(tool, f"#!/bin/bash\n{text}".replace("REAL", program(tool)))

    def _install(self, tool: str, text: str) -> None:
        path = self.folder / "bin" / tool
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        self.env["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def held(self) -> list[str]:
        """The guard's complaints: inputs that two programs had at once."""
        return [line for line in self.told() if line.startswith("HELD")]

    def told(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []

    def start(self, *words: object, cwd: Path | None = None, **more: Any) -> subprocess.Popen[bytes]:
        """Start the command in a session of its own."""
        argv = [
            *self.prefix,
            sys.executable,
            "-m",
            "raddle",
            "media",
            *(os.fsencode(w) if _is_path(w) else str(w) for w in words),
        ]
        given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(argv, cwd=cwd, env=self.env, start_new_session=True, **{**given, **more})

    def run(self, *words: object, cwd: Path | None = None, limit: float = 120.0) -> Ran:
        """Run the command to its end, and hold it to its word about stdout and tracebacks."""
        began = time.monotonic()
        with self.start(*words, cwd=cwd) as process:
            return self.end(process, began=began, limit=limit)

    def end(self, process: subprocess.Popen[bytes], *, began: float, limit: float = 120.0) -> Ran:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        seconds = time.monotonic() - began
        text, told = os.fsdecode(out), os.fsdecode(err)
        assert "Traceback" not in told + text, told + text
        assert "Warning:" not in told, told
        rows, summary = _lines(text) if text.startswith("{") else ((), {})
        return Ran(process.returncode, text, told, rows, summary, seconds)

    def media(
        self, policy: Path, *paths: object, cwd: Path | None = None, limit: float = 120.0, options: str = ""
    ) -> Ran:
        """`raddle media run --json`."""
        words = ["run", "--json", "--progress", "none", *options.split(), policy, "--", *paths]
        return self.run(*words, cwd=cwd, limit=limit)

    def children(self) -> dict[int, str]:
        """What runs with our mark, by process id, with its command line."""
        mark = f"{_MARK}={self.env[_MARK]}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (
                        (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    )
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if line}

    def litter(self) -> list[str]:
        """What is left in the temporary folder, and locks of claims in the state."""
        there = [str(path) for path in (self.folder / "tmp").rglob("*")]
        return there + [str(path) for path in (self.folder / "state").rglob("*.lock") if path.stat().st_size]


def _is_path(word: object) -> bool:
    return isinstance(word, (str, bytes, os.PathLike))


def _lines(text: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    parsed = [json.loads(line) for line in text.splitlines()]
    assert [line for line in parsed if "summary" in line] == parsed[-1:], "the summary is the last line, and once"
    return tuple(parsed[:-1]), parsed[-1]["summary"]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here")
    return found


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def until(true: Callable[[], object], seconds: float = 60.0) -> bool:
    """Look from outside until it is so; there is no event to wait for."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# ---------------------------------------------------------------------------------------------------------- on the disk


def hashes(folder: Path, *, ours: bool = False) -> dict[bytes, str]:
    """SHA-256 of regular files by their path below the folder; of links where they lead. Without what is raddle's."""
    found: dict[bytes, str] = {}
    root = os.fsencode(folder)
    for place, inner, names in os.walk(root):
        if not ours:
            inner[:] = [name for name in inner if os.fsdecode(name) not in {TRASH, KEPT}]
        for name in names + [each for each in inner if os.path.islink(os.path.join(place, each))]:
            path = os.path.join(place, name)
            with contextlib.suppress(FileNotFoundError):  # a temporary of a run under way
                facts = os.lstat(path)
                if stat.S_ISLNK(facts.st_mode):
                    found[os.path.relpath(path, root)] = f"-> {os.fsdecode(os.readlink(path))}"
                elif stat.S_ISREG(facts.st_mode):
                    found[os.path.relpath(path, root)] = digest(path)
    return found


def digest(path: bytes | str | Path) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return hashlib.file_digest(file, "sha256").hexdigest()


def leftovers(folder: Path) -> list[str]:
    """Temporary files of raddle or of its tools; the trash is none."""
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.join(place, name) for name in names if main_temporary(name) or ".tmp" in name]
    return found


def restored_hashes(folder: Path) -> dict[str, set[str]]:
    """SHA-256 of all that the trashes hold, by the folder they are in and the name: "Show/E01.mkv"."""
    found: dict[str, set[str]] = {}
    for trash in [*folder.rglob(TRASH), *folder.rglob(KEPT)]:
        for file in trash.glob("*/*"):
            name = str((trash.parent / file.name).relative_to(folder))
            found.setdefault(name, set()).add(digest(file))
    return found


_shapes: dict[str, Shape] = {}


def shape(path: str | bytes | Path) -> Shape:
    """What ffprobe, which raddle does not use, says of all streams, their packets counted."""
    key = digest(path)
    if key not in _shapes:
        asked = ["-count_packets", "-show_streams", "-of", "json"]
        done = subprocess.run(
            [program("ffprobe"), "-v", "error", *asked, path], capture_output=True, check=False, timeout=120
        )
        streams = json.loads(done.stdout or b"{}").get("streams", [])
        # MP4 keeps chapters as a stream of data
        streams = [stream for stream in streams if stream["codec_type"] != "data"]
        _shapes[key] = tuple(_facts(stream) for stream in streams) if done.returncode == 0 else ()
    return _shapes[key]


def _facts(stream: dict[str, Any]) -> tuple[Any, ...]:
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    marks = stream.get("disposition", {})
    kind, codec = stream["codec_type"], stream.get("codec_name", "")
    if kind == "attachment" or marks.get("attached_pic"):
        return ("attachment", tags.get("filename", ""))
    flags = (bool(marks.get("default")), bool(marks.get("forced")))
    return (
        kind,
        codec,
        tags.get("language", "und"),
        tags.get("title", ""),
        *flags,
        int(stream.get("nb_read_packets", 0)),
    )


def planned_shape(plan: Plan) -> list[tuple[Any, ...]]:
    """What a plan says of the streams, in the words of `shape`, without packets."""
    sources = {stream.index: stream for stream in plan.source.streams}
    found: list[tuple[Any, ...]] = []
    for output in plan.outputs:
        source = sources[output.source]
        if output.kind == "attachment" or source.picture:
            found.append(("attachment", source.filename))
            continue
        codec = output.codec.to if output.codec else source.codec
        flags = (output.default, output.forced)
        found.append((output.kind, codec, output.language or "und", output.title, *flags))
    return found


def without_packets(streams: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [stream if stream[0] == "attachment" else stream[:-1] for stream in streams]
