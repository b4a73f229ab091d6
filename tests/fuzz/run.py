"""`make fuzz`: every target for a while under atheris, or some by name.

    python -m tests.fuzz.run [--seconds 60] [--keep] [TARGET ...]

Fuzzing goes on where the last run ended: what was reached is in `reports/fuzz/<target>`. What breaks a target is
written to `tests/fuzz/regressions/<target>`, to be kept there when it has been mended. With `--keep` the corpus of
each target becomes the few inputs that reach most of what its seeds and regressions do not.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.fuzz.target import CORPUS, NAMES, REGRESSIONS, Target, load

_WORK = Path("reports") / "fuzz"
_MAX_RSS_MB = 1024
_HANGS_AFTER_S = 10
"""Of the clock; of the processor, `one.MAX_CPU_S`."""
MOST_KEPT = 13
"""Inputs of one target that the corpus holds at most. Each further one reaches one branch more, or two."""
_STATS = re.compile(r"^(?:stat::\w+:.*|#\d+\s+DONE.*)$", re.MULTILINE)


def main() -> int:
    """Run what the arguments say; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--keep", action="store_true", help="afterwards, renew the kept corpus")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(NAMES):
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    broken = [name for name in arguments.targets or NAMES if not _fuzz(name, arguments.seconds)]
    if arguments.keep:
        for name in arguments.targets or NAMES:
            _keep(name)
    print(f"broken: {', '.join(broken)}" if broken else "nothing broke")
    return 1 if broken else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target; whether it held."""
    target, work = load(name), _WORK / name
    work.mkdir(parents=True, exist_ok=True)
    for folder in (CORPUS / name, REGRESSIONS / name):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (work / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={REGRESSIONS / name}/"]
    ended = _atheris(name, target, *options, work, CORPUS / name, REGRESSIONS / name)
    print(f"\n{name}: exit code {ended.returncode}")
    print("\n".join(_STATS.findall(ended.stderr)) if ended.returncode == 0 else ended.stdout + ended.stderr[-6000:])
    return ended.returncode == 0


def _keep(name: str) -> None:
    """Put in the corpus' place the few inputs that reach most of what seeds and regressions do not reach."""
    target = load(name)
    with tempfile.TemporaryDirectory() as folder:
        known, merged, control = (Path(folder) / part for part in ("known", "merged", "control"))
        known.mkdir()
        merged.mkdir()
        for number, data in enumerate([*target.seeds(), *map(Path.read_bytes, (REGRESSIONS / name).iterdir())]):
            (known / f"{number}").write_bytes(data)
        merge = ("-set_cover_merge=1", "-use_counters=0", f"-merge_control_file={control}")
        _atheris(name, target, *merge, merged, known, _WORK / name, CORPUS / name).check_returncode()
        reached = _reached(control.read_text(encoding="utf-8"))
        branches = set().union(*(reached.pop(file) for file in list(reached) if file.parent == known))
        kept = [file.read_bytes() for file in fewest(reached, branches)]
    shutil.rmtree(CORPUS / name)
    (CORPUS / name).mkdir()
    for data in kept:
        (CORPUS / name / hashlib.sha256(data).hexdigest()[:40]).write_bytes(data)
    print(f"{name}: {len(kept)} inputs kept, {sum(map(len, kept))} bytes")


def _reached(control: str) -> dict[Path, set[str]]:
    """The branches that each input reaches, as libFuzzer notes them while it merges: files, then a line FT for each."""
    lines = control.splitlines()
    files = [Path(line) for line in lines[2 : 2 + int(lines[0])]]
    notes = [line.split()[1:] for line in lines if line.startswith("FT ")]
    return {files[int(number)]: set(branches) for number, *branches in notes}


def fewest(reached: Mapping[Path, set[str]], known: set[str]) -> list[Path]:
    """Choose again and again the input that reaches most new branches, up to a number of them, and at least one."""
    chosen: list[Path] = []
    while len(chosen) < MOST_KEPT:
        best = max(reached, key=lambda file: len(reached[file] - known))
        if chosen and reached[best] <= known:
            break
        chosen.append(best)
        known = known | reached[best]
    return chosen


def _atheris(name: str, target: Target, *options: str | Path) -> subprocess.CompletedProcess[str]:
    dictionary = _WORK / f"{name}.dict"
    dictionary.write_text("".join(f'"{_escaped(token)}"\n' for token in target.tokens), encoding="ascii")
    limits = [f"-max_len={target.max_bytes}", f"-timeout={_HANGS_AFTER_S}", f"-rss_limit_mb={_MAX_RSS_MB}"]
    itself = (_WORK / f"{name}.sh").resolve()
    own = shlex.join([sys.executable, "-m", "tests.fuzz.one", str(itself), name])
    itself.write_text(f'#!/bin/sh\nexec {own} "$@"\n', encoding="utf-8")
    itself.chmod(0o700)
    command = [itself, *limits, f"-dict={dictionary}", *options]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


def _escaped(token: str) -> str:
    return "".join(c if c.isalnum() or c in " -_=:;.,/*%{" else f"\\x{ord(c):02x}" for c in token)


if __name__ == "__main__":
    sys.exit(main())
