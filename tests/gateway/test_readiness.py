from __future__ import annotations

import pytest

from gateway.pipeline import Pipeline
from gateway.resilience.replicas import Replica, ReplicaSet, ReplicaState
from gateway.stage_client import StageClient
from gateway.transport import Transport


@pytest.fixture
def pipeline() -> Pipeline:
    stages = []
    for name in ("feature_extractor", "classifier"):
        replica = Replica(f"http://{name}", feature_space="fs:0123456789abcdef")
        replica.is_ready()
        stages.append(StageClient(name, ReplicaSet([replica]), Transport(1)))
    return Pipeline(stages)


def test_nothing_is_missing_when_all_are_ready(pipeline: Pipeline) -> None:
    assert pipeline.why_not_ready() == {}


def test_the_stage_that_is_missing_is_named(pipeline: Pipeline) -> None:
    pipeline.stages[1].replicas.replicas[0].is_not(ReplicaState.UNREACHABLE, "cannot be reached")
    assert pipeline.why_not_ready() == {"classifier": "http://classifier cannot be reached"}


def test_stages_of_different_feature_spaces_are_not_ready(pipeline: Pipeline) -> None:
    pipeline.stages[0].replicas.replicas[0].feature_space = "fs:fedcba9876543210"
    reasons = pipeline.why_not_ready()
    assert "different feature spaces" in reasons["classifier"]
    assert "fs:fedcba9876543210" in reasons["classifier"]
