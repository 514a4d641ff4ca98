"""What the machine grants, read from made-up trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from raddle import _host

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30
UNLIMITED_V1 = "9223372036854771712"


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def v2(root: Path, own: str, mounted: str = "/", mount: str = "/sys/fs/cgroup", **files: str) -> Path:
    """Plant a pure v2 machine of 8 CPUs; keyword "a__cpu_max" is the file a/cpu.max below the mount point."""
    given = {f"{mount.lstrip('/')}/{key.replace('__', '/').replace('_', '.')}": text for key, text in files.items()}
    return plant(
        root,
        {
            "proc/self/status": "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7",
            "proc/meminfo": "MemTotal:       8388608 kB\nMemFree: 1 kB",
            "proc/self/cgroup": f"0::{own}",
            "proc/self/mountinfo": (
                "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
                f"31 22 0:27 {mounted} {mount.replace(' ', chr(92) + '040')} rw,nosuid shared:4 - cgroup2 cgroup2 rw"
            ),
            f"{mount.lstrip('/')}/cgroup.controllers": "cpu memory",
            **given,
        },
    )


@pytest.mark.parametrize(
    ("allowed", "expected"), [("0", 1), ("0-3", 4), ("0-1,4,8-11", 7), ("0-63", 64), ("", 1), ("garbage", 1)]
)
def test_affinity_counts_the_list(tmp_path: Path, allowed: str, expected: int) -> None:
    root = plant(tmp_path, {"proc/self/status": f"Cpus_allowed_list:\t{allowed}"})
    assert _host.cpus(root=root, environ={}).value == expected


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [
        ("max 100000", 8),
        ("150000 100000", 1),
        ("250000 100000", 2),
        ("400000 100000", 4),
        ("50000 100000", 1),
        ("300000", 3),
    ],
)
def test_v2_quota_is_rounded_down_but_at_least_1(tmp_path: Path, cpu_max: str, expected: int) -> None:
    root = v2(tmp_path, "/job", job__cpu_max=cpu_max)
    assert _host.cpus(root=root, environ={}).value == expected


def test_the_least_of_all_ancestors_counts(tmp_path: Path) -> None:
    root = v2(
        tmp_path,
        "/a/b/c",
        a__cpu_max="600000 100000",
        a__b__cpu_max="300000 100000",
        a__b__c__cpu_max="max 100000",
        a__memory_max=str(3 * GIB),
        a__b__memory_high=str(2 * GIB),
        a__b__c__memory_max="max",
    )
    cpus, memory = _host.cpus(root=root, environ={}), _host.memory(root=root)
    assert cpus.value == 3
    assert dict(cpus.sources)["cgroup v2 quota /sys/fs/cgroup/a/b"] == 3
    assert dict(cpus.sources)["cgroup v2 quota /sys/fs/cgroup/a/b/c"] is None
    assert memory.value == 2 * GIB
    assert dict(memory.sources)["MemTotal"] == 8 * GIB


@pytest.mark.parametrize(
    ("own", "mounted"),
    [
        ("/docker/abc", "/docker/abc"),  # the mount shows the container's group as its top
        ("/", "/"),  # a cgroup namespace
        ("/../../elsewhere", "/"),  # outside of the namespace: the mount point is the nearest that can be seen
        ("/kubepods/pod1/x", "/docker/abc"),
    ],
)
def test_container_sees_its_limit_at_the_mount_point(tmp_path: Path, own: str, mounted: str) -> None:
    root = v2(tmp_path, own, mounted, cpu_max="200000 100000", memory_max=str(GIB))
    assert _host.cpus(root=root, environ={}).value == 2
    assert _host.memory(root=root).value == GIB


def test_mount_point_with_a_blank(tmp_path: Path) -> None:
    root = v2(tmp_path, "/", mount="/sys/fs/c group", cpu_max="200000 100000")
    assert _host.cpus(root=root, environ={}).value == 2


def v1(root: Path, files: dict[str, str]) -> Path:
    return plant(
        root,
        {
            "proc/self/status": "Cpus_allowed_list:\t0-15",
            "proc/meminfo": "MemTotal: 16777216 kB",
            "proc/self/cgroup": "4:memory:/x/y\n2:cpu,cpuacct:/x/y\n1:name=systemd:/\n0::/",
            "proc/self/mountinfo": (
                "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                "short line"
            ),
            **files,
        },
    )


def test_v1_hybrid(tmp_path: Path) -> None:
    root = v1(
        tmp_path,
        {
            "sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "450000",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": str(5 * GIB),
            "sys/fs/cgroup/unified/cgroup.procs": "1",
        },
    )
    cpus = _host.cpus(root=root, environ={})
    assert cpus.value == 4
    assert dict(cpus.sources)["cgroup v1 quota /sys/fs/cgroup/cpu,cpuacct/x"] == 4.5
    assert _host.memory(root=root).value == 5 * GIB


def test_v1_limit_of_an_ancestor_that_cannot_be_seen(tmp_path: Path) -> None:
    root = v1(
        tmp_path,
        {
            "sys/fs/cgroup/memory/x/y/memory.limit_in_bytes": UNLIMITED_V1,
            "sys/fs/cgroup/memory/x/y/memory.stat": f"cache 1\nhierarchical_memory_limit {GIB}\ntotal_rss 3",
        },
    )
    assert _host.memory(root=root).value == GIB


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("99", 8), ("default", 8), ("", 8), ("-1", 8), ("x", 8)])
def test_python_cpu_count_only_lowers(tmp_path: Path, text: str, expected: int) -> None:
    root = v2(tmp_path, "/")
    assert _host.cpus(root=root, environ={"PYTHON_CPU_COUNT": text}).value == expected


def test_an_empty_tree_grants_one_cpu_and_no_known_memory(tmp_path: Path) -> None:
    assert _host.cpus(root=tmp_path, environ={}).value == 1
    assert _host.memory(root=tmp_path).value == 0


def test_this_machine() -> None:
    assert _host.cpus().value >= 1
    assert _host.memory().value > 64 << 20
    assert _host.cpus().sources[0][0] == "affinity"
