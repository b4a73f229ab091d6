"""The engines: whether each can be loaded and runs the bundles it is to run, tried in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from splitway.bundle import load_bundle
from splitway.bundle_graph import Chain
from splitway.cli.doctor.finding import Finding, ok, problem
from splitway.errors import SplitwayError, in_one_line
from splitway.manifest import EngineName
from splitway.process.child import python
from splitway.runtime.engines.load import ENGINES, load_engine, warm_up


def engines_of(chain: Chain, chosen: EngineName | None = None) -> Mapping[EngineName, list[Path]]:
    """The bundles of a chain by the engine that serves them: the chosen one, or the one they were proved in."""
    found: dict[EngineName, list[Path]] = {}
    for each in (chain.extractor, *chain.bodies, *chain.heads.values()):
        found.setdefault(chosen or each.manifest.engine, []).append(each.folder)
    return found


def engine(name: EngineName, folders: list[Path]) -> Finding:
    """Whether an engine runs these bundles on zeros."""
    command = python("-m", "splitway.cli.doctor.engines", name, *map(str, folders))
    do, limit_s = (
        "pip install --force-reinstall what the engine comes from, or set SPLITWAY_ENGINE to another",
        ENGINES[name].tried_within_s,
    )
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return problem(f"engine {name}", f"it has not run within {limit_s:.0f} s", do)
    if tried.returncode < 0:
        return problem(f"engine {name}", f"it ended with {signal.Signals(-tried.returncode).name}", do)
    try:
        failure = json.loads(tried.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last = (tried.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return problem(f"engine {name}", f"it could not be tried: {last}", do)
    if failure:
        return problem(f"engine {name}", failure, "make that bundle again, or repair the installation")
    return ok(f"engine {name}", f"runs {', '.join(map(str, folders))}")


def _try(name: str, folders: list[Path]) -> str:
    """Load and run each bundle once; return what was wrong, or nothing."""
    for folder in folders:
        try:
            bundle = load_bundle(folder)
            warm_up(load_engine(name, bundle, 1), bundle)
        except SplitwayError as error:
            return error.detail
        except Exception as error:
            return f"{folder}: {in_one_line(error)}"
    return ""


if __name__ == "__main__":
    print(json.dumps(_try(sys.argv[1], [Path(argument) for argument in sys.argv[2:]])))
