"""Where the libraries of the extras are missing, every command says in one line what to install."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.process.extras import LIBRARIES, extras_named, require
from tests.package.every_command import every_command, furnish

ROOT = Path(__file__).parent.parent.parent.parent
BARE = """
import json, signal, sys
HIDDEN = {name for names in json.loads(sys.argv[1]).values() for name in names}

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hiding())
signal.alarm(100)
from typer.testing import CliRunner
from splitway.cli.main import app
said = []
for words in json.loads(sys.argv[2]):
    ended = CliRunner().invoke(app, words)
    failure = None if ended.exception is None or isinstance(ended.exception, SystemExit) else repr(ended.exception)
    said.append((words, ended.exit_code, ended.stderr, failure))
print(json.dumps(said))
"""
NEEDS = {
    "build": "split",
    "split": "split",
    "inspect": "split",
    "train-head": "split",
    "serve": "gateway",
    "up": "serve,gateway",
    "demo": "serve,gateway",
    "bench": "serve,gateway",
}


def test_no_command_ends_with_a_traceback(tmp_path: Path) -> None:
    furnish(tmp_path)
    command = [sys.executable, "-c", BARE, json.dumps(LIBRARIES), json.dumps(list(every_command()))]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    for (name, *_), code, stderr, failure in json.loads(ran.stdout):
        assert failure is None, (name, failure)
        assert "Traceback" not in stderr
        if name in NEEDS:
            assert code == 1
            last = stderr.strip().splitlines()[-1]
            assert last.startswith(f"splitway: splitway {name} needs pip install 'splitway[{NEEDS[name]}]'"), stderr


def test_the_extras_are_those_of_the_project() -> None:
    """Each module is brought by a distribution that its extra names; only the extra of development is left out."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(LIBRARIES) == set(extras) - {"dev", "all"}
    distributions = packages_distributions()
    for extra, libraries in LIBRARIES.items():
        named = {line.replace("[", " ").replace(">", " ").split()[0].lower() for line in extras[extra]}
        named |= {"starlette"} if "fastapi" in named else set()
        for library in libraries:
            assert named & {name.lower().replace("_", "-") for name in distributions[library]}, library


def test_the_extra_all_has_every_other() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["all"] == [f"splitway[{','.join(LIBRARIES)}]"]


def test_a_library_that_no_extra_brings_stays_what_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_library"), extras_named(str.join):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401


def test_what_must_be_there_is_named_with_all_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    require("serve", "gateway")
    monkeypatch.setitem(sys.modules, "tenacity", None)
    says = r"tenacity: pip install 'splitway\[serve,gateway\]'"
    with pytest.raises(SetupError, match=says), extras_named(lambda library, do: f"{library}: {do}"):
        require("serve", "gateway")
