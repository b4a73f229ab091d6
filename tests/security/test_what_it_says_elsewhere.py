"""What a process says of settings that are wrong, and of requests to whoever collects its traces."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from splitway.cli.operate.keys import create
from splitway.local.launch import LaunchPlan, LocalPipeline
from testkit.support import LogBook, free_port, picture, splitway
from tests.otlp_collector import collecting
from tests.security.leaks import CANARY, CLASSIFY, SENT

JPEG = {"content-type": "image/jpeg"}


WRONG = {
    "a short token": ("gateway", {"SPLITWAY_SERVICE_TOKEN": "canary-short"}),
    "a short token of a stage": ("classifier", {"SPLITWAY_SERVICE_TOKEN": "canary-short"}),
    "an address with a password": ("gateway", {"SPLITWAY_CACHE": "http://:canary-redis@127.0.0.1/0"}),
    "another setting": ("classifier", {"SPLITWAY_ADMIN_KEY": "canary-admin", "SPLITWAY_MAX_BODY_BYTES": "many"}),
}


@pytest.mark.parametrize(("stage", "wrong"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_are_wrong_are_named_without_their_secrets(
    models: Path, stage: str, wrong: dict[str, str]
) -> None:
    environment = {"SPLITWAY_MODELS": str(models), **wrong}
    ended = splitway("serve", stage, "--port", str(free_port()), cwd=None, **environment)
    assert ended.returncode == 1
    assert "SPLITWAY_" in ended.stderr
    assert not CANARY.findall(ended.stdout + ended.stderr)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("host", "kept"), [("127.0.0.1", True), ("0.0.0.0", False)], ids=["loopback", "exposed"])  # noqa: S104
def test_a_stranger_does_not_decide_which_traces_are_kept(
    models: Path, tmp_path: Path, host: str, *, kept: bool
) -> None:
    key, _ = create(tmp_path / "keys.json", "caller", ["infer"], "1d")
    with collecting() as collector:
        environment = {
            "SPLITWAY_KEYS_FILE": str(tmp_path / "keys.json"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        plan = LaunchPlan(models, host, 0, environment=environment, run_file=None)
        with (
            LocalPipeline(plan, LogBook().line) as running,
            httpx.Client(base_url=running.gateway.url, timeout=30, trust_env=False) as client,
        ):
            running.wait_ready()
            marked = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "authorization": f"Bearer {key}"}
            for _ in range(5):
                reply = client.post(CLASSIFY, content=picture(), headers={**JPEG, **SENT, **marked})
                assert reply.status_code == 200
        assert bool(collector.spans) is kept
