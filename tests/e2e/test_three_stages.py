"""An encoder and a decoder in three stages, served as three processes behind the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from splitway.bundle_graph import find_chain
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.wire.tensor import Tensor
from testkit.support import LogBook, infer, picture
from tests.splitway.cli.test_split import saved, split_here, unet


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    split_here(saved(unet(), folder / "unet.keras"), folder / "models", "middle,up_0")
    return folder / "models"


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[httpx.Client]:
    log = LogBook()
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), log.line) as running:
        running.wait_ready()
        with httpx.Client(base_url=running.gateway.url, timeout=30, trust_env=False) as client:
            yield client


def test_a_mask_for_each_picture_bit_for_bit(client: httpx.Client, models: Path) -> None:
    extractor, bodies, heads = find_chain(models).load(["classifier"])
    bundles = [extractor, *bodies, *heads]
    assert [bundle.manifest.role for bundle in bundles] == ["extractor", "body", "head"]
    preprocessing = bundles[0].manifest.preprocessing
    assert preprocessing is not None
    pictures = [picture(size=(40, 30)), picture(size=(16, 16), mode="L")]
    decode = PictureDecoder(preprocessing, PictureLimits())
    pixels = np.stack([decode(data) for data in pictures]).astype(np.float32)
    expected = in_turn([InProcessStage(bundle) for bundle in bundles], {"pixels": pixels})["mask"]
    served = infer(client, "pipeline", Tensor.of_bytes("image", pictures))
    assert served.output("mask").array.tobytes() == expected.tobytes()
    assert expected.shape == (2, 16, 16, 2)


def test_the_pipeline_says_what_it_gives_and_which_stages_it_has(client: httpx.Client) -> None:
    metadata = client.get("/v2/models/pipeline").json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [{"name": "mask", "datatype": "FP32", "shape": [-1, 16, 16, 2]}]
    stages = client.get("/v1/pipeline").json()["stages"]
    assert [stage["name"] for stage in stages] == ["feature_extractor", "body_1", "classifier"]


def test_what_it_does_not_give_is_a_sentence(client: httpx.Client) -> None:
    reply = client.post("/v1/classify", content=picture(), headers={"content-type": "image/png"})
    assert reply.status_code == 400
    assert "/v2/models/pipeline" in reply.json()["detail"]
