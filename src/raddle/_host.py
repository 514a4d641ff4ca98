"""What this machine really grants: CPUs and memory, after affinity and every cgroup above this process.

All of it reads text files below `root`, so that a test gives a made-up tree. A limit counts wherever it stands among
the ancestors: a nested group is often unlimited itself while its parent is not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Grant", "cpus", "memory"]

_ROOT = Path("/")
#: cgroup v1 writes "no limit" as the largest page-aligned int64; no machine has an exbibyte
_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True)
class Grant:
    """What may be used: the least of the sources that name a figure."""

    value: int
    #: where each figure came from, in the order asked; None: it sets no limit
    sources: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """One folder of the cgroup tree, as seen from here."""

    #: cgroup v2; else v1
    unified: bool
    #: as people know it, such as "/sys/fs/cgroup/cpu/job"
    name: str
    path: Path


def cpus(*, root: Path = _ROOT, environ: Mapping[str, str] | None = None) -> Grant:
    """Return how many CPUs this process may use at once, at least 1.

    A quota of 2.5 CPUs counts as 2: a third worker would be throttled most of its time.
    """
    environ = os.environ if environ is None else environ
    sources: list[tuple[str, float | None]] = [("affinity", _affinity(root))]
    sources.extend(
        (f"cgroup v{2 if group.unified else 1} quota {group.name}", _quota(group)) for group in _groups(root, "cpu")
    )
    sources.append(("PYTHON_CPU_COUNT", _positive(environ.get("PYTHON_CPU_COUNT"))))
    return Grant(max(1, int(_least(sources, 1))), tuple(sources))


def memory(*, root: Path = _ROOT) -> Grant:
    """Return how many bytes of memory this process may use; 0 if nothing tells."""
    sources: list[tuple[str, float | None]] = [("MemTotal", _mem_total(root))]
    for group in _groups(root, "memory"):
        if group.unified:
            sources.append((f"cgroup v2 memory.max {group.name}", _bytes(_read(group.path / "memory.max"))))
            sources.append((f"cgroup v2 memory.high {group.name}", _bytes(_read(group.path / "memory.high"))))
        else:
            sources.append((f"cgroup v1 limit {group.name}", _v1_limit(group)))
    return Grant(int(_least(sources, 0)), tuple(sources))


def _least(sources: list[tuple[str, float | None]], default: float) -> float:
    return min((value for _, value in sources if value is not None), default=default)


# ------------------------------------------------------------------------------------------------------ figures


def _affinity(root: Path) -> int | None:
    allowed = _field(_read(root / "proc/self/status"), "Cpus_allowed_list:")
    if allowed:
        return _count(allowed)
    if root != _ROOT:
        return None
    # Not Linux, or a sandbox that leaves the line out.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _count(cpu_list: str) -> int | None:
    """Return how many CPUs a list such as "0-3,8" names."""
    total = 0
    for part in cpu_list.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            return None
        total += int(last or first) - int(first) + 1
    return total if total > 0 else None


def _quota(group: _Group) -> float | None:
    if group.unified:
        words = (_read(group.path / "cpu.max") or "").split()
        quota, period = _positive(words[0] if words else None), _positive(words[1] if len(words) > 1 else "100000")
    else:
        quota = _positive(_read(group.path / "cpu.cfs_quota_us"))
        period = _positive(_read(group.path / "cpu.cfs_period_us"))
    return None if quota is None or period is None else quota / period


def _v1_limit(group: _Group) -> int | None:
    own = _bytes(_read(group.path / "memory.limit_in_bytes"))
    # The kernel's least of all ancestors: it knows those that a container cannot see.
    least = _bytes(_field(_read(group.path / "memory.stat"), "hierarchical_memory_limit"))
    return min((value for value in (own, least) if value is not None), default=None)


def _mem_total(root: Path) -> int | None:
    kibibytes = _positive(_field(_read(root / "proc/meminfo"), "MemTotal:"))
    if kibibytes is not None:
        return kibibytes * 1024
    if root != _ROOT or not hasattr(os, "sysconf"):
        return None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _bytes(text: str | None) -> int | None:
    value = _positive(text)
    return None if value is None or value >= _UNLIMITED else value


def _positive(text: str | None) -> int | None:
    """Return a whole number above 0; None for "max", "-1", "default" and what is not there."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else None


def _field(text: str | None, name: str) -> str | None:
    """Return the first word after `name` in a file of lines such as "MemTotal:  8029380 kB"."""
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return words[1]
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


# ------------------------------------------------------------------------------------------------- cgroup tree


def _groups(root: Path, controller: str) -> Iterator[_Group]:
    """Yield the groups that bind this process, its own first, then every ancestor that is visible from here."""
    memberships = _memberships(root)
    for line in (_read(root / "proc/self/mountinfo") or "").splitlines():
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
            group = _Group(unified, str(name), root / str(name).lstrip("/"))
            if group.path.is_dir():
                yield group


def _memberships(root: Path) -> dict[str, str]:
    """Return this process's path for each v1 controller, and for v2 under ""."""
    found: dict[str, str] = {}
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
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
