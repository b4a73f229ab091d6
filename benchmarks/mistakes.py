"""What a mistake on the command line costs: processor time until it is told, of the command and all that it starts.

`make bench WHAT=mistakes`, or `python -m benchmarks.mistakes`. Ends with 1 if one costs more than a second.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path

from testkit.mistakes import MISTAKES, furnish

MOST_S = 1.0
SPLITWAY = Path(sys.executable).with_name("splitway")
NOT_OF_THE_TEST = (["classify", "none.jpg"],)
"""These import numpy."""


def cost_s(words: list[str], folder: Path) -> float:
    """Processor seconds of one command that fails, with its children. Raises AssertionError if it does not fail."""
    with subprocess.Popen([SPLITWAY, *words], cwd=folder, stdout=-3, stderr=-3) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 1, words
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Measure each and print the medians."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    dear = 0
    with tempfile.TemporaryDirectory(prefix="mistakes-") as name:
        furnish(Path(name))
        for words in (*MISTAKES.values(), *NOT_OF_THE_TEST):
            used_s = statistics.median(cost_s(words, Path(name)) for _ in range(runs))
            dear += used_s > MOST_S
            print(f"{used_s:6.2f} s  splitway {' '.join(words)}", flush=True)
    return 1 if dear else 0


if __name__ == "__main__":
    sys.exit(main())
