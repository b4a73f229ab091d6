"""The key that the commands show a gateway which asks for one, and the gateway's own secrets, shown to stages.

A secret comes from a variable or from a file that a variable names, never from an option: every user of a machine sees
its command lines. The key is sent to the named gateway only: httpx follows no redirects.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from splitway.api.given import Given
from splitway.cli.console import ERR
from splitway.environment import read_environment
from splitway.errors import Forbidden, SetupError
from splitway.local.places import named_url
from splitway.local.runs import LocalGateway, asked_gateway
from splitway.names import GATEWAY, TOKEN_HEADER
from splitway.schemas.classify import Problem
from splitway.schemas.message import read_answer
from splitway.security.callers.principal import Scope
from splitway.security.identities.pinned import pinned_context
from splitway.security.identities.tls import Identity, peer_service

API_KEY = "SPLITWAY_API_KEY"
SERVICE_TOKEN, IDENTITY = "SPLITWAY_SERVICE_TOKEN", "SPLITWAY_IDENTITY"
_AUTHORIZATION = "authorization"
_ONE_WORD = re.compile(r"[!-~]+")
"""What a header can carry of a secret."""


class _Caller(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPLITWAY_", env_ignore_empty=True, frozen=True)

    api_key: SecretStr | None = None
    ca: Path | None = None
    """Certificates of authorities that are trusted besides the usual ones, in PEM."""


class _Peer(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPLITWAY_", env_ignore_empty=True, frozen=True)

    service_token: SecretStr | None = None
    identity: Path | None = None


@dataclass(frozen=True)
class KeyRefusal:
    """Why a gateway does not answer this caller, and what to do about it."""

    says: str
    do: str

    def __str__(self) -> str:
        return f"{self.says}; {self.do}"


def chosen_gateway(given: Given, url: str | None, name: str | None) -> LocalGateway:
    """The gateway that a command asks, by its options. Raises SetupError where they contradict each other.

    A name on the command line is stronger than an address in a variable.
    """
    if name is None:
        return asked_gateway(named_url(url))
    given.refuse("url", because=f"--name {name} names the gateway")
    return asked_gateway(name=name)


def gateway_headers() -> dict[str, str]:
    """The header that says who asks; none where no key is set. Raises SetupError for one that cannot be sent."""
    key = read_environment(_Caller).api_key
    return {} if key is None else {_AUTHORIZATION: f"Bearer {_one_word(_variable(), key)}"}


def key_for(local: LocalGateway) -> dict[str, str]:
    """The same for one gateway: none where it is not believed. Raises SetupError for a key that cannot be sent."""
    return gateway_headers() if local.doubt is None else {}


def gateway_client(local: LocalGateway, timeout_s: float) -> httpx.Client:
    """Return a client of one gateway, which is shown the key if it is believed, and trusted as it must be.

    Raises SetupError for a key that cannot be sent, or certificates that cannot be read.
    """
    verify = trust_of(local)
    return httpx.Client(base_url=local.url, timeout=timeout_s, headers=key_for(local), verify=verify, trust_env=False)


def trust_of(local: LocalGateway) -> ssl.SSLContext | bool:
    """By what a gateway is known: its one certificate, else by the usual authorities and those of SPLITWAY_CA.

    Raises SetupError for certificates that cannot be read.
    """
    if not local.url.startswith("https:"):
        return True
    if local.certificate is not None:
        return pinned_context(local.certificate)
    if (path := read_environment(_Caller).ca) is None:
        return True
    context = httpx.create_ssl_context(trust_env=False)
    try:
        context.load_verify_locations(path)
    except OSError as error:  # ssl's own among them
        raise SetupError(f"SPLITWAY_CA={path} cannot be read as certificates in PEM: {error}") from error
    return context


def kept_back(local: LocalGateway) -> str | None:
    """Why a key that is set is not sent there; None where it is, or none is set. Raises SetupError as above."""
    if local.doubt is None or not gateway_headers():
        return None
    return f"{API_KEY} is not sent to {local.url}: {local.doubt}; to send it, add --url {local.url}"


def say_what_is_kept_back(local: LocalGateway) -> None:
    """Say on stderr that a key is not sent. Raises SetupError as above."""
    if (said := kept_back(local)) is not None:
        ERR.print(f"splitway: {said}", style="yellow", markup=False)


def _variable() -> str:
    """The variable that the key comes from, or is to come from."""
    return f"{API_KEY}_FILE" if os.environ.get(f"{API_KEY}_FILE") else API_KEY


def _one_word(name: str, secret: SecretStr) -> str:
    """A secret without what stands around it. Raises SetupError, without the secret, for what no header can carry."""
    word = secret.get_secret_value().strip()
    if not _ONE_WORD.fullmatch(word):
        raise SetupError(f"{name} must be one word: it contains a space, a line break or a non-ASCII letter")
    return word


def refusal(reply: httpx.Response, url: str, scope: Scope) -> KeyRefusal | None:
    """Why the caller was not answered, whose key has to allow `scope`; None where it is about something else."""
    said = problem_of(reply)
    if reply.status_code != 401 and (reply.status_code, said.code) != (403, Forbidden.code):
        return None
    detail = f" ({said.detail})" if said.detail else ""
    variable = _variable()
    if _AUTHORIZATION not in reply.request.headers:
        says = f"{url} requires a key"
    elif reply.status_code == 401:
        says = f"{url} does not accept the key in {variable}{detail}"
    else:
        says = f"{url} does not permit this for the key in {variable}{detail}"
    makes = f"splitway keys create NAME --scope {scope}"
    if reply.status_code == 401 and "expired" in detail and "token" not in detail:  # tokens are made by others
        return KeyRefusal(says, f"make a new one with {makes}, and {_put('that')}")
    return KeyRefusal(says, f"{_put(f'a key with the scope {scope}')}; {makes} makes one")


def _put(key: str) -> str:
    """What to do with a key, in words."""
    return f"set {API_KEY} to {key}" if _variable() == API_KEY else f"write {key} into the file of {_variable()}"


def no_gateway(url: str) -> str:
    """What is said where nothing listens."""
    return f"no gateway answers at {url}; start one with: splitway up"


def problem_of(reply: httpx.Response) -> Problem:
    """The problem that a gateway answers with; an empty one where the answer is not a gateway's."""
    try:
        return read_answer(Problem, reply.content)
    except ValueError:
        return Problem()


