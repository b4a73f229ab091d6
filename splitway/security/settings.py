"""Security settings of every service: environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from splitway.security.networks import is_exposed
from splitway.telemetry.settings import TelemetrySettings


class SecuritySettings(TelemetrySettings):
    """Read once, when the process starts; the apps' settings go on from here."""

    auth: Literal["auto", "open-to-everyone"] = "auto"
    """`auto`: callers are authenticated if keys, tokens or certificates are set; without them a process that other
    machines can reach does not start. `open-to-everyone`: it starts without authentication."""
    published_on: str = ""
    """Address on which others reach this process, where that is not the one it listens on: in a container whose port is
    published on 127.0.0.1 alone, that."""
    hosts: str = ""
    """Names by which callers may address this process, separated by commas, or `*`: on loopback names without a
    dot and addresses of numbers are taken besides them, beyond it any if none is named."""
    origins: str = ""
    """Origins such as `https://app.example` whose web pages may send requests to this process besides its own,
    separated by commas, or `*`."""
    keys_file: Path | None = None
    """API keys, as `splitway keys` writes them; read again when the file changes."""
    service_token: SecretStr | None = None
    """Shared by the gateway and its stages: the gateway sends it, a stage refuses requests without it."""
    identity: Path | None = None
    """Folder with this service's own certificate, as `splitway certs create` writes it: services speak TLS with
    each other and check who the other is."""
    header_timeout_ms: Annotated[float, Field(gt=0)] = 10_000.0
    """How long a caller may take to send a request's headers, from connecting on, in milliseconds."""
    body_timeout_ms: Annotated[float, Field(gt=0)] = 60_000.0
    """How long a caller may take to send a request's body, in milliseconds; one who is read by the app has its time
    limit too."""
    answer_timeout_ms: Annotated[float, Field(gt=0)] = 30_000.0
    """How long a caller may leave an answer unread, in milliseconds."""
    max_header_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    """Bytes of a request's line and headers together."""
    max_headers: Annotated[int, Field(ge=8)] = 100
    """Headers of one request."""
    handshake_timeout_ms: Annotated[float, Field(gt=0)] = 10_000.0
    """How long a caller may take to show its certificate, in milliseconds, where services have one."""
    connections: Annotated[int, Field(ge=0)] = 4096
    """Connections that may be open, as far as the process may have that many files open; silent ones are dropped for
    new ones beyond it. 0 for no other limit than that of files."""
    connections_per_address: Annotated[int, Field(ge=0)] = 512
    """Connections that one address may have open; 0 for no limit."""
    max_run_s: Annotated[float, Field(ge=0)] = 30.0
    """How long one call may keep the process's event loop, and at a stage how long one run of an engine may take beside
    twice what its rows usually take, in seconds; after that the process ends, to be started again. 0 for any time."""

    body_memory_bytes: Annotated[int, Field(ge=1)] = 96 * 1024 * 1024
    """Bytes of request bodies, as sent and as unpacked, that the process holds at once, until their requests are
    answered; one that there is no room for is answered 503. A body alone is taken whatever stands here."""
    body_memory_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The share of that memory that one caller may take: a key, a token's subject, or without
    authentication an address."""
    body_least_rate: Annotated[float, Field(ge=0)] = 65_536.0
    """Bytes a second at which a body must come in, two seconds after its beginning, where there is no memory left for
    another: the slowest below it is answered 408 and makes room. 0: none makes room."""

    def is_exposed(self, listens_on: str) -> bool:
        """Whether others than this machine reach the process, which listens on this address."""
        return is_exposed(self.published_on or listens_on)
