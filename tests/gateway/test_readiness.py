from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from splitway.gateway.app import create_app
from splitway.gateway.edge.status import heads_status, replica_status
from splitway.gateway.fleet.inventory import Offer, ServedModel, read_inventory
from splitway.gateway.fleet.replica import ReplicaState
from splitway.gateway.flow.pipeline import GatewayPipeline
from splitway.gateway.settings import GatewaySettings
from tests.gateway.conftest import Entry, default_entries, extractor_entry


@pytest.fixture
def pipeline() -> GatewayPipeline:
    app = create_app(GatewaySettings(feature_extractor="http://feature_extractor", classifier="http://classifier"))
    made: GatewayPipeline = app.state.pipeline
    for stage in made.stages:
        for replica in stage.replicas.replicas:
            replica.serves(inventory(*default_entries(stage.name)))
            replica.is_ready()
    return made


def inventory(*entries: Entry) -> Mapping[Offer, ServedModel]:
    return read_inventory(orjson.dumps({"ready": True, "models": entries})).models


def test_nothing_is_missing_when_all_are_ready(pipeline: GatewayPipeline) -> None:
    assert pipeline.why_not_ready() == {}


def test_the_stage_that_is_missing_is_named(pipeline: GatewayPipeline) -> None:
    pipeline.stages[1].replicas.replicas[0].is_not(ReplicaState.UNREACHABLE, "http://classifier cannot be reached")
    said = "no replica of classifier is ready: 1 cannot be reached; 1 of them is tried anyway"
    assert pipeline.why_not_ready() == {"classifier": said}
    pipeline.stages[1].replicas.replicas[0].is_not(ReplicaState.NOT_READY, "http://classifier drains")
    assert pipeline.why_not_ready() == {"classifier": "no replica of classifier is ready: 1 not ready"}
    assert heads_status(pipeline)[0].ready is False


def test_stages_of_different_feature_spaces_are_not_ready(pipeline: GatewayPipeline) -> None:
    pipeline.stages[0].replicas.replicas[0].serves(inventory(extractor_entry(space="fs:fedcba9876543210")))
    reasons = pipeline.why_not_ready()
    assert "different feature spaces" in reasons["classifier"]
    assert "fs:fedcba9876543210" in reasons["classifier"]


def test_a_replicas_version_is_that_of_the_stages_own_model(pipeline: GatewayPipeline) -> None:
    (replica,) = pipeline.stages[-1].replicas.replicas
    pets = {**default_entries("classifier")[0], "name": "pets", "version": "2"}
    replica.serves(inventory(*default_entries("classifier"), pets))
    assert replica_status(replica, "classifier").version == "1"
    replica.serves(inventory(pets))
    assert replica_status(replica, "classifier").version == "2"
    replica.serves(inventory(pets, {**pets, "name": "animals", "version": "9"}))
    shown = replica_status(replica, "classifier")
    assert (shown.version, [(model.name, model.version) for model in shown.models]) == (
        None,
        [("pets", "2"), ("animals", "9")],
    )


def test_a_head_that_cannot_be_reached_says_why(pipeline: GatewayPipeline) -> None:
    (replica,) = pipeline.stages[-1].replicas.replicas
    foreign = {**default_entries("classifier")[0], "name": "pets", "feature_space": "fs:fedcba9876543210"}
    marked = {**default_entries("classifier")[0], "unsure_below": 0.5}
    replica.serves(inventory(marked, foreign))
    head, pets = heads_status(pipeline)
    assert (head.ready, head.reason, head.unsure_below) == (True, None, 0.5)
    assert (pets.ready, pets.takes) == (False, "fs:fedcba9876543210")
    assert "was trained on fs:fedcba9876543210" in str(pets.reason)
