"""What fuzzing has found to reach new code or to break it, read again: in time, in little memory, with known errors."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.errors import InvalidInput
from splitway.wire import tensor
from tests.fuzz.target import CORPUS, NAMES, REGRESSIONS, load

ROOT = Path(__file__).parent.parent.parent
MAX_KEPT_BYTES = 1 << 20


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


def test_a_planted_bug_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its checks of bounds, the reader of BYTES fails on what is kept."""

    def careless(_: str, count: int, raw: memoryview) -> list[tensor.Buffer]:
        elements: list[tensor.Buffer] = []
        start = 0
        for _index in range(count):
            (length,) = tensor._LENGTH.unpack_from(raw, start)
            start += tensor._LENGTH.size + length
            elements.append(raw[start - length : start])
        return elements

    monkeypatch.setattr(tensor, "_split_elements", careless)
    run, broken = load("requests").run, 0
    for file in sorted((CORPUS / "requests").iterdir()):
        try:
            run(file.read_bytes())
        except (struct.error, InvalidInput, AssertionError):
            broken += 1
    assert broken
