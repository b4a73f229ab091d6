"""A picture in, its label out: through real processes, as DESIGN says."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splitway.bundle import Bundle
from splitway.kinds.image.decode import PictureDecoder
from splitway.kinds.image.limits import PictureLimits
from splitway.runtime.inprocess import InProcessStage, in_turn
from splitway.wire.tensor import Tensor
from testkit.support import infer, picture

JPEG = {"content-type": "image/jpeg"}


@pytest.mark.parametrize(("name", "label"), [("cat", "Egyptian cat"), ("coffee", "espresso"), ("rocket", "missile")])
def test_the_samples_are_recognised(gateway: httpx.Client, samples: Path, name: str, label: str) -> None:
    reply = gateway.post("/v1/classify", content=(samples / f"{name}.jpg").read_bytes(), headers=JPEG)
    assert reply.status_code == 200
    assert reply.json()["label"] == label


def test_the_reply_has_what_the_design_says(gateway: httpx.Client, cat: bytes, head_bundle: Bundle) -> None:
    reply = gateway.post("/v1/classify", content=cat, headers=JPEG | {"x-request-id": "req-1"})
    content: dict[str, Any] = reply.json()
    assert set(content) == {"id", "label", "confidence", "predictions", "model", "timings_ms"}
    assert content["id"] == reply.headers["x-request-id"] == "req-1"
    assert content["predictions"][0] == {"label": content["label"], "index": 285, "confidence": content["confidence"]}
    assert [p["confidence"] for p in content["predictions"]] == sorted(
        (p["confidence"] for p in content["predictions"]), reverse=True
    )
    space = head_bundle.manifest.feature_space
    assert content["model"] == {"feature_extractor": "1", "classifier": "1", "feature_space": space}
    for stage in ("feature_extractor", "classifier"):
        assert set(content["timings_ms"][stage]) == {"queue", "decode", "compute", "network", "total"}
        assert f"{stage}.compute;dur={content['timings_ms'][stage]['compute']}" in reply.headers["server-timing"]
    assert content["timings_ms"]["total"] >= sum(content["timings_ms"][s]["total"] for s in ("feature_extractor",))


def test_the_three_forms_give_the_same_answer(gateway: httpx.Client, cat: bytes) -> None:
    replies = [
        gateway.post("/v1/classify", content=cat, headers=JPEG),
        gateway.post("/v1/classify", files={"image": ("cat.jpg", cat, "image/jpeg")}),
        gateway.post("/v1/classify", json={"image": base64.b64encode(cat).decode()}),
    ]
    assert [reply.status_code for reply in replies] == [200, 200, 200]
    predictions = [reply.json()["predictions"] for reply in replies]
    assert predictions[0] == predictions[1] == predictions[2]


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_other_formats(gateway: httpx.Client, format_: str) -> None:
    headers = {"content-type": f"image/{format_.lower()}"}
    assert gateway.post("/v1/classify", content=picture(format_=format_), headers=headers).status_code == 200


@pytest.mark.parametrize("top_k", [1, 5, 100])
def test_top_k(gateway: httpx.Client, cat: bytes, top_k: int) -> None:
    reply = gateway.post(f"/v1/classify?top_k={top_k}", content=cat, headers=JPEG)
    assert len(reply.json()["predictions"]) == top_k


def test_the_served_probabilities_are_the_in_process_ones_bit_for_bit(
    gateway: httpx.Client, samples: Path, extractor_bundle: Bundle, head_bundle: Bundle
) -> None:
    stages = InProcessStage(extractor_bundle), InProcessStage(head_bundle)
    preprocessing = extractor_bundle.manifest.preprocessing
    assert preprocessing is not None
    pictures = [path.read_bytes() for path in sorted(samples.glob("*.jpg"))]
    decode = PictureDecoder(preprocessing, PictureLimits())
    pixels = np.stack([decode(data) for data in pictures])
    served = infer(gateway, "pipeline", Tensor.of_bytes("image", pictures)).output("probabilities")
    assert served.array.tobytes() == in_turn(stages, {"pixels": pixels})["probabilities"].tobytes()


def test_the_proof_is_in_the_manifest(extractor_bundle: Bundle, head_bundle: Bundle) -> None:
    for bundle in (extractor_bundle, head_bundle):
        proof = bundle.manifest.proof
        assert proof is not None
        assert proof.against_uncut.max_abs <= 1e-4
        assert proof.against_uncut.top1_equal
        assert proof.against_same_engine is not None
        assert proof.against_same_engine.max_ulp == 0
        assert proof.batch_sizes == (1, 3, 8)


def test_the_pipeline_describes_itself(gateway: httpx.Client, head_bundle: Bundle) -> None:
    content = gateway.get("/v1/pipeline").json()
    assert content["ready"] is True
    assert [stage["name"] for stage in content["stages"]] == ["feature_extractor", "classifier"]
    for stage in content["stages"]:
        (replica,) = stage["replicas"]
        assert (replica["state"], replica["version"]) == ("ready", "1")
        assert replica["feature_space"] == head_bundle.manifest.feature_space


def test_health_and_metrics(gateway: httpx.Client) -> None:
    assert gateway.get("/livez").status_code == 200
    ready = gateway.get("/readyz").json()
    assert ready == {"ready": True, "reason": None, "stages": {"feature_extractor": "ready", "classifier": "ready"}}
    assert "splitway_gateway_requests_total" in gateway.get("/metrics").text
    assert gateway.get("/docs").status_code == 200
    assert "/v1/classify" in gateway.get("/openapi.json").json()["paths"]
