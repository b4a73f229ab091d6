"""Runs the scripts that reproduce faults from the field, each a_*.py on a pipeline of its own: `make field`.

The scripts are not part of this repository. They print a line a case and exit with 1 where a case fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook

ROOT = Path(__file__).parents[2]
_NO_SCRIPTS = ("b_common.py",)
_PATIENCE_S = 1_500


def _run(script: Path, arguments: list[str], out: Path) -> bool:
    """Run one script from the root, so that it finds the product; True where all of its cases passed."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "SPLITWAY_REPO": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="field-") as folder, out.open("w") as log:
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            cwd=ROOT,
            env={**environment, "FIELD_WORK": folder, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    return done.returncode == 0


def _on_a_pipeline(script: Path, models: Path, out: Path) -> bool:
    log = LogBook()
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), log.line) as pipeline:
        pipeline.wait_ready()
        stages = [pipeline.of(stage)[0].url for stage in ("feature_extractor", "classifier")]
        return _run(script, [pipeline.gateway.url, *stages], out)


def main() -> None:
    """Run them one after the other, say what each said last, and exit with 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scripts", type=Path, help="folder of the scripts")
    parser.add_argument("only", nargs="*", help="names of scripts, such as a_forms; all if none is given")
    parser.add_argument("--out", type=Path, default=ROOT / "reports" / "field", help="folder for what they print")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = [path for path in sorted(options.scripts.glob("[ab]_*.py")) if path.name not in _NO_SCRIPTS]
    failed = 0
    for script in [path for path in wanted if not options.only or path.stem in options.only]:
        out, began_s = options.out / f"{script.stem}.txt", time.monotonic()
        is_live = script.name.startswith("a_") and script.stem != "a_stuck_fast"
        passed = _on_a_pipeline(script, ROOT / "models", out) if is_live else _run(script, [], out)
        failed += not passed
        lines = out.read_text(errors="replace").strip().splitlines() or ["nothing"]
        verdict = "passed" if passed else "FAILED"
        print(f"{verdict}  {script.stem}  {time.monotonic() - began_s:.0f} s: {lines[-1]}", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
