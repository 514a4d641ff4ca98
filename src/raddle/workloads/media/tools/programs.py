"""Which programs are there, and what they can do; each is asked once, and only what is needed."""

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

__all__ = ["HARDWARE", "RENDER_NODE", "Abilities", "Programs", "find_programs"]

#: kinds of hardware encoding, in the order in which "auto" tries them
HARDWARE: Final = ("nvenc", "qsv", "vaapi")
_ASK: Final = 20.0
RENDER_NODE: Final = "/dev/dri/renderD128"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What an ffmpeg says and shows of itself."""

    #: 7.1, 5.1.9-0+deb12u1, n6.0 ...
    version: str
    #: names of its encoders: libx265, aac, hevc_nvenc ...
    encoders: frozenset[str]
    #: it moves copied Opus by its codec delay, 6.5 ms as a rule, with every copy
    moves_opus: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What `commands` may use. Paths are absolute.

    A program is asked what it can when that is first needed, and answers are kept as long as it does not change. They
    are not kept on the disk: another libavcodec below the same ffmpeg would not be noticed.
    """

    ffmpeg: str
    #: imageio-ffmpeg's, because no other was found
    bundled: bool = False
    mkvmerge: str | None = None
    mkvpropedit: str | None = None
    #: hardware encoders may be used, of those that encode a frame here
    hardware: bool = False
    #: None: it is asked
    known: Abilities | None = None

    def software(self) -> Programs:
        """Return the same without hardware encoders, for another try after one of them failed."""
        return replace(self, hardware=False)

    @property
    def encoders(self) -> frozenset[str]:
        """Return the names of ffmpeg's encoders that can be used.

        Raises:
            ConfigError: it does not run
        """
        found = self.known.encoders if self.known else _told(self.ffmpeg, _mark(self.ffmpeg))[1]
        return frozenset(name for name in found if not _is_hardware(name) or (self.hardware and self._works(name)))

    def _works(self, name: str) -> bool:
        return self.known is not None or _tried(self.ffmpeg, _mark(self.ffmpeg), name)

    @property
    def ffmpeg_version(self) -> str:
        """Return what ffmpeg calls its version.

        Raises:
            ConfigError: it does not run
        """
        return self.known.version if self.known else _told(self.ffmpeg, _mark(self.ffmpeg))[0]

    @property
    def ffmpeg_release(self) -> tuple[int, int]:
        """Return the release as numbers; what has none (a build from a repository) counts as new."""
        found = re.match(r"n?(\d+)\.(\d+)", self.ffmpeg_version)
        return (int(found[1]), int(found[2])) if found else (99, 0)

    @property
    def moves_opus(self) -> bool:
        """Whether this ffmpeg moves copied Opus."""
        if self.known:
            return self.known.moves_opus
        return "libopus" in self.encoders and _moves_opus(self.ffmpeg, _mark(self.ffmpeg))

    @property
    def copy(self) -> tuple[str, ...]:
        """Return what copies a file, sharing its blocks where the file system can."""
        return _copy()


def find_programs(
    *,
    ffmpeg: str | None = None,
    mkvmerge: str | None = None,
    mkvpropedit: str | None = None,
    mkvtoolnix: bool = True,
    hardware: bool = False,
) -> Programs:
    """Find the programs; those that were named are asked whether they are what they are called.

    Args:
        ffmpeg: path or name; default: ffmpeg of PATH, else the one that imageio-ffmpeg brings
        mkvmerge: path or name; default: that of PATH, if there
        mkvpropedit: as mkvmerge
        mkvtoolnix: False to leave both alone, even if there
        hardware: hardware encoders may be used; each is tried with one frame when encoders are first asked for

    Raises:
        ConfigError: a program that was named is not there or does not run
        MissingExtra: no ffmpeg anywhere
    """
    path, bundled = _find_ffmpeg(ffmpeg)
    if ffmpeg is not None:
        _told(path, _mark(path))
    merge = _find("mkvmerge", mkvmerge) if mkvtoolnix else None
    edit = _find("mkvpropedit", mkvpropedit) if mkvtoolnix else None
    for found, named in ((merge, mkvmerge), (edit, mkvpropedit)):
        if found and named is not None:
            _version(found, _mark(found))
    return Programs(ffmpeg=path, bundled=bundled, mkvmerge=merge, mkvpropedit=edit, hardware=hardware)


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
    return f"{done.stderr}{done.stdout}"


@functools.cache
def _told(path: str, _mark: tuple[int, int]) -> tuple[str, frozenset[str]]:
    """Return ffmpeg's version and the names of its encoders, of one call."""
    text = _ask([path, "-encoders"])
    return _said(path, text, r"ffmpeg version (\S+)"), frozenset(
        re.findall(r"^ [VAS][A-Z.]{5} (\w\S*)", text, re.MULTILINE)
    )


@functools.cache
def _version(path: str, _mark: tuple[int, int]) -> str:
    """Return mkvmerge's or mkvpropedit's version."""
    return _said(path, _ask([path, "--version"]), r"\S+ v(\S+)")


def _said(path: str, text: str, pattern: str) -> str:
    found = re.match(pattern, text)
    if found is None:
        raise ConfigError(f"program={path!r} is not the one expected: it says {text[:60]!r} of itself")
    return found[1]


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
        return _begins(first) != _begins(second)


def _begins(name: str) -> int | None:
    """Return when the first packet of a file begins, in the units of its stream."""
    import av

    with av.open(name, format="matroska") as container:
        begin: int | None = next(container.demux()).pts
        return begin


@functools.cache
def _copy() -> tuple[str, ...]:
    path = shutil.which("cp") or "cp"
    try:
        known = "coreutils" in _ask([path, "--version"])
    except ConfigError:  # a small cp that knows no options
        known = False
    return (path, "--reflink=auto", "--") if known else (path, "--")
