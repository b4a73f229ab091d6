"""The pipeline that runs: what `splitway up` left of it here, who answers, in which version."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from splitway.cli.credentials import IDENTITY, stage_client
from splitway.cli.doctor.finding import Finding, ok, problem, warning
from splitway.cli.status import TIMEOUT_S, Look, ask
from splitway.cli.watch.view import address, span, troubles
from splitway.errors import SetupError, many, printable
from splitway.local.places import RUN_FILE, Place
from splitway.local.run_file import read_run
from splitway.names import GATEWAY
from splitway.schemas.message import read_answer
from splitway.schemas.protocol import ServerMetadata

_AT_ONCE = 8
_MOST_OF_A_VERSION = 40
_OWN_IDENTITY = RUN_FILE.parent / "certs" / GATEWAY
"""Where `splitway up --mtls` keeps the gateway's certificate."""
_WHO_IS_MISSING = "splitway top shows what is missing; docs/operations.md explains each reason"


@dataclass(frozen=True)
class Heard:
    """The answer of one process, asked from here."""

    stage: str
    url: str
    answers: bool
    version: str | None = None
    """Of Splitway."""
    asks_for_certificate: bool = False
    """Whether it does not answer because it was not shown one that it takes."""

    @property
    def name(self) -> str:
        return self.stage if self.stage == GATEWAY else f"{self.stage} {address(self.url)}"


@dataclass(frozen=True)
class Running:
    """All that could be learnt of a pipeline."""

    look: Look
    is_expected: bool
    """Whether it should run: the user gave an address, or a run file names a live gateway."""
    heard: Sequence[Heard]
    """Its processes, as they answer from here; the gateway first."""
    asks_for_key: bool = False


