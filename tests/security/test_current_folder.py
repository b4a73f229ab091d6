"""A current folder that belongs to others: no command and no child of one imports or believes anything in it.

Every file that is planted there writes its name down where it is run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.process.child import python
from testkit.own_code import own_code

PLANTED = ("gateway", "services", "splitway", "inspect", "json", "numpy", "typing", "httpx", "fastapi", "pip", "keras")
WRITES_DOWN = (
    "import os\nwith open(os.environ['RAN'], 'a') as ran:\n    ran.write(__file__ + '\\n')\nraise ImportError\n"
)
COMMAND = [str(Path(sys.executable).with_name("splitway"))]
UNTIL_OURS = {"splitway", "typing"}
"""What `python -m` itself looks for in the current folder before it runs anything of ours."""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A project's folder with modules of its own under many names, and the run file of another user's pipeline."""
    folder = tmp_path / "project"
    for name in PLANTED:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(WRITES_DOWN)
    (folder / ".splitway").mkdir()
    run_file = folder / ".splitway" / "run.json"
    run_file.write_text(json.dumps({"gateway": {"url": "http://127.0.0.1:1", "pid": os.getpid()}}))
    if os.geteuid() == 0:  # another user's file can only be made by the superuser; others have one of their own there
        os.chown(run_file, 65534, 65534)
        os.chown(folder, 65534, 65534)
    return folder


def _run(command: list[str], folder: Path) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    ran = folder.parent / "ran"
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    environment |= {"RAN": str(ran), "COLUMNS": "200"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    return done, ran.read_text().splitlines() if ran.exists() else []


def test_a_pipeline_starts_and_answers(hostile: Path, models: Path, samples: Path) -> None:
    done, ran = _run([*COMMAND, "demo", str(samples / "cat.jpg"), "--models", str(models)], hostile)
    assert ran == []
    assert done.returncode == 0, done.stderr
    assert "Egyptian cat" in done.stdout


def test_doctor_tries_the_engines_in_a_child(hostile: Path, models: Path) -> None:
    done, ran = _run([*COMMAND, "doctor", "--json", "--models", str(models)], hostile)
    assert ran == []
    found = {(result["name"], result["level"]) for result in json.loads(done.stdout)["results"]}
    assert {("engine litert", "ok"), ("settings", "ok")} <= found


def test_python_m_imports_nothing_of_it_either(hostile: Path, models: Path, samples: Path) -> None:
    for name in UNTIL_OURS:
        (hostile / name / "__init__.py").rename(hostile / f"{name}.txt")
        (hostile / name).rmdir()
    command = [sys.executable, "-m", "splitway", "classify", "--in-process", str(samples / "cat.jpg")]
    done, ran = _run([*command, "--models", str(models)], hostile)
    assert ran == []
    assert "Egyptian cat" in done.stdout, done.stderr


def test_a_child_without_the_guard_would_run_it(hostile: Path) -> None:
    """So that the other tests show something."""
    _, ran = _run([sys.executable, "-c", "import json"], hostile)
    assert len(ran) == 1
    done, ran = _run(python("-c", "import json, splitway; print(splitway.__file__)"), hostile)
    assert done.returncode == 0
    assert len(ran) == 1


def test_what_is_named_on_purpose_is_reached(tmp_path: Path) -> None:
    """`PYTHONPATH` leads children to another commit's code, and to what traces them: benchmarks rely on it."""
    for name in ("tree", "tracer"):
        (tmp_path / name / "splitway").mkdir(parents=True)
    (tmp_path / "tree" / "splitway" / "__init__.py").write_text("")
    (tmp_path / "tracer" / "sitecustomize.py").write_text("import sys; sys.traced = True")
    told = "import splitway, sys; print(splitway.__file__, sys.traced)"
    variables = own_code(tmp_path / "tree", {"PYTHONPATH": str(tmp_path / "tracer")})
    said = subprocess.run(python("-c", told), cwd="/", env=variables, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(tmp_path / "tree" / "splitway" / "__init__.py"), "True"]
