from __future__ import annotations

import pytest

from gateway.app import create_app
from gateway.pipeline import Pipeline
from gateway.resilience.replicas import ReplicaState
from gateway.settings import GatewaySettings


@pytest.fixture
def pipeline() -> Pipeline:
    app = create_app(GatewaySettings(feature_extractor="http://feature_extractor", classifier="http://classifier"))
    made: Pipeline = app.state.pipeline
    for stage in made.stages:
        for replica in stage.replicas.replicas:
            replica.feature_space = "fs:0123456789abcdef"
            replica.is_ready()
    return made


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
