"""The pipeline as it was at a commit, with that commit's own code and bundles, as one of those measured in turn."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contestants import Running, wait_for_answer
from benchmarks.prepare import PEERS, TRIVIAL
from benchmarks.turns import ROOT
from splitway.local.places import RUN_FILE
from testkit.own_code import assert_own_code, own_code
from testkit.support import free_port

_MADE = PEERS / "made"
"""Bundles by commit: `<commit>/trivial` and `<commit>/models`."""
_MAKE_TRIVIAL = "from benchmarks import prepare; prepare.PEERS.mkdir(exist_ok=True); prepare.trivial()"


@contextmanager
def earlier(
    revision: str, models: Path, picture: Path, environment: Mapping[str, str] | None = None, key: str | None = None
) -> Iterator[Running]:
    """The pipeline of a commit, from a work tree of its own.

    Args:
        revision: the commit.
        models: TRIVIAL or the default bundles; their like is made at that commit and by its code.
        picture: what it is warmed with.
        environment: added to every process's.
        key: what its callers have to show.
    """
    with tree_of(revision) as tree:
        made = _bundles(tree, models)
        port, started_s = free_port(), time.perf_counter()
        command = [sys.executable, "-m", "splitway.cli.main", "up", "--models", str(made), "--port", str(port)]
        variables = own_code(tree, environment)
        assert_own_code(tree, variables)
        process = subprocess.Popen(command, cwd=tree, env=variables, stdout=subprocess.DEVNULL)
        try:
            ready_s = wait_for_answer(f"http://127.0.0.1:{port}/v1/classify", picture, started_s, key=key)
            ran = json.loads((tree / RUN_FILE).read_text())
            pids = {name: (each[0] if isinstance(each, list) else each)["pid"] for name, each in ran.items()}
            yield Running(f"http://127.0.0.1:{port}/v1/classify", pids, ready_s, key=key)
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def tree_of(revision: str) -> Iterator[Path]:
    """A work tree of a commit, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="earlier-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", tree, revision], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=True)


def _bundles(tree: Path, models: Path) -> Path:
    """The bundles that the code in a work tree makes; made once for a commit."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tree, check=True, capture_output=True, text=True)
    kept = _MADE / head.stdout.strip() / models.name
    if kept.is_dir():
        return kept
    if models == TRIVIAL:
        command, made = [sys.executable, "-c", _MAKE_TRIVIAL], tree / TRIVIAL.relative_to(ROOT)
    else:
        made = tree / "models"
        command = [sys.executable, "-m", "splitway.cli.main", "build", "--out", str(made)]
    variables = own_code(tree, {"TF_CPP_MIN_LOG_LEVEL": "3"})
    subprocess.run(command, cwd=tree, env=variables, check=True, capture_output=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, kept)
    return kept
