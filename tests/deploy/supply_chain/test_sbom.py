"""The bills of materials against the lock and the images' own lists, which are made in another way."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.supply_chain.sbom import COMPOSE, DEPLOYABLES, extras, main

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


def test_an_image_that_is_built_with_other_extras_is_followed(tmp_path: Path) -> None:
    content = yaml.safe_load(COMPOSE.read_text())
    content["services"]["gateway"]["build"]["args"]["EXTRAS"] = "serve otel more"
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(content))
    assert extras("gateway", tmp_path / "compose.yaml") == ["serve", "otel", "more"]
    for service in ("feature-extractor", "models"):
        assert extras(service, tmp_path / "compose.yaml") == extras(service)


def test_every_image_is_built_by_the_one_dockerfile_from_extras_that_there_are() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    built = {name: service["build"] for name, service in services.items() if "build" in service}
    assert set(DEPLOYABLES.values()) <= built.keys()
    assert {build["dockerfile"] for build in built.values()} == {"deploy/docker/Dockerfile"}
    assert all(set(extras(name)) <= known for name in built)
