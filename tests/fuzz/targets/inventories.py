"""What a replica says that it serves, as the gateway's probes read it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from splitway.gateway.fleet.inventory import Inventory, read_inventory
from splitway.schemas.pipeline import OfferedModel
from tests.fuzz.target import Target, check_brief, everywhere
from tests.gateway.conftest import SPACE, body_entry, extractor_entry, head_entry


def run(data: bytes) -> None:
    try:
        inventory = read_inventory(data)
    except ValueError as error:
        check_brief(error)
        return
    _shown(inventory)
    for model in inventory.models.values():
        assert (model.takes is None) == (model.role == "extractor")
        assert (model.gives is None) == (model.role == "head")
        assert model.preference[1] >= 1


def _shown(inventory: Inventory) -> None:
    """All that is said further on can be said."""
    specs = [spec.metadata() for model in inventory.models.values() for spec in (*model.inputs, *model.outputs)]
    orjson.dumps(
        [
            specs,
            inventory.not_ready_because,
            [OfferedModel.of(model).model_dump() for model in inventory.models.values()],
        ]
    )
    assert all(
        model.takes_pictures in (True, False) and model.gives_classes in (True, False)
        for model in inventory.models.values()
    )


def seeds() -> Iterator[bytes]:
    for entries in ([extractor_entry()], [head_entry(), head_entry(version="2", state="retiring")], []):
        yield orjson.dumps({"stage": "s", "ready": True, "reason": None, "models": entries})
    broken = {"name": "x", "version": "2", "state": "failed", "role": None, "is_default": False}
    said = {"ready": False, "reason": "a model is loading", "models": [body_entry("body_1", SPACE, "fs:other"), broken]}
    yield orjson.dumps(said)


TARGET = Target(
    run,
    seeds,
    (
        "models",
        "ready",
        "retiring",
        "role",
        "extractor",
        "head",
        "body",
        "feature_space",
        "gives_space",
        "is_default",
        "inputs",
        "outputs",
        "shape",
        "datatype",
        "18446744073709551616",
        "1e400",
        "NaN",
    ),
    max_bytes=8192,
    json_at=everywhere,
)