def stage_headers() -> dict[str, str]:
    """The header that stages know their gateway by; none where no token is set. Raises SetupError for what is none."""
    token = read_environment(_Peer).service_token
    if token is None:
        return {}
    sent, *_ = token.get_secret_value().split(",")  # the others are old ones that are taken still
    return {TOKEN_HEADER: _one_word(SERVICE_TOKEN, SecretStr(sent))}


def stage_client(timeout_s: float, identity: Path | None = None) -> httpx.Client:
    """Return a client that shows the service token and the gateway's certificate, where the variables name them.

    `identity` is the certificate's folder where its variable names none. Raises SetupError for what cannot be used.
    """
    folder = read_environment(_Peer).identity or identity
    verify = True if folder is None else Identity(folder, GATEWAY).client_context
    return httpx.Client(timeout=timeout_s, headers=stage_headers(), verify=verify, trust_env=False)


def only_to(stage: str, url: str) -> dict[str, Callable[[str, Mapping[str, Any]], None]]:
    """The extensions of a request that is for this stage alone.

    Where who answers shows the certificate of another service, sending it raises SetupError before anything is sent.
    """

    def check(event: str, about: Mapping[str, Any]) -> None:
        if event != "connection.start_tls.complete":
            return
        stream = about["return_value"]
        found = peer_service(stream.get_extra_info("ssl_object"))
        if found not in (None, stage):
            stream.close()
            raise SetupError(f"{url} is {found}, as its certificate says, and not {stage}")

    return {"trace": check}
