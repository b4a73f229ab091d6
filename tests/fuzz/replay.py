"""Read every kept input of one target without a fuzzer, and say which of them fail: what `test_corpus` starts.

    python -m tests.fuzz.replay TARGET

A process of its own, so that its memory is its own too. One line for each failure; 1 if there is any.
"""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.target import CORPUS, REGRESSIONS, Target, load

_MAX_CPU_S = 1.0
_MAX_GROWTH_KB = 64 * 1024
_MAX_ADDRESS_SPACE = 4 * 1024**3
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_TO_THE_PRESENT = "5"
"""Makes Linux forget the peak of a process's memory."""


def main() -> int:
    """Read them all."""
    name = sys.argv[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
    target = load(name)
    for seed in target.seeds():
        target.run(seed)  # what is made once is made here
    failures = [failure for folder in (CORPUS, REGRESSIONS) for failure in _failures(target, folder / name)]
    print("\n".join(failures))
    return 1 if failures else 0


def _failures(target: Target, folder: Path) -> Iterator[str]:
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        failure = _failure(target, file.read_bytes())
        if failure is not None:
            yield f"{file}: {failure}"


def _failure(target: Target, data: bytes) -> str | None:
    _CLEAR.write_text(_TO_THE_PRESENT, encoding="ascii")
    before_kb, started_s = _peak_kb(), time.process_time()
    try:
        target.run(data)
    except BaseException:
        return traceback.format_exc(limit=-4)
    seconds, grown_kb = time.process_time() - started_s, _peak_kb() - before_kb
    if seconds > _MAX_CPU_S:
        return f"took {seconds:.2f} s"
    return f"took {grown_kb} KB" if grown_kb > _MAX_GROWTH_KB else None


def _peak_kb() -> int:
    return next(int(line.split()[1]) for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
