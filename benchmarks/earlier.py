"""The pipeline as it was at an earlier commit, as one of those who are measured in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contestants import Running, wait_for_answer
from benchmarks.turns import ROOT
from splitway.cli.places import RUN_FILE
from tests.support import free_port


@contextmanager
def earlier(
    revision: str, models: Path, picture: Path, environment: Mapping[str, str] | None = None, key: str | None = None
) -> Iterator[Running]:
    """The pipeline of an earlier commit, from a work tree of its own.

    Args:
        revision: the commit.
        models: its bundles.
        picture: what it is warmed with.
        environment: added to every process's.
        key: what its callers have to show.
    """
    with tempfile.TemporaryDirectory(prefix="earlier-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, revision], cwd=ROOT, check=True)
        port, started_s = free_port(), time.perf_counter()
        command = [sys.executable, "-m", "splitway.cli.main", "up", "--models", str(models), "--port", str(port)]
        variables = {**os.environ, **(environment or {})}
        process = subprocess.Popen(command, cwd=tree, env=variables, stdout=subprocess.DEVNULL)
        try:
            ready_s = wait_for_answer(f"http://127.0.0.1:{port}/v1/classify", picture, started_s, key=key)
            ran = json.loads((tree / RUN_FILE).read_text())
            pids = {name: (each[0] if isinstance(each, list) else each)["pid"] for name, each in ran.items()}
            yield Running(f"http://127.0.0.1:{port}/v1/classify", pids, ready_s, key=key)
        finally:
            process.terminate()
            process.wait(60)
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)
