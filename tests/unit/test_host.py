"""What the machine grants, read from made-up trees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from raddle import _host
from raddle.errors import ConfigError

if TYPE_CHECKING:
    from raddle._events import Memory

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


def test_processes_are_limited_by_user_and_by_cgroup(tmp_path: Path) -> None:
    limits = (
        "Limit  Soft Limit  Hard Limit\nMax cpu time  unlimited  unlimited  seconds\nMax processes  {}  500  processes"
    )
    root = plant(v2(tmp_path, "/a", a__pids_max="300", pids_max="max"), {"proc/self/limits": limits.format(400)})
    assert _host.processes(root=root).value == 300
    assert dict(_host.processes(root=root).sources)["RLIMIT_NPROC"] == 400
    assert _host.processes(root=plant(tmp_path / "b", {"proc/self/limits": limits.format("unlimited")})).value == 0


def test_this_machine() -> None:
    assert _host.cpus().value >= 1
    assert _host.memory().value > 64 << 20
    assert _host.cpus().sources[0][0] == "affinity"


# ------------------------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4GiB", 4 * GIB),
        ("4 gib", 4 * GIB),
        ("4G", 4 * GIB),
        ("4g", 4 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("512MB", 512_000_000),
        ("512MiB", 512 << 20),
        ("2097152", 2 << 20),
        ("2097152 B", 2 << 20),
        (2 << 20, 2 << 20),
        ("1TB", 10**12),
        ("50%", 4 * GIB),
        ("100 %", 8 * GIB),
    ],
)
def test_sizes_as_people_write_them(tmp_path: Path, text: str | int, expected: int) -> None:
    assert _host.parse_bytes(text, root=v2(tmp_path, "/")) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("four", "memory='four': give bytes, a size such as \"4GiB\""),
        ("", "4GiB"),
        ("-1GiB", "4GiB"),
        ("4XB", "4GiB"),
        ("1e9", "4GiB"),
        (True, "4GiB"),
        (4, "memory=4: 4 bytes are too few"),
        ("0", "too few"),
        ("0%", "above 0 and at most 100"),
        ("101%", "above 0 and at most 100"),
    ],
)
def test_what_is_no_size_is_refused_with_a_hint(tmp_path: Path, text: str | int, hint: str) -> None:
    root = v2(tmp_path, "/")
    with pytest.raises(ConfigError) as caught:
        _host.parse_bytes(text, root=root)
    assert hint in str(caught.value)


def test_a_percentage_of_something_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not known how much memory there is"):
        _host.parse_bytes("80%", root=tmp_path)


@pytest.mark.parametrize(("value", "text"), [(3 * GIB // 2, "1.5 GiB"), (512 << 20, "512 MiB"), (0, "0 MiB")])
def test_sizes_for_people(value: int, text: str) -> None:
    assert _host.size_text(value) == text


# ------------------------------------------------------------------------------------------------------------ gauge

PAGE = os.sysconf("SC_PAGE_SIZE")


def look(root: Path, pids: dict[int, int] | None = None, limit: int | None = None) -> Memory:
    gauge = _host.gauge(limit, root=root)
    assert gauge is not None
    try:
        return gauge.sample(pids or {})
    finally:
        gauge.close()


def meminfo(root: Path, available: int = 6 * GIB) -> Path:
    return plant(root, {"proc/meminfo": f"MemTotal: 8388608 kB\nMemFree: 5 kB\nMemAvailable: {available >> 10} kB"})


def process(root: Path, pid: int | str, resident: int, shared: int = 0, parent: int = 1, **children: str) -> None:
    """Plant a process; keyword "t7" are the children of its thread 7."""
    pages = f"999999 {(resident + shared) // PAGE} {shared // PAGE} 1 0 1 0"
    tasks = {f"proc/{pid}/task/{thread[1:]}/children": text for thread, text in children.items()}
    stat = f"{pid} (a name) of (its) own) S {parent} 5 5 0"
    plant(root, {f"proc/{pid}/statm": pages, f"proc/{pid}/stat": stat, **tasks})


def test_gauge_of_a_machine_without_cgroups(tmp_path: Path) -> None:
    seen = look(meminfo(tmp_path))
    assert (seen.used, seen.limit, seen.stalled, seen.workers) == (2 * GIB, 8 * GIB, 0.0, {})


def test_where_nothing_can_be_read_there_is_no_gauge(tmp_path: Path) -> None:
    assert _host.gauge(root=tmp_path) is None
    assert _host.gauge(GIB, root=tmp_path) is None


def test_gauge_of_a_kernel_without_memavailable(tmp_path: Path) -> None:
    seen = look(plant(tmp_path, {"proc/meminfo": "MemTotal: 8388608 kB\nMemFree: 5 kB"}))
    assert seen.used == 0


def test_gauge_v2_takes_the_ancestor_that_is_nearest_its_limit(tmp_path: Path) -> None:
    root = meminfo(
        v2(
            tmp_path,
            "/a/b/c",
            a__memory_max=str(4 * GIB),
            a__memory_current=str(3 * GIB),
            a__b__memory_high=str(2 * GIB),
            a__b__memory_max="max",
            a__b__memory_current=str(GIB),
            a__b__c__memory_max="max",
            a__b__c__memory_current=str(GIB),
        )
    )
    stat = "anon 1\nfile 2\ninactive_anon 99\ninactive_file {}\nactive_file 3"
    mount = "sys/fs/cgroup/"
    plant(
        root,
        {
            f"{mount}a/memory.stat": stat.format(0),
            f"{mount}a/b/memory.stat": stat.format(GIB // 4),
            f"{mount}a/b/c/memory.stat": stat.format(0),
        },
    )
    assert (look(root).used, look(root).limit) == (3 * GIB, 4 * GIB)  # .2 GiB left up to .80; b has .85
    plant(root, {f"{mount}a/memory.stat": stat.format(2 * GIB)})
    assert (look(root).used, look(root).limit) == (GIB - GIB // 4, 2 * GIB)
    meminfo(root, available=GIB // 2)
    assert look(root).limit == 8 * GIB, "the whole machine is short by now"


def test_gauge_v1_nested_below_a_limited_ancestor(tmp_path: Path) -> None:
    mount = "sys/fs/cgroup/memory/"
    root = meminfo(
        v1(
            tmp_path,
            {
                f"{mount}x/y/memory.limit_in_bytes": UNLIMITED_V1,
                f"{mount}x/y/memory.usage_in_bytes": str(GIB),
                f"{mount}x/y/memory.stat": f"inactive_file 7\nhierarchical_memory_limit {2 * GIB}\ntotal_cache 9",
                f"{mount}x/memory.limit_in_bytes": str(2 * GIB),
                f"{mount}x/memory.usage_in_bytes": str(GIB + 500),
                f"{mount}x/memory.stat": "inactive_file 7\ntotal_inactive_file 500",
                "sys/fs/cgroup/unified/cgroup.procs": "1",
                "sys/fs/cgroup/unified/memory.pressure": "some avg10=9.00 avg60=0.00\nfull avg10=12.50 avg60=1.00",
                "proc/pressure/memory": "full avg10=99.00 avg60=1.00",
            },
        )
    )
    seen = look(root)
    assert (seen.used, seen.limit, seen.stalled) == (GIB, 2 * GIB, 0.125)


def test_pressure_of_the_machine_where_the_cgroup_has_none(tmp_path: Path) -> None:
    root = plant(meminfo(tmp_path), {"proc/pressure/memory": "some avg10=5.00 x\nfull avg10=2.00 avg60=1.00"})
    assert look(root).stalled == 0.02
    plant(root, {"proc/pressure/memory": "some avg10=5.00 x"})
    assert look(root).stalled == 0.0


def test_a_worker_counts_with_all_its_descendants(tmp_path: Path) -> None:
    root = meminfo(tmp_path)
    process(root, 10, 100 * PAGE, shared=50 * PAGE, t10="11", t17="12 13")
    process(root, 11, 10 * PAGE, t11="14")
    process(root, 12, 1 * PAGE, t12="")
    process(root, 14, 1000 * PAGE)
    # 13 has ended meanwhile; 1, the parent, cannot be read
    assert look(root, {3: 10, 4: 99, 5: 0}).workers == {3: 1111 * PAGE}


def test_what_a_worker_shares_with_its_parent_does_not_count(tmp_path: Path) -> None:
    root = meminfo(tmp_path)
    process(root, 5, 700 * PAGE)
    process(root, 10, 750 * PAGE, parent=5)
    process(root, 11, 600 * PAGE, parent=5)
    assert look(root, {0: 10, 1: 11}).workers == {0: 50 * PAGE, 1: 0}


def test_a_limit_of_ones_own_is_for_this_process_and_its_workers(tmp_path: Path) -> None:
    root = meminfo(tmp_path)
    process(root, "self", 200 * PAGE, shared=90 * PAGE)
    process(root, 10, 100 * PAGE)
    process(root, 11, 50 * PAGE)
    seen = look(root, {0: 10, 1: 11}, limit=1000 * PAGE)
    assert (seen.used, seen.limit) == (350 * PAGE, 1000 * PAGE)
    assert look(meminfo(root, available=0), limit=1000 * PAGE).limit == 8 * GIB


def test_an_idle_worker_is_looked_at_until_it_is_gone(tmp_path: Path) -> None:
    root = meminfo(tmp_path)
    process(root, 10, 100 * PAGE)
    process(root, 11, 50 * PAGE)
    gauge = _host.gauge(root=root)
    assert gauge is not None
    gauge.sample({0: 10, 1: 11})
    assert gauge.sample({1: 11}).workers == {0: 100 * PAGE, 1: 50 * PAGE}
    assert gauge.sample({}).workers == {0: 100 * PAGE, 1: 50 * PAGE}
    process(root, 12, 7 * PAGE)
    assert gauge.sample({0: 12}).workers == {0: 7 * PAGE, 1: 50 * PAGE}, "a new worker in the slot"
    (root / "proc/11/statm").unlink()
    assert gauge.sample({}).workers == {0: 7 * PAGE}
    gauge.close()
    gauge.close()


def test_a_fork_bomb_does_not_make_a_look_endless(tmp_path: Path) -> None:
    root = meminfo(tmp_path)
    process(root, 10, PAGE, t10="10 11")  # a loop that no kernel would show
    process(root, 11, PAGE, t11="10 11")
    assert look(root, {0: 10}).workers[0] < 1000 * PAGE


def test_gauge_of_this_machine_sees_a_child_grow() -> None:
    gauge = _host.gauge()
    if gauge is None:
        pytest.skip("nothing to read here")
    code = "import sys; sys.stdin.read(1); held = bytearray(80 << 20); print(flush=True); sys.stdin.read(1)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        before = gauge.sample({0: child.pid}).workers[0]
        child.stdin.write(b"x")
        child.stdin.flush()
        child.stdout.readline()
        seen = gauge.sample({0: child.pid})
        assert seen.workers[0] - before >= 80 << 20
        assert 0 < seen.used < seen.limit
        child.stdin.write(b"x")
        child.stdin.close()
        child.wait()
    assert gauge.sample({}).workers == {}
    gauge.close()


def test_gauge_gives_its_files_back() -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    before = opened()
    gauge = _host.gauge()
    assert gauge is not None
    assert opened() > before
    gauge.sample({0: os.getpid()})
    gauge.close()
    assert opened() == before
    assert gauge.sample({}).used == 0
