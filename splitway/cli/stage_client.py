"""How the commands call stages directly: with the gateway's secrets, if the stages require them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from splitway.cli.credentials import one_word
from splitway.environment import read_environment
from splitway.errors import SetupError
from splitway.names import GATEWAY, TOKEN_HEADER
from splitway.security.identities.tls import Identity, peer_service

SERVICE_TOKEN, IDENTITY = "SPLITWAY_SERVICE_TOKEN", "SPLITWAY_IDENTITY"


class _Peer(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SPLITWAY_", env_ignore_empty=True, frozen=True)

    service_token: SecretStr | None = None
    identity: Path | None = None


def stage_headers() -> dict[str, str]:
    """The header that stages know their gateway by; none where no token is set. Raises SetupError for what is none."""
    token = read_environment(_Peer).service_token
    if token is None:
        return {}
    sent, *_ = token.get_secret_value().split(",")  # the others are old ones that are taken still
    return {TOKEN_HEADER: one_word(SERVICE_TOKEN, SecretStr(sent))}


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
