"""Answers of `/v1/pipeline` and of the gateway's `/readyz`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from splitway.names import Role
from splitway.schemas.message import AnswerSchema, Count, Milliseconds, Share, Told
from splitway.schemas.protocol import ModelTensor

_Counts = dict[str, Count]


class PipelineReadiness(AnswerSchema):
    """Whether the pipeline can answer, and which stage is missing if not."""

    ready: bool
    reason: str | None
    stages: Annotated[dict[str, str], Field(description="`ready`, or why not.")]


class RecentStatus(AnswerSchema):
    """Requests, or calls to one stage, that ended within the last seconds."""

    window_s: Told[float] = None
    ended: Told[int] = None
    failed: Told[int] = None
    rate_per_s: Told[float] = None
    p50_ms: float | None = None
    p99_ms: float | None = None


class HistoryStatus(AnswerSchema):
    """Requests, or calls, by when they ended, the oldest first. Null: before the gateway or the replica was there, and
    latencies of nothing."""

    ended: tuple[Count | None, ...] = ()
    failed: tuple[Count | None, ...] = ()
    p50_ms: tuple[Milliseconds | None, ...] = ()
    p99_ms: tuple[Milliseconds | None, ...] = ()
    in_flight: Annotated[tuple[float | None, ...], Field(description="On average, of what ended.")] = ()


class HistoryScale(AnswerSchema):
    """What the values of a history stand for."""

    step_s: int
    values: int
    until: Annotated[str, Field(description="The end of the last step, in UTC.")]


class OfferedModel(AnswerSchema):
    """A version of a model that a replica can be asked for, and its feature spaces."""

    name: str
    version: str
    state: str = "unknown"
    is_default: bool = False
    takes: str | None = None
    gives: str | None = None


class ReplicaStatus(AnswerSchema):
    """One process of a stage as the gateway sees it."""

    url: str
    number: Told[int] = None
    state: str = "unknown"
    reason: str | None = None
    started_at: Annotated[str | None, Field(description="When its process began, in UTC.")] = None
    restarts: Annotated[Count, Field(description="Processes that have come in its place since it was found.")] = 0
    version: str | None = None
    feature_space: str | None = None
    models: tuple[OfferedModel, ...] = ()
    breaker: Told[str] = None
    breaker_retry_in_s: Told[float] = None
    in_flight: Told[int] = None
    attempts: _Counts = {}
    latency_ms: float | None = None
    history: HistoryStatus | None = None

    @property
    def versions(self) -> dict[str, str]:
        """The versions of each of its models, by name and in order."""
        found: dict[str, list[str]] = {}
        for model in sorted(self.models, key=lambda model: (len(model.version), model.version)):
            found.setdefault(model.name, []).append(model.version)
        return {name: ", ".join(versions) for name, versions in found.items()}


class StageStatus(AnswerSchema):
    """One link of the chain."""

    name: str
    role: Role | None = None
    ready: bool = False
    retry_budget: Told[float] = None
    replicas: tuple[ReplicaStatus, ...] = ()
    recent: RecentStatus = RecentStatus()
    history: HistoryStatus | None = None

    @property
    def attempts(self) -> Counter[str]:
        """Calls to all its replicas, by how they ended."""
        return sum((Counter(replica.attempts) for replica in self.replicas), Counter())

    @property
    def ready_replicas(self) -> int:
        return sum(replica.state == "ready" for replica in self.replicas)


class GatewayStatus(AnswerSchema):
    """The gateway's own counts since it started."""

    version: Told[str] = None
    uptime_s: Told[float] = None
    requests: _Counts = {}
    recent: RecentStatus = RecentStatus()
    history: HistoryStatus | None = None


class DoorStatus(AnswerSchema):
    """Requests that are under way, that wait, and that were refused."""

    limit: Told[int] = None
    in_flight: Told[int] = None
    queued: Told[int] = None
    turned_away: _Counts = {}


class HeadStatus(AnswerSchema):
    """A head that requests can name."""

    name: str
    ready: bool = False
    reason: Annotated[str | None, Field(description="Why it is not ready.")] = None
    version: str | None = None
    takes: Annotated[str | None, Field(description="The feature space of what it is given.")] = None
    outputs: tuple[ModelTensor, ...] = ()
    threshold: Annotated[Share | None, Field(description="Of a multi-label head: the least probability it gives.")] = (
        None
    )
    unsure_below: Annotated[
        Share | None, Field(description="A first class of a lower probability is to be shown as not sure.")
    ] = None


class TrialStatus(AnswerSchema):
    """A release that gets a share of the requests."""

    release: str
    percent: float = 0
    since: str = ""


class ReleaseStatus(AnswerSchema):
    """The versions of a release, whether they are served, and what became of its latest requests."""

    extractor: str = ""
    heads: dict[str, str] = {}
    feature_space: str = ""
    served: bool = False
    part: Literal["current", "canary", "shadow"] | None = None
    share: Annotated[float | None, Field(description="Percent of the requests; of a shadow, that it is given too.")] = (
        None
    )
    requests: int = 0
    error_share: Share = 0
    compared: int = 0
    agreement: Share | None = None
    drift: float | None = None


class ReleasesStatus(AnswerSchema):
    """The releases, and the share of the requests that each gets."""

    current: str | None = None
    pending: str | None = None
    previous: str | None = None
    canary: TrialStatus | None = None
    shadow: TrialStatus | None = None
    rolled_back: dict[str, str] = {}
    problem: str | None = None
    releases: dict[str, ReleaseStatus] = {}
    background: Annotated[dict[str, int], Field(json_schema_extra={"required": ["running"]})] = {}


class LaunchedStatus(AnswerSchema):
    """What commands of `splitway` must be told to mean this pipeline, in the folder where `splitway up` was called."""

    name: Annotated[str | None, Field(description="For --name.")] = None
    models: Annotated[str | None, Field(description="For --models, of commands on releases.")] = None


class PipelineStatus(AnswerSchema):
    """The gateway, its stages, their replicas, the heads and the releases as they are now."""

    ready: bool
    reason: str | None = None
    history: Annotated[HistoryScale | None, Field(description="Null unless asked for, as every history.")] = None
    gateway: Told[GatewayStatus] = None
    admission: DoorStatus = DoorStatus()
    heads: tuple[HeadStatus, ...] = ()
    releases: ReleasesStatus = ReleasesStatus()
    launched: LaunchedStatus = LaunchedStatus()
    stages: tuple[StageStatus, ...]
