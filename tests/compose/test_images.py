"""What the serving images have in them, and what they have not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.supply_chain.sbom import bill
from tests.compose.composed import IMAGES, Compose, require_docker, run

require_docker()
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("compose")]
BILLS = dict(zip(IMAGES, ("gateway", "stage", "stage"), strict=True))
"""What each is called in the bills of materials."""
ROOT = Path(__file__).parent.parent.parent
_INSTALLED = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


def inside(image: str, *command: str, user: str = "0") -> str:
    """Run a command in a fresh container without a network."""
    return run(
        "docker", "run", "--rm", "--network", "none", "--user", user, "--entrypoint", command[0], image, *command[1:]
    )


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_compiles_or_installs(image: str) -> None:
    tools = ("cc", "gcc", "g++", "clang", "ld", "as", "make", "cmake", "pip", "pip3", "uv", "git", "curl", "wget")
    found = inside(image, "sh", "-c", f"for tool in {' '.join(tools)}; do command -v $tool; done; true")
    assert found == ""
    names = ("pip", "setuptools", "wheel", "ensurepip", "uv")
    look = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    for python in ("/opt/venv/bin/python", "/usr/local/bin/python3"):
        assert inside(image, python, "-c", look) == "[]\n", python


@pytest.mark.parametrize("image", IMAGES)
def test_no_program_runs_as_root_whoever_calls_it(image: str) -> None:
    assert inside(image, "find", "/", "-xdev", "-type", "f", "-perm", "/6000") == ""


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_run_cannot_be_written_to_by_whom_it_runs_as(image: str) -> None:
    config: dict[str, Any] = json.loads(run("docker", "image", "inspect", "--format", "{{json .Config}}", image))
    assert config["User"] == "10001:10001"
    others = inside(
        image, "find", "/opt/venv", "(", "!", "-user", "root", "-o", "-perm", "/0022", ")", "!", "-type", "l"
    )
    assert others == ""
    attempt = "import pathlib, sys; pathlib.Path(sys.prefix, 'attack.pth').write_text('import os')"
    with pytest.raises(AssertionError, match="PermissionError"):
        inside(image, "/opt/venv/bin/python", "-c", attempt, user="10001:10001")


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_is_that_of_the_image(image: str) -> None:
    name = BILLS[image]
    components = bill(ROOT / ".venv" / "bin" / "uv", name)["components"]
    listed = {(each["name"], each["version"]): each for each in components}
    installed = json.loads(inside(image, "/opt/venv/bin/python", "-c", _INSTALLED))
    found = {(re.sub(r"[-_.]+", "-", key).lower(), version) for key, version in installed.items() if key != "splitway"}
    assert "splitway" in installed
    assert found <= set(listed)
    elsewhere = [listed[key] for key in set(listed) - found]
    assert all("uv:package:marker" in json.dumps(each.get("properties", [])) for each in elsewhere), elsewhere


def test_bundles_are_mounted_where_stages_cannot_write(compose: Compose) -> None:
    for service in ("feature-extractor", "classifier"):
        container = compose.containers(service)[0]
        (models,) = [mount for mount in container["Mounts"] if mount["Destination"] == "/models"]
        assert models["RW"] is False
        with pytest.raises(AssertionError, match="Read-only file system"):
            compose("exec", service, "python", "-c", "open('/models/attack', 'w')")
