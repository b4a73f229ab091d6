"""How many rows a model takes at once: as many as fit into a request and its reply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from splitway.bundle import load_bundle
from splitway.errors import BundleError
from splitway.runtime.settings import StageSettings
from splitway.services.classifier import app as classifier
from tests.splitway.runtime.stage_app import serving
from tests.tiny_bundles import WIDTH, write_bundle

ROW = 4 * WIDTH
HEAD = 16 * 1024
"""What is kept free of a message for its JSON."""


def rows(count: int) -> dict[str, NDArray[Any]]:
    return {"features": np.ones((count, WIDTH), np.float32)}


async def test_more_rows_than_fit_into_a_request_are_refused_with_how_many_do(tmp_path: Path) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path, max_body_bytes=HEAD + 6 * ROW) as stage:
        (entry,) = (await stage.stage())["models"]
        assert entry["max_rows"] == 6
        assert len((await stage.infer("classifier", rows(6))).outputs[0].array) == 6
        for count, says in (
            (7, "has 7 rows; at most 6 are allowed at once"),
            (5000, "in which 6 rows of 16 bytes fit"),
        ):
            refused = await stage.post("classifier", rows(count))
            assert refused.status_code == 413
            assert says in refused.json()["error"]


async def test_rows_whose_answers_would_not_fit_into_a_reply_are_not_taken(tmp_path: Path) -> None:
    write_bundle(tmp_path, "classifier", 1)
    async with serving(classifier.create_app, tmp_path, max_reply_bytes=HEAD + 3 * ROW) as stage:
        assert (await stage.post("classifier", rows(3))).status_code == 200
        assert (await stage.post("classifier", rows(4))).status_code == 413


def test_a_model_of_which_no_row_fits_is_not_served_and_the_setting_is_named(tmp_path: Path) -> None:
    write_bundle(tmp_path, "classifier", 1)
    with pytest.raises(BundleError, match=rf"a row takes {ROW} bytes .* set SPLITWAY_MAX_BODY_BYTES"):
        classifier.create_app(StageSettings(models=tmp_path, max_body_bytes=ROW))


@pytest.mark.parametrize(("given", "found"), [({}, 64), ({"max_rows": 5}, 5), ({"max_body_bytes": HEAD}, 1)])
def test_the_setting_holds_where_more_rows_fit(tmp_path: Path, given: dict[str, Any], found: int) -> None:
    manifest = load_bundle(write_bundle(tmp_path, "classifier", 1)).manifest
    assert StageSettings(models=tmp_path, **given).rows_for(manifest) == found
