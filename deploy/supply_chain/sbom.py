"""Say what each image has in it, in CycloneDX 1.5, out of the lock: nothing is fetched. Used by `make sbom`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

COMPOSE = Path("compose.yaml")
DEPLOYABLES = {"gateway": "gateway", "stage": "feature-extractor", "splitter": "models"}
"""What is deployed, and the service of the compose file that says which extras it is made of."""


def extras(service: str, compose: Path = COMPOSE) -> list[str]:
    """The extras that a service's image is installed with."""
    services = yaml.safe_load(compose.read_text(encoding="utf-8"))["services"]
    return str(services[service]["build"]["args"]["EXTRAS"]).split()


def bill(uv: Path, name: str) -> dict[str, Any]:
    """The bill of materials of one deployable: every Python package of the lock, with the hashes of its files."""
    options = [option for extra in extras(DEPLOYABLES[name]) for option in ("--extra", extra)]
    command = [str(uv), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", *options]
    told = [*command, "--format", "cyclonedx1.5"]
    content: dict[str, Any] = json.loads(subprocess.run(told, check=True, capture_output=True, text=True).stdout)  # noqa: S603
    content["metadata"]["component"].update(type="application", name=f"splitway-{name}")
    for component in content["components"]:
        _name_no_host(component)
    return content


def _name_no_host(component: dict[str, Any]) -> None:
    """The lock stands for every index; a package is known by its name, its version and its files' hashes."""
    component["purl"] = component["purl"].split("?")[0]
    for reference in component.get("externalReferences", []):
        reference["url"] = urlsplit(reference["url"]).path.rsplit("/", 1)[-1]


def main(uv: Path, folder: Path) -> None:
    """Write one file for each deployable."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DEPLOYABLES:
        content = bill(uv, name)
        path = folder / f"{name}.cdx.json"
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"{path}: {len(content['components'])} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
