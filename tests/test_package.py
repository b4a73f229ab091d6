"""The wheel: what it holds, what it says of itself, and that it works where nothing of the repository is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import splitway

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _build(target: str, source: Path, folder: Path) -> None:
    """Build a wheel or a source archive into a folder."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    _build("wheel", ROOT, folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: list[str]) -> Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a venv outside the repository that has the wheel; what the wheel needs is borrowed from ours."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    (site_packages,) = venv.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--no-deps",
        "--offline",
        "--quiet",
        "--python",
        venv / "bin/python",
        wheel,
    ]
    subprocess.run(command, check=True, timeout=120)
    return venv / "bin"


def test_the_wheel_holds_one_package_and_the_page(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"splitway"}
    page = {f"splitway/gateway/page/{file.name}" for file in (ROOT / "gateway/page").iterdir() if file.is_file()}
    assert page | {"splitway/gateway/app.py", "splitway/services/classifier/app.py"} <= set(names)


def test_the_source_archive_makes_the_same_wheel(names: list[str], tmp_path: Path) -> None:
    _build("sdist", ROOT, tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    _build("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path)
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as wheel:
        assert sorted(wheel.namelist()) == sorted(names)


def test_the_wheel_has_types_and_a_licence(names: list[str], metadata: Message) -> None:
    assert "splitway/py.typed" in names
    (licence,) = (name for name in names if name.endswith("/licenses/LICENSE"))
    assert licence.startswith("splitway-")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def test_the_version_stands_once(metadata: Message) -> None:
    assert metadata["Version"] == splitway.__version__ == PROJECT["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
    said = re.compile(rf"(?<![\d.]){re.escape(PROJECT['version'])}(?![\d.])")
    sources = [file for top in ("gateway", "services", "splitway", "deploy") for file in (ROOT / top).rglob("*.py")]
    assert not [file for file in [*sources, ROOT / "compose.yaml"] if said.search(file.read_text())]


def test_the_command_works_where_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    for arguments, said in ((["--help"], "classify"), (["--version"], f"splitway {PROJECT['version']}")):
        command: list[str | Path] = [installed / "splitway", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
        assert said in ran.stdout


def test_where_the_wheel_is_installed_the_package_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [installed / "python", "-c", "import splitway; print(splitway.__file__)"]
    ran = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
    assert Path(ran.stdout.strip()).is_relative_to(installed.parent)
