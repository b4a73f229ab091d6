"""`make fuzz`: every target for a while under atheris, or some by name.

    python -m tests.fuzz.run [--seconds 60] [--keep] [TARGET ...]

Fuzzing goes on where the last run ended: what was reached is in `reports/fuzz/<target>`. What breaks a target is
written to `tests/fuzz/regressions/<target>`, to be kept there when it has been mended. With `--keep` the smallest
inputs that together reach all that is reached now take the place of the target's corpus.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.target import CORPUS, NAMES, REGRESSIONS, Target, load

_WORK = Path("reports") / "fuzz"
_MAX_RSS_MB = 1024
_HANGS_AFTER_S = 10
"""Of the clock; of the processor, `one.MAX_CPU_S`."""
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
    """Put in the corpus' place the smallest inputs that reach what all inputs together reach."""
    with tempfile.TemporaryDirectory() as folder:
        smallest = Path(folder)
        _atheris(name, load(name), "-set_cover_merge=1", smallest, _WORK / name, CORPUS / name).check_returncode()
        shutil.rmtree(CORPUS / name)
        shutil.copytree(smallest, CORPUS / name)
    files = list((CORPUS / name).iterdir())
    print(f"{name}: {len(files)} inputs kept, {sum(file.stat().st_size for file in files)} bytes")


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
