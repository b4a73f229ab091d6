"""Settings of the gateway: environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, ValidationInfo, field_validator

from splitway.errors import SetupError
from splitway.gateway.fleet.replicas import StageConfig
from splitway.gateway.rollout.record import RollbackPolicy
from splitway.kinds.image.settings import PictureSettings
from splitway.names import EXTRACTOR, HEADS, NAME
from splitway.schemas.pipeline import LaunchedStatus
from splitway.wire.context import Limits
from splitway.wire.room import MAX_REPLY_BYTES, MAX_ROWS

_MAX_JSON_VALUES = 1 << 17
"""Of one request: at the gateway all requests wait while one is read."""
_NOT_OURS = ("decode_responses", "encoding", "encoding_errors")
"""Options that would change the values the gateway reads; it stores bytes."""


class GatewaySettings(PictureSettings):
    """Read once, when the app is made."""

    feature_extractor: str = "http://127.0.0.1:8081"
    """Addresses of the feature extractors, separated by commas."""
    classifier: str = "http://127.0.0.1:8091"
    """Addresses of the stages that serve the heads, separated by commas."""
    bodies: dict[str, str] = {}
    """Stages between the two, in order, and their addresses, as JSON such as {"body_1": "http://127.0.0.1:8085"}."""
    releases: str = ""
    """The releases file that the pipeline follows; empty for none."""
    rollback_window_s: Annotated[float, Field(ge=1)] = 300.0
    """Over how many seconds a release on trial is judged."""
    rollback_min_requests: Annotated[int, Field(ge=1)] = 20
    """Requests, or comparisons, within that window without which a trial goes on."""
    rollback_error_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """How much larger than the current release's the share of errors of one on trial may be before it is withdrawn."""
    rollback_disagreement: Annotated[float, Field(ge=0, le=1)] = 0.3
    """The share of comparisons that may end with another first class before a release on trial is withdrawn."""
    compare_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """The share of a canary's requests that are run as the current release too, and compared."""
    background_runs: Annotated[int, Field(ge=0)] = 4
    """The most comparisons that run at once; more are dropped, and counted."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 16 * 1024 * 1024
    """Bytes of one request body, as sent and as unpacked."""
    max_reply_bytes: Annotated[int, Field(ge=1)] = MAX_REPLY_BYTES
    """Bytes of one stage's reply; a longer one is refused as nonsense."""
    default_timeout_ms: Annotated[float, Field(gt=0)] = 10_000.0
    """Time limit of a request that names none, in milliseconds."""
    max_timeout_ms: Annotated[float, Field(gt=0)] = 30_000.0
    """Longest time limit a request may ask for, in milliseconds."""
    probe_interval_ms: Annotated[float, Field(ge=50)] = 1_000.0
    """How often each replica is asked whether it is ready, in milliseconds."""
    probe_failures: Annotated[int, Field(ge=1)] = 3
    """Probes and calls in a row that must fail to reach a ready replica before it is left alone. Where no other can be
    asked, it is tried all the same."""
    attempt_timeout_ms: Annotated[float, Field(gt=0)] = 2_000.0
    """The most that one call to one replica may take, in milliseconds; another replica may have a try after it."""
    max_in_flight: Annotated[int, Field(ge=4)] = 512
    """The most requests that are let in at once; below it the limit follows the slowest stage."""
    retry_share: Annotated[float, Field(ge=0, le=10)] = 0.1
    """Retries that each first attempt pays for; beyond them there is one a second. 0.1 keeps an outage below 1.15
    times the load; 2 or more is as good as no budget."""
    hedge: dict[str, Annotated[float, Field(ge=0.5, lt=1)]] = {}
    """Stages whose slowest attempts get a second one beside them, and the quantile of their latency after which it
    starts, as JSON such as {"feature_extractor": 0.95}. Off for stages that are not named."""
    breakers: Literal["automatic", "forced_open", "forced_closed"] = "automatic"
    """Holds every replica's breaker open or closed."""
    cache: Annotated[str, Field(pattern=r"^(off|memory|rediss?://.+)$")] = "off"
    """Store of the feature cache: `off`, `memory`, or the address of a Redis."""
    cache_bytes: Annotated[int, Field(ge=0)] = 64 * 1024 * 1024
    """Bytes of memory that kept features may take."""
    cache_keep_s: Annotated[int, Field(ge=1)] = 3600
    """How long Redis keeps features, in seconds."""
    max_rows: Annotated[int, Field(ge=1)] = MAX_ROWS
    """Rows of one request."""
    rate_per_second: Annotated[int, Field(ge=0)] = 0
    """Requests that one caller may make per second; 0 for no limit. A caller is a key, a token's subject, or without
    authentication an address."""
    cost_per_minute: Annotated[int, Field(ge=0)] = 0
    """Cost per minute of one caller: 1 for each row, and for each megapixel begun of a picture; 0 for no limit.
    A key may have its own."""
    concurrency_per_key: Annotated[int, Field(ge=0)] | None = None
    """Parallel requests of one caller; 0 for no limit. If not set, 64 for authenticated callers and no limit for
    others. A key may have its own."""
    rate_store: Annotated[str, Field(pattern=r"^(memory|rediss?://.+)$")] = "memory"
    """Store of the callers' counters: `memory`, or the address of a Redis shared by several gateways."""
    jwt_issuer: str = ""
    """Issuer of the tokens (JWT) accepted beside keys: exactly their `iss`; empty for no tokens."""
    jwt_audience: str = ""
    """Audience of the tokens: one of their `aud`."""
    jwt_keys: str = ""
    """The issuer's public keys, a JWK set: a file, or an https address."""
    jwt_algorithms: str = "RS256,ES256,EdDSA"
    """Accepted signature algorithms, of RS256, PS256, ES256 and EdDSA."""
    samples: str = ""
    """Folder of pictures that the page at / offers; if not set, those of Splitway's sources, where it runs in them."""
    run_name: str = ""
    """What commands must give as --name to mean this pipeline. Set by `splitway up`, as the next."""
    run_models: str = ""
    """What commands on its releases must give as --models."""

    @field_validator("bodies")
    @classmethod
    def _bodies_have_names(cls, bodies: dict[str, str]) -> dict[str, str]:
        for name in bodies:
            if not re.fullmatch(NAME, name) or name in (EXTRACTOR, HEADS):
                raise ValueError(f"{name[:80]!r} is not a valid name for a body; use body_1, body_2, ...")
        return bodies

    @field_validator("hedge")
    @classmethod
    def _hedge_names_stages(cls, hedge: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        stages = (EXTRACTOR, *info.data.get("bodies", {}), HEADS)
        if unknown := sorted(set(hedge) - set(stages)):
            raise ValueError(f"there is no stage {', '.join(unknown)}; the stages are {', '.join(stages)}")
        return hedge

    @field_validator("cache", "rate_store")
    @classmethod
    def _redis_has_an_address(cls, place: str) -> str:
        if "://" in place:
            _check_redis_address(place)
        return place

    @property
    def limits(self) -> Limits:
        return Limits(
            self.max_body_bytes,
            self.max_body_bytes,
            self.default_timeout_ms / 1e3,
            self.max_timeout_ms / 1e3,
            max_rows=self.max_rows,
            max_json_values=_MAX_JSON_VALUES,
        )

    @property
    def chain(self) -> tuple[StageConfig, ...]:
        """The stages in the order in which a request meets them. Raises SetupError for an address that is none."""
        return (
            StageConfig(EXTRACTOR, "extractor", self._urls(EXTRACTOR, self.feature_extractor)),
            *(StageConfig(name, "body", self._urls(f"bodies.{name}", urls)) for name, urls in self.bodies.items()),
            StageConfig(HEADS, "head", self._urls(HEADS, self.classifier)),
        )

    @property
    def launched(self) -> LaunchedStatus:
        """What commands must be told to mean this pipeline."""
        return LaunchedStatus(name=self.run_name or None, models=self.run_models or None)

    @property
    def rollback(self) -> RollbackPolicy:
        """When a release on trial is withdrawn."""
        return RollbackPolicy(
            self.rollback_window_s, self.rollback_min_requests, self.rollback_error_share, self.rollback_disagreement
        )

    def _urls(self, name: str, text: str) -> tuple[str, ...]:
        variable = f"SPLITWAY_{name.upper()}"
        urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
        for url in urls:
            if not is_address(url):
                raise SetupError(f"{variable}: {url!r} is not a valid address; use one such as http://127.0.0.1:8081")
            if urlsplit(url).scheme == "https" and self.identity is None:
                raise SetupError(f"{variable}: {url} needs a certificate: set SPLITWAY_IDENTITY")
            if urlsplit(url).scheme == "http" and self.identity is not None:
                raise SetupError(f"{variable}: {url} is not secured, but SPLITWAY_IDENTITY is set: use https://")
        if not urls:
            raise SetupError(f"{variable} has no address")
        return urls


def is_address(url: str) -> bool:
    """Whether a server could have this http or https address."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:  # brackets that do not close, a port that is none
        return False


def _check_redis_address(url: str) -> None:
    """Look at an address such as `redis://host:6379/0`; nothing is connected to.

    Raises:
        ValueError: no connection could ever be made to it. The message holds nothing of the address but the names of
            its options, for a mistyped one may hold a password in any place.
    """
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:  # brackets that do not close, a port that is none
        has_port = False
    if not has_port:
        raise ValueError("the port must be a number from 1 to 65535")
    if not parts.hostname:
        raise ValueError("the host is missing: use an address such as redis://127.0.0.1:6379/0")
    database = parts.path.removeprefix("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("the path must be the number of a database, such as /0")
    if parts.fragment:
        raise ValueError("'#' is not allowed; write %23 for one in a password")
    _check_options(url, tuple(parse_qs(parts.query, keep_blank_values=True)))


def _check_options(url: str, names: tuple[str, ...]) -> None:
    """Make a connection that is not opened: the client looks at its options only then."""
    try:
        from redis.asyncio import ConnectionPool  # noqa: PLC0415 - large, and needed where there is a Redis alone
    except ModuleNotFoundError as error:
        raise ValueError(f"it needs {error.name}: install splitway[gateway]") from error
    named = ", ".join(name[:40] for name in names if name.isidentifier()) or "none that can be named"
    if any(name in _NOT_OURS for name in names):
        raise ValueError(f"the options must not change how values are read: {named}")
    try:
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call] # of redis-py
    except Exception:  # whatever the client, or its reading of certificates, makes of a wrong option
        raise ValueError(f"the client does not support these options or values: {named}") from None
