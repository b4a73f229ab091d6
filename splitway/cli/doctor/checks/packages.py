"""Python, and what is installed beside Splitway."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from splitway.cli.doctor.checks.result import Result, ok, problem, warning
from splitway.errors import SetupError
from splitway.telemetry.settings import traces_asked_for

Installed = Callable[[str], str | None]
"""The version of a package by its name; None where it is not there."""
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?[^;>]*(>=(?P<least>[0-9.]+))?")
_EXTRA = re.compile(r"extra == '(?P<extra>\w+)'")
_RUNS = {"serve": "stages", "gateway": "the gateway"}
"""What each extra is for."""
_TRACES = "opentelemetry-exporter-otlp-proto-http"


def python(version: Sequence[int], required: str) -> Result:
    """Whether this Python is one that Splitway is made for; `required` is such as `>=3.11`."""
    have = ".".join(map(str, version[:3]))
    if _numbers(have) < _numbers(required):
        return problem("Python", f"Python {have} is not {required}", "make a venv of a newer Python")
    return ok("Python", f"Python {have}")


def packages(requirements: Iterable[str], installed: Installed) -> list[Result]:
    """Whether what stages and gateway need is there; one of the two may be meant to be missing, but not both.

    Args:
        requirements: of the distribution, as its metadata lists them.
        installed: what is there.
    """
    missing: dict[str, list[str]] = {extra: [] for extra in _RUNS}
    for line in requirements:
        extra = _EXTRA.search(line)
        wanted = [extra.group("extra")] if extra else list(_RUNS)
        if lack := _lack(line, installed):
            for each in missing.keys() & set(wanted):
                missing[each].append(lack)
    level = problem if all(missing.values()) else warning
    return [
        level(
            "packages",
            f"{_RUNS[extra]} cannot be served here: {', '.join(sorted(lacks))}",
            f"pip install 'splitway[{extra}]'",
        )
        if lacks
        else ok("packages", f"all that {_RUNS[extra]} need{'' if extra == 'serve' else 's'} is installed")
        for extra, lacks in missing.items()
    ]


def tracing(environment: Mapping[str, str], installed: Installed) -> Result:
    """Whether traces that OTEL_* variables ask for can be exported."""
    try:
        asked = traces_asked_for(environment)
    except SetupError as error:
        return problem("traces", f"no process starts: {error.detail}", "correct that variable, or unset it")
    if not asked:
        return ok("traces", "no OTEL_* variable asks for them; trace ids are in the logs anyway")
    if installed(_TRACES) is None:
        says = "OTEL_* variables ask for traces, and OpenTelemetry is missing: none are exported"
        return warning("traces", says, "pip install 'splitway[otel]'")
    return ok("traces", "they are exported, as OTEL_* variables ask")


def _lack(line: str, installed: Installed) -> str | None:
    """What is wrong with one requirement."""
    match = _REQUIREMENT.match(line)
    if match is None:
        return None
    name, least = match.group("name"), match.group("least")
    have = installed(name)
    if have is None:
        return f"{name} is missing"
    if least and _numbers(have) < _numbers(least):
        return f"{name} {have} is older than {least}"
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, so that 1.10 comes after 1.9 and 2.0 is 2."""
    found = re.search(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
