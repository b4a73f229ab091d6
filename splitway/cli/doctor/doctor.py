"""`splitway doctor`: every check, each with a time limit of its own, and what they found: the worst first."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import cast, get_args

from rich.text import Text

from splitway.bundle_graph import Chain, find_chain
from splitway.cli.console import ERR, OUT
from splitway.cli.credentials import key_for, trust_of
from splitway.cli.doctor import access, bundles, engines, running, variables
from splitway.cli.doctor.finding import LEVELS, Finding, Level, problem
from splitway.errors import BundleError, SetupError, in_one_line, many
from splitway.local.places import named_url
from splitway.local.run_file import read_run
from splitway.local.runs import asked_gateway, run_path
from splitway.manifest import EngineName
from splitway.names import GATEWAY
from splitway.releases import FILE, Releases
from splitway.runtime.engines.cores import available_cores
from splitway.security.signing import TrustedKeys
from splitway.stored import unnamed
from splitway.version import __version__

_TIME_LIMIT_S = 150.0
_SIGNS: dict[Level, tuple[str, str]] = {"problem": ("✗", "red"), "warning": ("!", "yellow"), "ok": ("✓", "green")}
Check = Callable[[], Finding | Iterable[Finding] | None]
"""Looks at one thing."""


@dataclass
class Facts:
    """Facts of a set-up that several checks need: each is looked up once, when it is first asked for."""

    url: str | None
    """The gateway given by the user; None if there is none."""
    models: Path
    name: str | None = None
    """Of the pipeline in this folder that is meant."""

    @cached_property
    def heard(self) -> running.Running:
        """What the pipeline says. Only processes that `splitway up` started are sent the secrets of stages."""
        gateway, run, key = asked_gateway(self.url, name=self.name), None, dict[str, str]()
        with suppress(SetupError):  # its own check says so, as of the key
            run = read_run(run_path(self.name))
        with suppress(SetupError):
            key = key_for(gateway)
        places = run.places if run else ()
        expected = self.url is not None or any(place.stage == GATEWAY and place.is_alive for place in places)
        believed = [place for place in places if run and run.why_not(place) is None]
        trust = trust_of(gateway)
        return running.listen(gateway.url, believed, is_expected=expected, key=key, trust=trust)

    @cached_property
    def nothing_to_look_at(self) -> Finding | None:
        look = self.heard.look
        return bundles.folder(self.models, may_be_elsewhere=look.status is not None or look.refused is not None)

    @cached_property
    def hashed(self) -> bundles.Hashed:
        return bundles.hash_all(self.models, self.trust[0])

    @cached_property
    def trust(self) -> tuple[TrustedKeys | None, Finding | None]:
        return bundles.read_trust(os.environ)

    @cached_property
    def releases(self) -> tuple[Releases | None, Finding | None]:
        return bundles.read_file(Path(os.environ.get("SPLITWAY_RELEASES") or self.models / FILE))

    @cached_property
    def chain(self) -> Chain | None:
        """The bundles that are served; where they do not follow each other, another check says so."""
        try:
            return None if self.nothing_to_look_at else find_chain(self.models)
        except BundleError:
            return None


def doctor(url: str | None, name: str | None, models: Path, options: Sequence[str], *, as_json: bool) -> int:
    """Check everything, print what was found, return 1 if something is broken. Raises SetupError if `url` is none.

    `name` is that of the pipeline in this folder that is meant, where there is no `url`.
    """
    facts = Facts(named_url(url), models, name)
    with ERR.status("looking"):
        found = examine(checks(facts, options))
    (print_json if as_json else print_list)(found)
    return int(any(result.level == "problem" for result in found))


def checks(facts: Facts, options: Sequence[str]) -> dict[str, Check]:
    """All checks by their names; `options` are the variables that the commands read."""

    def there(check: Check) -> Check:
        """The check, where there are bundles to look at."""
        return lambda: None if facts.nothing_to_look_at else check()

    return {
        "bundles": lambda: facts.nothing_to_look_at or facts.hashed.findings,
        "bundle key": lambda: facts.trust[1],
        "chain": there(lambda: bundles.chain(facts.models, facts.releases[0])),
        "releases": there(lambda: facts.releases[1] or bundles.releases(facts.models, facts.releases[0])),
        "engines": lambda: _engines(facts),
        "run file": lambda: running.run_file(run_path(facts.name)),
        "gateway": lambda: running.gateway(facts.heard),
        "replicas": lambda: running.replicas(facts.heard),
        "versions": lambda: running.versions(facts.heard, __version__),
        "access": lambda: access.access(facts.heard),
        "API key": lambda: access.api_key(facts.heard.look.url, os.environ),
        "keys": lambda: access.keys(os.environ, datetime.now(UTC)),
        "identity": lambda: access.identity(os.environ, datetime.now(UTC)),
        "settings": lambda: variables.settings(os.environ, options),
        "threads": lambda: variables.threads(os.environ, available_cores()),
        "traces": lambda: variables.traces(os.environ),
    }


def _engines(facts: Facts) -> Iterator[Finding]:
    """Of the bundles that are whole: the others are no engine's fault."""
    if facts.chain is None:
        return
    named = os.environ.get("SPLITWAY_ENGINE")
    chosen = cast("EngineName", named) if named in get_args(EngineName) else None
    for name, folders in engines.engines_of(facts.chain, chosen).items():
        if sound := [folder for folder in folders if folder in facts.hashed.whole]:
            yield engines.engine(name, sound)


