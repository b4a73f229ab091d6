"""The bills of materials against the lock and the images' own lists, which are made in another way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.supply_chain.sbom import DEPLOYABLES, extras, main

ROOT = Path(__file__).parent.parent.parent.parent
UV = ROOT / ".venv" / "bin" / "uv"
Bill = dict[str, Any]


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bill]:
    folder = tmp_path_factory.mktemp("sbom")
    main(UV, folder)
    return {name: json.loads((folder / f"{name}.cdx.json").read_text()) for name in DEPLOYABLES}


def locked() -> dict[tuple[str, str], set[str]]:
    """The hashes of every file of every package in the lock, by name and version."""
    with (ROOT / "uv.lock").open("rb") as file:
        packages = tomllib.load(file)["package"]
    return {
        (each["name"], each["version"]): {
            file["hash"].removeprefix("sha256:")
            for file in [*each.get("wheels", []), *([each["sdist"]] if "sdist" in each else [])]
        }
        for each in packages
    }


@pytest.mark.parametrize("name", DEPLOYABLES)
def test_it_has_every_package_that_is_installed_with_version_purl_and_hashes(bills: dict[str, Bill], name: str) -> None:
    command = [
        str(UV),
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-hashes",
        "--no-annotate",
    ]
    options = [option for extra in extras(DEPLOYABLES[name]) for option in ("--extra", extra)]
    exported = subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    installed = set(re.findall(r"^([a-z0-9-]+)==([^ ;\n]+)", exported, re.MULTILINE))
    components = {(each["name"], each["version"]): each for each in bills[name]["components"]}
    assert set(components) == installed
    assert len(installed) > 20
    hashes = locked()
    for (package, version), component in components.items():
        assert component["purl"] == f"pkg:pypi/{package}@{version}"
        said = {hash_["content"] for file in component["externalReferences"] for hash_ in file["hashes"]}
        assert said == hashes[package, version]
        assert said
        assert {hash_["alg"] for file in component["externalReferences"] for hash_ in file["hashes"]} == {"SHA-256"}


@pytest.mark.parametrize("name", DEPLOYABLES)
def test_it_is_cyclonedx_and_everything_it_refers_to_is_in_it(bills: dict[str, Bill], name: str) -> None:
    bill = bills[name]
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", bill["serialNumber"])
    whole = bill["metadata"]["component"]
    assert (whole["name"], whole["type"]) == (f"splitway-{name}", "application")
    references = {whole["bom-ref"], *(each["bom-ref"] for each in bill["components"])}
    assert len(references) == 1 + len(bill["components"])
    named = [*(each["ref"] for each in bill["dependencies"])]
    named += [ref for each in bill["dependencies"] for ref in each.get("dependsOn", [])]
    assert set(named) <= references


@pytest.mark.parametrize("name", DEPLOYABLES)
def test_it_names_no_host(bills: dict[str, Bill], name: str) -> None:
    assert "://" not in json.dumps(bills[name])


def test_each_has_what_it_needs_and_no_more(bills: dict[str, Bill]) -> None:
    names = {name: {each["name"] for each in bill["components"]} for name, bill in bills.items()}
    assert "tensorflow" in names["splitter"]
    assert "ai-edge-litert" in names["stage"]
    assert "tensorflow" not in names["stage"] | names["gateway"]
    assert "ai-edge-litert" not in names["gateway"]
    for tool in ("pip", "setuptools", "wheel", "uv", "hatchling", "pytest"):
        assert tool not in names["stage"] | names["gateway"]


def test_a_dockerfile_that_installs_other_extras_is_followed(tmp_path: Path) -> None:
    for dockerfile in DEPLOYABLES.values():
        shutil.copy(dockerfile, tmp_path / "Dockerfile")
        assert extras(tmp_path / "Dockerfile") == extras(dockerfile)
    (tmp_path / "Dockerfile").write_text("RUN deploy/install.sh serve otel more\n")
    assert extras(tmp_path / "Dockerfile") == ["serve", "otel", "more"]
