"""Memory, cores, places to write and descriptors, enough and not."""

from __future__ import annotations

import collections
import shutil
from pathlib import Path

import pytest

from splitway.bundle import read_manifest
from splitway.cli.doctor.checks.machine import (
    MIB,
    Memory,
    cores,
    descriptors,
    disk,
    held_bytes,
    memory,
    needed_bytes,
    read_memory,
    temporary,
    writable,
)

MEMINFO = "MemTotal: 8000000 kB\nMemFree: 1000 kB\nMemAvailable: 4096000 kB\n"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /proc and a /sys/fs/cgroup of our own making; nothing is limited yet."""
    own = tmp_path / "cgroup" / "pod" / "box"
    own.mkdir(parents=True)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(MEMINFO)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/pod/box\n")
    return tmp_path


def _limit(group: Path, most: str, used: int, cached: int = 0) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\nactive_file 7\n")


def _read(machine: Path) -> Memory | None:
    return read_memory(machine / "proc", machine / "cgroup")


def test_without_a_limit_the_machines_free_memory_counts(machine: Path) -> None:
    _limit(machine / "cgroup" / "pod" / "box", "max", 5)
    assert _read(machine) == Memory(4_096_000 * 1024)


def test_the_containers_limit_counts_less_what_is_used_and_cannot_be_given_back(machine: Path) -> None:
    _limit(machine / "cgroup" / "pod" / "box", str(512 * MIB), 400 * MIB, cached=100 * MIB)
    assert _read(machine) == Memory(212 * MIB, 512 * MIB)


def test_a_limit_of_a_group_above_counts_too(machine: Path) -> None:
    _limit(machine / "cgroup" / "pod" / "box", "max", 5)
    _limit(machine / "cgroup" / "pod", str(300 * MIB), 100 * MIB)
    assert _read(machine) == Memory(200 * MIB, 300 * MIB)


def test_a_limit_above_what_the_machine_has_does_not_count(machine: Path) -> None:
    _limit(machine / "cgroup" / "pod" / "box", str(1 << 40), 0)
    assert _read(machine) == Memory(4_096_000 * 1024)


def test_the_first_version_of_control_groups_is_understood(machine: Path) -> None:
    group = machine / "cgroup" / "memory" / "docker"
    group.mkdir(parents=True)
    (machine / "proc" / "self" / "cgroup").write_text("4:memory:/docker\n1:cpu:/\n0::/\n")
    (group / "memory.limit_in_bytes").write_text(f"{256 * MIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{56 * MIB}\n")
    (group / "memory.stat").write_text("total_inactive_file 0\n")
    (group.parent / "memory.limit_in_bytes").write_text(f"{(1 << 63) - 4096}\n")
    assert _read(machine) == Memory(200 * MIB, 256 * MIB)


def test_a_system_without_proc_says_nothing(tmp_path: Path) -> None:
    assert read_memory(tmp_path) is None
    assert memory(None, 1).level == "ok"


@pytest.mark.parametrize(
    ("free", "held", "level"),
    [(500, 0, "ok"), (300, 0, "problem"), (300, 200, "ok"), (100, 200, "problem")],
    ids=["enough", "too-little", "runs-already", "too-little-to-grow"],
)
def test_what_the_stages_need_must_be_free_or_held_by_them(free: int, held: int, level: str) -> None:
    assert memory(Memory(free * MIB), 400 * MIB, held * MIB).level == level


def test_too_little_in_a_container_names_its_limit_and_what_is_missing() -> None:
    result = memory(Memory(100 * MIB, 256 * MIB), 400 * MIB)
    assert "100 MiB are free within the container's limit of 256 MiB" in result.says
    assert result.do == "raise the container's limit: 300 MiB are missing"


def test_the_default_models_need_is_about_what_was_measured(models: Path) -> None:
    """README: gateway 98 MB, extractor 187 MB with engines for two cores, classifier 97 MB."""
    manifests = [read_manifest(models / name / "1") for name in ("feature_extractor", "classifier")]
    assert 340 * MIB < needed_bytes(manifests, 2) < 440 * MIB


def test_memory_that_processes_hold_is_added_up(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "status").write_text("Name: x\nVmRSS:\t  2048 kB\n")
    assert held_bytes([7, 8], tmp_path) == 2 * MIB


@pytest.mark.parametrize(
    ("available", "threads", "level"),
    [(2, "", "ok"), (1, "", "ok"), (2, "2", "ok"), (2, "3", "warning"), (2, "many", "ok")],
)
def test_engines_should_not_have_more_threads_than_there_are_cores(available: int, threads: str, level: str) -> None:
    assert cores(available, {"SPLITWAY_THREADS": threads}).level == level


@pytest.mark.parametrize(("free", "level"), [(5000, "ok"), (900, "warning")])
def test_there_should_be_room_for_bundles(
    free: int, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, free * MIB))
    assert disk(tmp_path / "not" / "yet").level == level


def test_a_folder_that_is_not_there_yet_is_tried_where_it_would_be_made(tmp_path: Path) -> None:
    assert writable("x", tmp_path / "not" / "yet", "files", "do").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = writable("x", tmp_path / "file", "files", "do this")
    assert (result.level, result.do) == ("problem", "do this")


def test_a_tmpdir_that_is_none_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert temporary().level == "ok"
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    assert temporary().level == "warning"


@pytest.mark.parametrize(
    ("soft", "hard", "level", "do"),
    [
        (1024, 4096, "ok", ""),
        (-1, -1, "ok", ""),
        (256, 4096, "warning", "ulimit -n 1024"),
        (256, -1, "warning", "ulimit -n 1024"),
        (256, 256, "warning", "raise LimitNOFILE or ulimits: nofile"),
    ],
)
def test_a_gateway_needs_descriptors(soft: int, hard: int, level: str, do: str) -> None:
    result = descriptors(soft, hard)
    assert (result.level, result.do) == (level, do)
