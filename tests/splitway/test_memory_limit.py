"""What control groups allow, read from folders as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.memory_limit import MemoryLimit, read_memory

MB = 1_000_000


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="ascii")
    return root


def test_version_2_says_the_limit_of_each_group(tmp_path: Path) -> None:
    """A group may have less than the one that it is in, and the other way round."""
    inner, outer = "sys/fs/cgroup/pods", "sys/fs/cgroup/pods/one"
    files = {
        "proc/self/cgroup": "0::/pods/one\n",
        f"{inner}/memory.max": f"{300 * MB}\n",
        f"{inner}/memory.current": f"{200 * MB}\n",
        f"{inner}/memory.stat": f"anon {150 * MB}\nactive_file {10 * MB}\ninactive_file {20 * MB}\n",
        f"{outer}/memory.max": f"{500 * MB}\n",
        f"{outer}/memory.high": f"{400 * MB}\n",
        f"{outer}/memory.current": f"{100 * MB}\n",
    }
    assert read_memory(write(tmp_path, files)) == MemoryLimit(300 * MB, 170 * MB)


def test_within_a_container_the_path_is_not_there_and_the_top_is_its_own(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../../system.slice/x\n",
        "sys/fs/cgroup/memory.max": f"{512 * MB}\n",
        "sys/fs/cgroup/memory.current": f"{90 * MB}\n",
    }
    assert read_memory(write(tmp_path, files)) == MemoryLimit(512 * MB, 90 * MB)


def test_version_1_says_the_least_of_the_hierarchy(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/memory"
    caches = f"total_active_file {5 * MB}\ntotal_inactive_file {7 * MB}\nactive_file 1\n"
    stat = f"hierarchical_memory_limit {512 * MB}\n{caches}"
    files = {
        "proc/self/cgroup": "9:memory:/docker/abc\n8:pids:/docker/abc\n",
        f"{folder}/memory.stat": stat,
        f"{folder}/memory.usage_in_bytes": f"{200 * MB}\n",
    }
    assert read_memory(write(tmp_path, files)) == MemoryLimit(512 * MB, 188 * MB)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"},
        {
            "proc/self/cgroup": "9:memory:/\n",
            "sys/fs/cgroup/memory/memory.stat": "hierarchical_memory_limit 9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        },
        {"proc/self/cgroup": "nonsense\n\n:::\n"},
    ],
    ids=["no files", "no group", "no limit", "no limit in version 1", "nonsense"],
)
def test_without_a_limit_there_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_memory(write(tmp_path, files)) is None
