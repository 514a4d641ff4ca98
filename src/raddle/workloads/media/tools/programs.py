"""Which programs are there, and what they can do; each is asked once."""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
from dataclasses import dataclass, replace
from typing import Final

from raddle import run_process
from raddle.errors import ConfigError, MissingExtra

__all__ = ["HARDWARE", "RENDER_NODE", "Programs", "find_programs"]

#: kinds of hardware encoding, in the order in which "auto" tries them
HARDWARE: Final = ("nvenc", "qsv", "vaapi")
_ASK: Final = 20.0
RENDER_NODE: Final = "/dev/dri/renderD128"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What `commands` may use. Paths are absolute."""

    ffmpeg: str
    ffmpeg_version: str
    #: names of ffmpeg's encoders: libx265, aac, hevc_nvenc ...; of the hardware ones only those that encoded a frame
    encoders: frozenset[str]
    #: imageio-ffmpeg's, because no other was found
    bundled: bool = False
    mkvmerge: str | None = None
    mkvpropedit: str | None = None
    mkvtoolnix_version: str = ""
    #: this ffmpeg moves copied Opus by its codec delay, 6.5 ms as a rule, with every copy
    moves_opus: bool = False
    #: copies a file, sharing its blocks where the file system can
    copy: tuple[str, ...] = ("cp", "--")

    def software(self) -> Programs:
        """Return the same without hardware encoders, for another try after one of them failed."""
        return replace(self, encoders=frozenset(name for name in self.encoders if not _is_hardware(name)))

    @property
    def ffmpeg_release(self) -> tuple[int, int]:
        """Return the release as numbers; what has none (a build from a repository) counts as new."""
        found = re.match(r"n?(\d+)\.(\d+)", self.ffmpeg_version)
        return (int(found[1]), int(found[2])) if found else (99, 0)


def find_programs(
    *,
    ffmpeg: str | None = None,
    mkvmerge: str | None = None,
    mkvpropedit: str | None = None,
    mkvtoolnix: bool = True,
    hardware: bool = False,
) -> Programs:
    """Find the programs and ask them what they can; answers are kept as long as the programs do not change.

    Args:
        ffmpeg: path or name; default: ffmpeg of PATH, else the one that imageio-ffmpeg brings
        mkvmerge: path or name; default: that of PATH, if there
        mkvpropedit: as mkvmerge
        mkvtoolnix: False to leave both alone, even if there
        hardware: try which hardware encoders work, by one frame each (about a second)

    Raises:
        ConfigError: a program that was named is not there or does not run
        MissingExtra: no ffmpeg anywhere
    """
    path, bundled = _find_ffmpeg(ffmpeg)
    version = _version(path, _mark(path), "-version", r"ffmpeg version (\S+)")
    encoders = _encoders(path, _mark(path))
    works = {name for name in encoders if hardware and _is_hardware(name) and _tried(path, _mark(path), name)}
    merge = _find("mkvmerge", mkvmerge) if mkvtoolnix else None
    edit = _find("mkvpropedit", mkvpropedit) if mkvtoolnix else None
    muxer = merge or edit
    return Programs(
        ffmpeg=path,
        ffmpeg_version=version,
        encoders=frozenset({name for name in encoders if not _is_hardware(name)} | works),
        bundled=bundled,
        mkvmerge=merge,
        mkvpropedit=edit,
        mkvtoolnix_version=_version(muxer, _mark(muxer), "--version", r"\S+ v(\S+)") if muxer else "",
        moves_opus="libopus" in encoders and _moves_opus(path, _mark(path)),
        copy=_copy(),
    )


def _is_hardware(encoder: str) -> bool:
    return encoder.endswith(tuple(f"_{kind}" for kind in HARDWARE))


def _find_ffmpeg(wanted: str | None) -> tuple[str, bool]:
    found = _find("ffmpeg", wanted)
    if found is not None:
        return found, False
    try:
        bundle = importlib.import_module("imageio_ffmpeg")  # it has no types
        return os.path.realpath(bundle.get_ffmpeg_exe()), True
    except (ImportError, RuntimeError) as error:
        raise MissingExtra("ffmpeg", "media") from error


def _find(name: str, wanted: str | None) -> str | None:
    found = shutil.which(wanted or name)
    if found is None and wanted is not None:
        raise ConfigError(f"{name}={wanted!r} is no program: give its path, or leave the option out to look in PATH")
    return None if found is None else os.path.abspath(found)  # noqa: PTH100 - links are part of what was named


def _mark(path: str) -> tuple[int, int]:
    """Return what changes when the program is replaced."""
    stat = os.stat(path)  # noqa: PTH116 - text in, figures out
    return stat.st_size, stat.st_mtime_ns


def _ask(argv: list[str]) -> str:
    try:
        done = run_process(argv, timeout=_ASK, text=True, errors="replace")
    except OSError as error:
        raise ConfigError(f"program={argv[0]!r} does not run: {error}") from error
    if done.returncode:
        last = (str(done.stderr).strip() or "no message").splitlines()[-1]
        raise ConfigError(f"program={argv[0]!r} does not run: exit code {done.returncode}, {last}")
    return str(done.stdout)


@functools.cache
def _version(path: str, _mark: tuple[int, int], option: str, pattern: str) -> str:
    text = _ask([path, option])
    found = re.match(pattern, text)
    if found is None:
        raise ConfigError(f"program={path!r} is not the one expected: it says {text[:60]!r} to {option}")
    return found[1]


@functools.cache
def _encoders(path: str, _mark: tuple[int, int]) -> frozenset[str]:
    text = _ask([path, "-hide_banner", "-v", "error", "-encoders"])
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\w\S*)", text, re.MULTILINE))


@functools.cache
def _tried(path: str, _mark: tuple[int, int], encoder: str) -> bool:
    """Say whether the encoder takes a frame: that it is compiled in says nothing of the machine."""
    argv = [path, "-nostdin", "-hide_banner", "-v", "error"]
    if encoder.endswith("_vaapi"):
        argv += ["-vaapi_device", RENDER_NODE]
    argv += ["-f", "lavfi", "-i", "color=size=256x256:rate=25", "-frames:v", "1"]
    argv += ["-vf", "format=nv12" + (",hwupload" if encoder.endswith("_vaapi") else "")]
    return run_process([*argv, "-c:v", encoder, "-f", "null", "-"], timeout=_ASK).returncode == 0


@functools.cache
def _moves_opus(path: str, _mark: tuple[int, int]) -> bool:
    """Copy a bit of Opus, and see whether it begins where it began."""
    quiet = [path, "-nostdin", "-hide_banner", "-v", "error", "-y"]
    # In memory: files would be left behind by a kill -9. ffmpeg opens them by way of /proc.
    with open(os.memfd_create("first"), "wb") as one, open(os.memfd_create("second"), "wb") as two:  # noqa: PTH123
        first, second = (f"file:/proc/{os.getpid()}/fd/{file.fileno()}" for file in (one, two))
        copied = ["-c", "copy", "-avoid_negative_ts", "disabled", "-f", "matroska", second]
        _ask([*quiet, "-f", "lavfi", "-i", "sine=duration=0.1", "-c:a", "libopus", "-f", "matroska", first])
        _ask([*quiet, "-copyts", "-i", first, *copied])
        told = [_ask([*quiet, "-copyts", "-i", name, "-c", "copy", "-f", "framecrc", "-"]) for name in (first, second)]
    begins = [[line.split(",")[2] for line in text.splitlines() if line[:1] != "#"][:1] for text in told]
    return begins[0] != begins[1]


@functools.cache
def _copy() -> tuple[str, ...]:
    path = shutil.which("cp") or "cp"
    try:
        known = "coreutils" in _ask([path, "--version"])
    except ConfigError:  # a small cp that knows no options
        known = False
    return (path, "--reflink=auto", "--") if known else (path, "--")