def examine(all_checks: dict[str, Check], time_limit_s: float = _TIME_LIMIT_S) -> list[Finding]:
    """Run the checks side by side and return what they found, the worst first.

    A check that raises, or does not end in time, is a problem of its own; the others are not held up by it.
    """
    found: dict[str, list[Finding]] = {}

    def run(name: str, check: Check) -> None:
        try:
            with unnamed():
                result = check()
                found[name] = [result] if isinstance(result, Finding) else list(result or ())
        except Exception as error:
            says = f"this check itself failed: {type(error).__name__}: {in_one_line(error)}"
            found[name] = [problem(name, says, "the rest was checked; please report this")]

    threads = {
        name: threading.Thread(target=run, args=(name, check), name=f"check {name}", daemon=True)
        for name, check in all_checks.items()
    }
    deadline_s = time.monotonic() + time_limit_s
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, deadline_s - time.monotonic()))
        if thread.is_alive():
            found[name] = [problem(name, f"this check did not end within {time_limit_s:g} s", "check it by hand")]
    results = [result for name in all_checks for result in found[name]]
    return sorted(results, key=lambda result: LEVELS.index(result.level))


def print_list(found: Sequence[Finding]) -> None:
    """Print a line for each result and, below it, what to do."""
    wide = max(len(result.name) for result in found)
    for result in found:
        sign, colour = _SIGNS[result.level]
        word = "" if result.level == "ok" else f"{result.level}: "
        name = f"{result.name:<{wide}}  "
        OUT.print(Text.assemble((f"{sign} ", f"bold {colour}"), (name, "bold"), (word, colour), result.says))
        if result.do:
            OUT.print(Text.assemble(" " * (wide + 4), ("→ ", "bold"), result.do))
    count = {level: sum(result.level == level for result in found) for level in LEVELS}
    said = [many(count[level], level) for level in ("problem", "warning") if count[level]]
    OUT.print(f"{' and '.join(said) or 'nothing is wrong'}; {count['ok']} right", style="bold")


def print_json(found: Sequence[Finding]) -> None:
    """Print one object with every result."""
    broken = any(result.level == "problem" for result in found)
    print(json.dumps({"ok": not broken, "results": [asdict(result) for result in found]}, indent=2, ensure_ascii=False))
