"""Which stages are started follows from the bundles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from splitway.errors import BundleError, SetupError
from splitway.local.launch import LaunchPlan, LocalPipeline, parse_replicas
from splitway.local.processes import Process
from splitway.local.run_file import read_run
from splitway.security.identities.caller_tls import CallerTls
from tests.bundles import make_bundle


def _start(models: Path, replicas: dict[str, int] | None = None) -> None:
    with LocalPipeline(LaunchPlan(models, port=0, replicas=replicas, run_file=None), lambda *_: None):
        pytest.fail("it started")


def _session_nice(pid: int) -> int:
    """How nice a process's session is to others, as /proc says it (`/autogroup-7 nice 0`): more is less processor.

    A process without a group of its own, or a kernel without such groups, says nothing and weighs as 0 does.
    """
    try:
        said = Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii").split()
    except OSError:
        said = []
    return int(said[-1]) if said else 0


def test_replicas_of_a_stage_that_the_bundles_do_not_make_are_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_1", 1, "body", "a", "b")
    make_bundle(tmp_path, "classifier", 1, "head", "b")
    with pytest.raises(SetupError, match=r"no stage body_2 .*makes feature_extractor, body_1, classifier"):
        _start(tmp_path, parse_replicas(["body_1=2", "body_2=2"]))


def test_a_chain_with_a_gap_is_not_started(tmp_path: Path) -> None:
    """Without bodies it is: the gateway says that the two do not belong together (tests/e2e/test_refusals.py)."""
    make_bundle(tmp_path, "feature_extractor", 1, "extractor", "a")
    make_bundle(tmp_path, "body_2", 1, "body", "b", "c")
    make_bundle(tmp_path, "classifier", 1, "head", "c")
    with pytest.raises(BundleError, match="the bundle between them is missing"):
        _start(tmp_path)


def test_while_certificates_are_replaced_nothing_is_ready_and_nothing_ends(tmp_path: Path) -> None:
    tls = CallerTls(tmp_path / "away.pem", tmp_path / "away.key")
    pipeline = LocalPipeline(LaunchPlan(tmp_path, certs=tmp_path / "certs", tls=tls), lambda *_: None)
    for stage in ("gateway", "classifier"):
        process = Process(stage, stage, "https://127.0.0.1:1", *cast("tuple[Any, Any, Any]", (None, None, None)))
        assert not pipeline.is_ready(process)


def test_with_certificates_the_stages_are_named_with_https(models: Path, tmp_path: Path) -> None:
    run_file, certs = tmp_path / "run.json", tmp_path / "certs"
    plan = LaunchPlan(models, port=0, run_file=run_file, certs=certs)
    with LocalPipeline(plan, lambda *_: None) as running:
        running.wait_ready()
        run = read_run(run_file)
        places = run.places if run else ()
        assert running.renew_certificates() == []
        nice = {each.name: _session_nice(each.popen.pid) for each in running.processes}
        sessions = {os.getsid(each.popen.pid) for each in running.processes}
    assert {place.stage: place.url.partition(":")[0] for place in places} == {
        "gateway": "http",
        "feature_extractor": "https",
        "classifier": "https",
    }
    assert {path.parent.name for path in certs.glob("*/identity.pem")} == {place.stage for place in places}
    assert set(nice.values()) == {_session_nice(os.getpid())}, "beside other work a lighter session starves"
    assert len(sessions) == len(nice)
