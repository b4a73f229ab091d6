"""What fuzzing has found to reach new code or to break it, read again: in time, in little memory, with known errors."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.errors import InvalidInput
from splitway.wire import tensor
from tests.fuzz.run import MOST_KEPT, fewest
from tests.fuzz.target import CORPUS, NAMES, REGRESSIONS, load

ROOT = Path(__file__).parent.parent.parent
MAX_KEPT_BYTES = 1 << 20
MOST_FILES = 80


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is Linux's to tell")
@pytest.mark.parametrize("name", NAMES)
def test_every_kept_input_is_read_or_refused(name: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz.replay", name]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_corpus(name: str) -> None:
    assert list((CORPUS / name).iterdir())


def test_the_corpus_is_small() -> None:
    files = [file for folder in (CORPUS, REGRESSIONS) for file in folder.glob("*/*")]
    assert sum(file.stat().st_size for file in files) < MAX_KEPT_BYTES
    assert {file.parent.name for file in files} <= set(NAMES)
    assert sum(file.is_relative_to(CORPUS) for file in files) <= MOST_FILES


def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checks of bounds, the reader of BYTES fails on a seed or on what is kept."""

    def careless(_: str, count: int, raw: memoryview) -> list[tensor.Buffer]:
        elements: list[tensor.Buffer] = []
        start = 0
        for _index in range(count):
            (length,) = tensor._LENGTH.unpack_from(raw, start)
            start += tensor._LENGTH.size + length
            elements.append(raw[start - length : start])
        return elements

    monkeypatch.setattr(tensor, "_split_elements", careless)
    target, broken = load("requests"), 0
    for data in (*target.seeds(), *(file.read_bytes() for file in sorted((CORPUS / "requests").iterdir()))):
        try:
            target.run(data)
        except (struct.error, InvalidInput, AssertionError):
            broken += 1
    assert broken


def test_the_few_that_reach_most_are_kept() -> None:
    reached = {Path(f"{number}"): set(branches) for number, branches in enumerate(["ab", "abcd", "e", "known"])}
    assert fewest(reached, set("known")) == [Path("1"), Path("2")]
    assert len(fewest({Path(f"{number}"): {f"{number}"} for number in range(40)}, set())) == MOST_KEPT
    assert fewest({Path("0"): {"a"}}, {"a"}) == [Path("0")], "a target has a corpus"
