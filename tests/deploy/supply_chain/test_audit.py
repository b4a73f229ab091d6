"""What `make audit` makes of what services say, by a pip-audit that says it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.supply_chain.audit import main

GOOD = {"name": "numpy", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "keras", "skip_reason": "Dependency not found and could not be audited"}
WEAK = {"name": "pillow", "version": "9.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["9.1", "10.0"]}]}
UNREACHABLE = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='somewhere', port=443)"


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    return tmp_path / "requirements.txt"


def pip_audit(folder: Path, **services: list[dict[str, Any]] | str) -> Path:
    """A program that answers for a service with these packages, or fails with this line."""
    program = folder / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"said = json.loads({json.dumps(services)!r})[sys.argv[sys.argv.index('--vulnerability-service') + 1]]\n"
        "if isinstance(said, str):\n"
        "    sys.exit(said)\n"
        "print(json.dumps({'dependencies': said, 'fixes': []}))\n"
    )
    program.chmod(0o755)
    return program


def test_it_passes_where_one_service_knows_every_package(
    tmp_path: Path, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for services in ({"pypi": [GOOD], "osv": UNREACHABLE}, {"pypi": [GOOD, UNKNOWN], "osv": [GOOD, GOOD]}):
        assert main([str(pip_audit(tmp_path, **services)), str(requirements)]) == 0
        assert "no known weakness" in capsys.readouterr().out


def test_a_weakness_is_named_and_fails(tmp_path: Path, requirements: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = pip_audit(tmp_path, pypi=[GOOD, UNKNOWN, WEAK], osv=[GOOD])
    assert main([str(program), str(requirements)]) == 1
    said = capsys.readouterr()
    assert said.out == "pillow 9.0: PYSEC-1, mended in 9.1, 10.0\n"
    assert "1 known weaknesses, by pypi" in said.err


@pytest.mark.parametrize(
    ("pypi", "osv", "says"),
    [
        ([UNKNOWN, UNKNOWN], UNREACHABLE, "pypi knows 0 of 2 packages; osv could not be asked (requests.exceptions"),
        ([GOOD, UNKNOWN], [UNKNOWN], "pypi knows 1 of 2 packages; osv knows 0 of 1 packages"),
        (UNREACHABLE, UNREACHABLE, "pypi could not be asked"),
        ([], [], "pypi knows 0 of 0 packages"),
        ("", "", "it said nothing"),
    ],
    ids=["unknown", "half known", "unreachable", "nothing asked", "silent"],
)
def test_nobody_who_knows_is_no_success(
    tmp_path: Path, requirements: Path, capsys: pytest.CaptureFixture[str], pypi: Any, osv: Any, says: str
) -> None:
    """pip-audit itself ends with 0 and `No known vulnerabilities found` where the service knows no package at all."""
    assert main([str(pip_audit(tmp_path, pypi=pypi, osv=osv)), str(requirements)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("not audited: ")
    assert says in line
    assert "somewhere" not in line, "no host is named"


def test_a_tool_that_is_not_there_is_one_line(
    tmp_path: Path, requirements: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "pip-audit"), str(requirements)]) == 1
    assert "No such file" in capsys.readouterr().err
