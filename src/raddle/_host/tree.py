"""Text files below `root`: the cgroup tree as this process sees it, and how to read figures from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "Group", "field", "groups", "positive", "read"]

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Group:
    """One folder of the cgroup tree, as seen from here."""

    #: cgroup v2; else v1
    unified: bool
    #: as people know it, such as "/sys/fs/cgroup/cpu/job"
    name: str
    path: Path


def groups(root: Path, controller: str) -> Iterator[Group]:
    """Yield the groups that bind this process, its own first, then every ancestor that is visible from here."""
    memberships = _memberships(root)
    for line in (read(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) < 5 or len(right) < 3 or right[0] not in {"cgroup", "cgroup2"}:  # noqa: PLR2004 - see proc(5)
            continue
        unified = right[0] == "cgroup2"
        if not unified and controller not in right[2].split(","):
            continue
        own = memberships.get("" if unified else controller)
        if own is None:
            continue
        mount = PurePosixPath(_unescape(left[4]))
        inside = _inside(own, _unescape(left[3]))
        for path in (inside, *inside.parents):
            name = mount / path
            group = Group(unified, str(name), root / str(name).lstrip("/"))
            if group.path.is_dir():
                yield group


def _memberships(root: Path) -> dict[str, str]:
    """Return this process's path for each v1 controller, and for v2 under ""."""
    found: dict[str, str] = {}
    for line in (read(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found[""] = path
        else:
            found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _inside(own: str, mounted: str) -> PurePosixPath:
    """Return the group's path below the mount point.

    In a container the mount often shows the container's own group as its top while /proc/self/cgroup still names the
    path on the host, or one with ".." in it: then the mount point itself is the nearest group that can be seen.
    """
    path = PurePosixPath(own)
    if ".." in path.parts or not path.is_relative_to(mounted):
        return PurePosixPath()
    return path.relative_to(mounted)


def _unescape(text: str) -> str:
    """Undo the octal escapes that mountinfo has for blanks and backslashes."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def positive(text: str | None) -> int | None:
    """Return a whole number above 0; None for "max", "-1", "default" and what is not there."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def field(text: str | None, name: str) -> str | None:
    """Return the first word after `name` in a file of lines such as "MemTotal:  8029380 kB"."""
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return words[1]
    return None


def read(path: Path) -> str | None:
    """Return the text of a file; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
