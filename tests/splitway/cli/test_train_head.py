"""Where train-head finds the stages that lead to the features."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitway.cli.extract import Hop
from splitway.cli.train_head import HeadJob, find_hops
from splitway.errors import SetupError

URL = "http://127.0.0.1:8081"


def _job(extractor: str | None = None, *bodies: str) -> HeadJob:
    return HeadJob(Path("images"), "digits", Path("models"), extractor=extractor, bodies=bodies)


def test_a_pipeline_that_runs_here_is_followed_up_to_its_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".splitway").mkdir()
    stages = ("gateway", "feature_extractor", "body_1", "body_2", "classifier")
    run = {stage: [{"url": f"http://{stage}", "pid": 1}] for stage in stages}
    Path(".splitway/run.json").write_text(json.dumps(run))
    assert [hop.model for hop in find_hops(_job())] == ["feature_extractor", "body_1", "body_2"]


def test_named_addresses_come_in_the_order_in_which_they_are_named() -> None:
    hops = find_hops(_job(URL, "body_2=http://b", "body_1=http://a"))
    assert hops == [Hop("feature_extractor", URL), Hop("body_2", "http://b"), Hop("body_1", "http://a")]


@pytest.mark.parametrize(
    ("job", "says"),
    [
        (_job("127.0.0.1:8081"), "--extractor takes an address"),
        (_job(URL, "body_1"), "--body takes NAME=ADDRESS"),
        (_job(None, "body_1=http://a"), "goes with --extractor"),
    ],
    ids=["no address", "no body", "no extractor"],
)
def test_what_is_no_address_is_refused(job: HeadJob, says: str) -> None:
    with pytest.raises(SetupError, match=says):
        find_hops(job)
