"""A project with a `gateway` and a `services` of its own keeps them, and Splitway works from its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
import gateway, services
from splitway.gateway.app import create_app
from splitway.services.classifier.app import create_app as create_classifier
print(gateway.MINE, services.MINE, create_app.__module__, create_classifier.__module__)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project whose packages have the names of our folders."""
    for name in ("gateway", "services"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"MINE = 'my {name}'\n")
    return tmp_path


def test_each_has_its_own(project: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", ASK], cwd=project, check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == ("my gateway my services splitway.gateway.app splitway.services.classifier.app")


@pytest.mark.parametrize("name", ["gateway", "services"])
def test_without_such_a_project_there_is_no_such_name(tmp_path: Path, name: str) -> None:
    asked = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
    ran = subprocess.run([sys.executable, "-c", asked], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "None"
