"""Which commands `make bench` runs, by what is asked of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _would_run(*arguments: str) -> list[str]:
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line.split("python -m ", 1)[1].strip() for line in said.splitlines() if "-m benchmarks." in line]


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (["bench"], ["benchmarks.prepare", "benchmarks.serving"]),
        (["bench", "PEERS=1"], ["benchmarks.prepare", "benchmarks.serving --peers"]),
        (["bench", "WHAT=security", "BEFORE=abc"], ["benchmarks.prepare", "benchmarks.security  --before abc"]),
        (["bench", "WHAT=resilience"], ["benchmarks.resilience"]),
        (["bench-telemetry"], ["benchmarks.prepare", "benchmarks.telemetry"]),
        (["architectures"], ["benchmarks.architectures"]),
    ],
    ids=["serving", "peers", "security", "resilience", "old-name", "older-name"],
)
def test_bench_runs_what_is_asked(arguments: list[str], runs: list[str]) -> None:
    assert _would_run(*arguments) == runs


def test_counts_are_passed_on() -> None:
    (run,) = _would_run("bench", "WHAT=bytecode", "BEFORE=abc", "RUNS=5", "REQUESTS=1000")
    assert run.split() == ["benchmarks.bytecode", "--before", "abc", "--runs", "5", "--requests", "1000"]


def test_an_unknown_benchmark_is_refused_with_those_that_there_are() -> None:
    ended = subprocess.run(["make", "bench", "WHAT=all"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "serving security telemetry bytecode resilience architectures" in ended.stderr
