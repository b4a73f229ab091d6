"""The same bundles without a server give the same predictions, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splitway.cli.ask.classify import classify_files, parse_heads
from splitway.cli.ask.classify_in_process import classify_in_process
from splitway.errors import SetupError
from splitway.local.launch import LocalPipeline
from testkit.support import one_line, splitway


def test_predictions_are_the_gateways_byte_for_byte(pipeline: LocalPipeline, models: Path, samples: Path) -> None:
    files = sorted(samples.glob("*.jpg"))
    assert len(files) >= 3
    served = classify_files(files, pipeline.gateway.url, top_k=100)
    local = classify_in_process(files, models, [], top_k=100)
    for one, other in zip(served, local, strict=True):
        assert one.reply is not None
        assert other.reply is not None
        for key in ("label", "confidence", "predictions", "model"):
            assert json.dumps(one.reply[key]) == json.dumps(other.reply[key]), key


@pytest.mark.parametrize("heads", ["classifier", "*"])
def test_heads_that_are_named_get_an_entry_each(models: Path, samples: Path, heads: str) -> None:
    result = splitway(
        "classify", samples / "cat.jpg", "--in-process", "--models", models, "--heads", heads, "--json", "--top-k", "1"
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)["heads"]["classifier"]
    assert (answer["status"], len(answer["predictions"])) == (200, 1)


def test_the_table_needs_no_server(models: Path, samples: Path) -> None:
    result = splitway("classify", samples / "cat.jpg", "--in-process", "--models", models)
    assert "cat" in result.stdout


def test_a_file_that_is_no_picture_fails_alone(models: Path, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jpg").write_text("no picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    files = [tmp_path / "no.jpg", tmp_path / "empty.jpg", tmp_path / "none.jpg", samples / "cat.jpg"]
    results = classify_in_process(files, models, [], top_k=1)
    assert [result.failed for result in results] == [True, True, True, False]


def test_an_unknown_head_is_one_line(models: Path, samples: Path) -> None:
    arguments = (samples / "cat.jpg", "--in-process", "--models", models, "--heads", "clasifier")
    assert "did you mean 'classifier'" in one_line(splitway("classify", *arguments))


@pytest.mark.parametrize("option", ["", "a,,b", "a,a", "*,a"])
def test_heads_takes_names(option: str) -> None:
    with pytest.raises(SetupError, match="--heads needs different names"):
        parse_heads(option)
