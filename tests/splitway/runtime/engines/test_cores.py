"""Threads follow what the process may use, not what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from splitway.runtime.engines.cores import available_cores

MACHINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", MACHINE),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("190000 100000", 1),
        ("99900000 100000", MACHINE),
    ],
)
def test_version_2_of_control_groups(tmp_path: Path, limit: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert available_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", MACHINE), ("150000", 1)])
def test_version_1_of_control_groups(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == cores


def test_no_control_group_is_no_limit(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == MACHINE
