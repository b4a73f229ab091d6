"""A body takes features of one space and gives features of the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.errors import BundleError
from splitway.runtime.settings import StageSettings
from splitway.services.body import app as body
from tests.splitway.runtime.stage_app import FEATURES, serving
from tests.tiny_bundles import NEXT_SPACE, SPACE, oracle, write_bundle


async def test_features_of_its_space_become_features_of_the_next(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "body_1", 1, "body")
    async with serving(lambda settings: body.create_app("body_1", settings), tmp_path) as stage:
        answer = await stage.infer("body_1")
        features = answer.output("features")
        assert features.array.tobytes() == oracle(folder, FEATURES)["features"].tobytes()
        assert features.parameters["feature_space"] == answer.parameters["feature_space"] == NEXT_SPACE
        (entry,) = (await stage.stage())["models"]
        assert (entry["role"], entry["feature_space"], entry["gives_space"]) == ("body", SPACE, NEXT_SPACE)
        for space in (None, NEXT_SPACE):
            refused = await stage.post("body_1", space=space)
            assert refused.status_code == 409
            assert f"this body was trained on {SPACE}" in refused.json()["error"]


def test_a_bundle_of_another_role_is_refused_at_the_start(tmp_path: Path) -> None:
    write_bundle(tmp_path, "body_1", 1, "head")
    with pytest.raises(BundleError, match="holds a bundle of role head; role body is required"):
        body.create_app("body_1", StageSettings(models=tmp_path))
