"""Ask which of the locked packages have known weaknesses. Used by `make audit`.

pip-audit reports success for packages that it was told nothing about, so what counts here is how many it was told of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICES = ("pypi", "osv")
"""In the order in which they are asked; one that knows every package is enough."""


@dataclass(frozen=True)
class Answer:
    """What one service said of the packages.

    Args:
        packages: how many were asked about.
        unknown: names of those that it said nothing of.
        weaknesses: a line for each that it knows.
        error: why it could not be asked, where it could not.
    """

    packages: int
    unknown: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()
    error: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it spoke of every package."""
        return self.error is None and self.packages > 0 and not self.unknown

    @property
    def shortcoming(self) -> str:
        """Why it does not count."""
        if self.error is not None:
            return f"could not be asked ({self.error})"
        return f"knows {self.packages - len(self.unknown)} of {self.packages} packages"


def ask(pip_audit: Path, requirements: Path, service: str, *options: str) -> Answer:
    """Run pip-audit over hashed requirements, without resolving or installing anything."""
    command = [str(pip_audit), "--requirement", str(requirements), "--disable-pip", "--require-hashes"]
    told = ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", *options]
    try:
        done = subprocess.run([*command, *told], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:
        return Answer(0, error=f"{pip_audit.name}: {error.strerror}")
    try:
        return _read(json.loads(done.stdout)["dependencies"])
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Answer(0, error=last.split(":")[0])  # the rest names hosts


def _read(dependencies: list[dict[str, Any]]) -> Answer:
    weaknesses = [
        f"{each['name']} {each['version']}: {weakness['id']}, mended in {', '.join(weakness['fix_versions']) or 'none'}"
        for each in dependencies
        for weakness in each.get("vulns", [])
    ]
    unknown = tuple(each["name"] for each in dependencies if "skip_reason" in each)
    return Answer(len(dependencies), unknown, tuple(weaknesses))


def main(arguments: list[str]) -> int:
    """Print the verdict; 0 only if a service knows every package and no weakness of any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pip_audit", type=Path)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--osv-url", help="another place that answers as OSV does")
    told = parser.parse_args(arguments)
    answers = {}
    for service in SERVICES:
        options = ("--osv-url", told.osv_url) if told.osv_url and service == "osv" else ()
        answer = answers[service] = ask(told.pip_audit, told.requirements, service, *options)
        for weakness in answer.weaknesses:
            print(weakness)
        if answer.weaknesses:
            print(f"{len(answer.weaknesses)} known weaknesses, by {service}", file=sys.stderr)
            return 1
        if answer.is_whole:
            print(f"{answer.packages} packages, no known weakness, by {service}")
            return 0
    said = "; ".join(f"{service} {answer.shortcoming}" for service, answer in answers.items())
    print(f"not audited: no service that knows weaknesses answered for every package: {said}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
