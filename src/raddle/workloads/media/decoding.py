"""Decoding a whole file with ffmpeg, for what it complains about.

In a process of its own: decoders meet hostile bytes, a crash of theirs must not take the run along, and unlike a thread
it can be ended.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import Final

from raddle import run_process
from raddle.workloads.media.opening import FORMATS
from raddle.workloads.media.tools.programs import find_programs

__all__ = ["Decoded", "decode", "parse"]

_MOST: Final = 20
#: A file that fills this with messages has been judged: `head` ends, and ffmpeg with it.
_ENOUGH: Final = 1_000_000
_BOUNDED: Final = f'exec 3>&1; "$@" 2>&1 >&3 3>&- | head -c {_ENOUGH} >&2'
_LINE: Final = re.compile(r"^(?:\[(?P<who>[^\]@]+) @ [^\]]*\] )*\[(?P<level>[a-z]+)\] (?P<text>.*)$")
_FRAMES: Final = re.compile(r"Input stream #0:(\d+) \(\w+\): \d+ packets read \(\d+ bytes\); (\d+) frames decoded")
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{6,}")
_BAD: Final = frozenset({"error", "fatal", "panic"})


@dataclass(frozen=True, slots=True)
class Decoded:
    """What ffmpeg said."""

    #: messages of level error and worse, each once, at most 20 kinds
    errors: tuple[str, ...]
    #: decoded frames by the stream's index; empty if ffmpeg did not say
    frames: dict[int, int] = field(default_factory=dict)


def decode(
    path: str,
    *,
    ffmpeg: str | None = None,
    timeout: float | None = None,
    stall_timeout: float | None = None,
) -> Decoded:
    """Decode all pictures and sound of a file, and read all the rest.

    Args:
        path: the file
        ffmpeg: the program; default: the system's, else that of imageio-ffmpeg
        timeout: seconds
        stall_timeout: seconds without progress

    Raises:
        MissingExtra: there is no ffmpeg
        ConfigError: the named program does not run
        ItemCancelled: the run was stopped
    """
    program = find_programs(ffmpeg=ffmpeg, mkvtoolnix=False).ffmpeg
    argv: list[str | bytes] = [program, "-nostdin", "-hide_banner", "-loglevel", "level+verbose"]
    argv += ["-nostats", "-stats_period", "1", "-progress", "pipe:1"]
    argv += ["-protocol_whitelist", "file", "-format_whitelist", FORMATS, "-err_detect", "crccheck"]
    argv += ["-i", b"file:" + os.fsencode(path), "-map", "0:v?", "-map", "0:a?", "-map", "0:s?"]
    argv += ["-c:s", "copy", "-f", "null", "-"]
    try:
        done = run_process(["sh", "-c", _BOUNDED, "sh", *argv], timeout=timeout, stall_timeout=stall_timeout)
    except subprocess.TimeoutExpired as late:
        found = parse(late.stderr or b"")
        return Decoded((*found.errors, f"ffmpeg had to be ended after {late.timeout:g} s"), found.frames)
    found = parse(done.stderr)
    finished = b"progress=end" in done.stdout
    if finished or found.errors:
        return found
    return Decoded(("ffmpeg ended before the file did, and did not say why",), found.frames)


def parse(stderr: bytes) -> Decoded:
    """Read what ffmpeg wrote with `-loglevel level+verbose`."""
    counts: dict[str, int] = {}
    frames: dict[int, int] = {}
    for line in stderr.decode("utf-8", "replace").splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        told = _FRAMES.search(found["text"])
        if told:
            frames[int(told[1])] = int(told[2])
        # What the writer of nothing says is about our output: timestamps that a real one would refuse.
        elif found["level"] in _BAD and (found["who"] or "").rpartition("/")[2] != "null":
            who = f"{found['who'].strip()}: " if found["who"] else ""
            text = who + _ADDRESS.sub("0x…", found["text"]).strip()
            counts[text] = counts.get(text, 0) + 1
    lines = [f"{text} ({count} times)" if count > 1 else text for text, count in counts.items()]
    if len(lines) > _MOST:
        lines = [*lines[:_MOST], f"and {len(lines) - _MOST} more kinds of messages"]
    return Decoded(tuple(lines), frames)