def listen(
    url: str,
    places: Sequence[Place],
    *,
    is_expected: bool,
    key: Mapping[str, str] | None = None,
    trust: ssl.SSLContext | bool = True,
) -> Running:
    """Ask the gateway, which is known by `trust`, then every process that it or the run file names.

    Only `places`, started from this folder, receive the stages' secrets. Only the gateway receives `key`, the headers
    with the API key, and only if it requires one.
    """
    are_ours = any(place.url == url for place in places)
    ours = {place.url: place.stage for place in places if are_ours and place.stage != GATEWAY}
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=trust) as client, _stage_client(ours) as inside:
        look = ask(client, url, {})
        asks_for_key = look.refused is not None
        shown = key or {} if asks_for_key else {}
        if shown:
            look = ask(client, url, shown)
        stages = look.status.stages if look.status else ()
        named = {replica.url: stage.name for stage in stages for replica in stage.replicas} | ours
        others = [partial(_hear, inside if each in ours else client, stage, each) for each, stage in named.items()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            heard = list(pool.map(lambda hear: hear(), [partial(_hear, client, GATEWAY, url, shown), *others]))
    return Running(look, is_expected, heard, asks_for_key)


def _stage_client(urls: Iterable[str]) -> httpx.Client:
    """A client that stages take; where what it would show them is wrong, which another check says, one that asks."""
    speak_tls = any(url.startswith("https:") for url in urls)
    for identity in (_OWN_IDENTITY, None) if speak_tls else (None,):
        with suppress(SetupError):
            return stage_client(TIMEOUT_S, identity)
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


def _hear(client: httpx.Client, stage: str, url: str, headers: Mapping[str, str] | None = None) -> Heard:
    try:
        reply = client.get(f"{url}/v2", headers=headers)
        version = read_answer(ServerMetadata, reply.content).version
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return Heard(stage, url, answers=False, asks_for_certificate=_is_of_tls(error))
    told = None if version is None else printable(version[:_MOST_OF_A_VERSION], keep="")
    return Heard(stage, url, answers=True, version=told)


def _is_of_tls(error: BaseException) -> bool:
    """Whether a connection failed for want of a certificate: theirs is not trusted here, or ours not there."""
    cause = error.__cause__ or error.__context__
    return isinstance(error, ssl.SSLError) or (cause is not None and _is_of_tls(cause))


def run_file(path: Path = RUN_FILE) -> Finding:
    """Whether the pipeline that `splitway up` started here still runs, and may be sent secrets."""
    try:
        run = read_run(path)
    except SetupError as error:
        return problem("run file", error.detail, f"rm {path}")
    if run is None:
        return ok("run file", f"there is no {path}: splitway up has not been started from this folder")
    places = run.places
    dead = [place for place in places if not place.is_alive]
    if len(dead) == len(places):
        says = f"{path} is left over: no process that it names runs"
        return warning("run file", says, f"rm {path}, or splitway up, which replaces it")
    if dead:
        return _some_ended(dead, will_start=run.starts_again)
    if (doubt := next(filter(None, map(run.why_not, places)), None)) is not None:
        says = f"neither key nor token is sent to the addresses in {path}: {doubt}"
        return warning("run file", says, "start splitway up in a folder that only you can write, or name --url")
    return ok("run file", f"all {len(places)} processes that {path} names run")


def _some_ended(dead: Sequence[Place], *, will_start: bool) -> Finding:
    names = ", ".join(f"{place.stage} {address(place.url)} (process {place.pid})" for place in dead)
    says = f"of the pipeline that runs here has ended: {names}"
    if will_start:
        return warning("run file", says, "splitway up starts it again; its log says why it ended")
    return problem("run file", says, "stop splitway up and start it again")


def gateway(running: Running) -> Finding:
    """Whether the gateway answers, and is ready."""
    look = running.look
    if look.refused is not None:
        return problem("gateway", look.refused.says, look.refused.do)
    if look.status is None and running.is_expected:
        return problem("gateway", f"{look.trouble}", "start it, or name another address with --url")
    if look.status is None:
        return ok("gateway", f"nothing runs at {look.url}, so it was not checked", "splitway up starts a pipeline")
    if not look.status.ready:
        says = f"{look.url} is not ready: {look.status.reason or 'no reason given'}"
        return problem("gateway", says, _WHO_IS_MISSING)
    told = look.status.gateway
    up_for = f", up for {span(told.uptime_s)}" if told and told.uptime_s is not None else ""
    return ok("gateway", f"{look.url} is ready{up_for}")


def replicas(running: Running) -> list[Finding]:
    """Whether each replica serves, as the gateway sees it; those that are out of reach from here need not be broken."""
    status = running.look.status
    if status is None:
        return []
    wrong = list(troubles(status))
    level = warning if status.ready else problem
    found = [level("replicas", sentence, _WHO_IS_MISSING) for sentence in wrong]
    ready = sum(stage.ready_replicas for stage in status.stages)
    if ready:
        asking = sum(each.asks_for_certificate for each in running.heard)
        apart = sum(not each.answers for each in running.heard if each.stage != GATEWAY) - asking - len(wrong)
        beyond = f"; {apart} of them are not reachable from here" if apart > 0 else ""
        closed = f"; not checked, because the gateway's certificate is missing: {asking}" if asking else ""
        do = f"set {IDENTITY} to the gateway's folder, to check them too" if asking else ""
        found.append(ok("replicas", f"{many(ready, 'replica')} ready{beyond}{closed}", do))
    return found


def versions(running: Running, own: str) -> list[Finding]:
    """Whether all processes that answer, and this command, are of one version of Splitway."""
    told = {each.name: each.version for each in running.heard if each.version is not None}
    others = {name: version for name, version in told.items() if version != own}
    if others:
        says = ", ".join(f"{name} is {version}" for name, version in others.items())
        do = "upgrade what is older; adjacent versions work together meanwhile"
        return [warning("versions", f"this command is Splitway {own}, but {says}", do)]
    return [ok("versions", f"all {len(told)} that answer are Splitway {own}, as this command is")] if told else []
