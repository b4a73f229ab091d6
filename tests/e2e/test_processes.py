"""What a serving process costs, and how it starts and ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from splitway.errors import SetupError
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.wire.messages import InferRequest
from splitway.wire.tensor import Tensor
from splitway.wire.v2_json import HEADER_LENGTH, build_request
from testkit.support import LogBook, free_port, until

pytestmark = pytest.mark.alone

MIB = 1024
JPEG = {"content-type": "image/jpeg"}


def _status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def test_a_process_holds_at_most_250_mib_and_no_tensorflow(
    pipeline: LocalPipeline, gateway: httpx.Client, cat: bytes
) -> None:
    for _ in range(20):
        gateway.post("/v1/classify", content=cat, headers=JPEG)
    for process in pipeline.processes:
        assert _status(process.popen.pid, "VmHWM") < 250 * MIB, process.name
        assert "tensorflow" not in Path(f"/proc/{process.popen.pid}/maps").read_text(), process.name


def _serve(stage: str, port: int, models: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "splitway.cli.main", "serve", stage, "--port", str(port)],
        env={**os.environ, "SPLITWAY_MODELS": str(models), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def port() -> int:
    return free_port()


def _wait_ready(url: str, timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    pytest.fail(f"{url} was not ready within {timeout_s} s")


@pytest.mark.parametrize("stage", ["feature_extractor", "classifier"])
def test_a_stage_is_ready_soon_and_ends_with_0_on_sigterm(stage: str, port: int, models: Path) -> None:
    """Measured 1.2 s on an idle machine; the bound is the promise of 3 s with room for a noisy one."""
    process = _serve(stage, port, models)
    _wait_ready(f"http://127.0.0.1:{port}", 10)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert out == f"{stage} listens on http://127.0.0.1:{port}\n"
    assert "Traceback" not in err


@pytest.mark.parametrize("stage", ["feature_extractor", "classifier"])
def test_one_flipped_byte_keeps_a_stage_from_starting(stage: str, port: int, models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / stage, tmp_path / stage)) / "1"
    file = folder / "model.tflite"
    data = bytearray(file.read_bytes())
    data[-1000] ^= 0x40
    file.write_bytes(data)
    out, err = _serve(stage, port, tmp_path).communicate(timeout=20)
    assert out == ""
    assert err.count("\n") == 1
    assert str(file) in err
    assert "corrupted" in err


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SPLITWAY_ENGINE": "onnx"}, "SPLITWAY_ENGINE=onnx"),
        ({"SPLITWAY_THREADS": "-1"}, "SPLITWAY_THREADS=-1"),
        ({"SPLITWAY_MODEL_VERSION": "7"}, "no bundle at"),
    ],
    ids=["engine", "threads", "version"],
)
def test_a_contradiction_stops_the_start_with_one_line(
    environment: dict[str, str], says: str, port: int, models: Path
) -> None:
    process = _serve("classifier", port, models, **environment)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert err.count("\n") == 1
    assert says in err


def test_an_engine_that_cannot_start_ends_the_process_with_one_line(port: int, models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "classifier", tmp_path / "classifier")) / "1"
    from splitway.bundle import engine_file_entry, read_manifest, write_manifest

    (folder / "model.tflite").write_bytes(b"TFL3" * 1000)
    entry = engine_file_entry(folder, folder / "model.tflite", "litert")
    write_manifest(folder, read_manifest(folder).model_copy(update={"engine_files": (entry,)}))
    process = _serve("classifier", port, tmp_path)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "model.tflite cannot be loaded by LiteRT" in err.splitlines()[-1]


def test_the_tensorflow_engine_serves_the_same_answer(port: int, models: Path, classifier: httpx.Client) -> None:
    import numpy as np

    from splitway.bundle import read_manifest
    from testkit.support import infer

    space = read_manifest(models / "classifier" / "1").feature_space
    values = np.random.default_rng(5).uniform(0, 2, (3, 1280)).astype(np.float32)
    features = Tensor.of_array("features", values, {"feature_space": space})
    process = _serve("classifier", port, models, SPLITWAY_ENGINE="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    try:
        _wait_ready(f"http://127.0.0.1:{port}", 60)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            got = infer(client, "classifier", features).output("probabilities").array
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    expected = infer(classifier, "classifier", features).output("probabilities").array
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_draining_finishes_what_was_accepted(models: Path, cat: bytes) -> None:
    """Stop the gateway and the stages with requests in flight: each of them is answered."""
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.wait_ready()
        url = f"{pipeline.gateway.url}/v1/classify"
        with ThreadPoolExecutor(16) as pool, httpx.Client(trust_env=False, timeout=30) as client:
            started = [pool.submit(client.post, url, content=cat, headers=JPEG) for _ in range(32)]
            while sum(request.done() for request in started) < 4:
                time.sleep(0.005)
            accepted = [request for request in started if request.running()]
            pipeline.gateway.popen.send_signal(signal.SIGTERM)
            statuses = [request.result().status_code for request in accepted]
    assert set(statuses) == {200}
    assert [process.exit_code for process in pipeline.processes] == [0, 0, 0]


def test_the_gateway_says_which_stage_is_missing_and_recovers(models: Path, cat: bytes) -> None:
    plan = LaunchPlan(models, port=0, run_file=None, environment={"SPLITWAY_PROBE_INTERVAL_MS": "100"})
    with LocalPipeline(plan, LogBook().line) as pipeline, httpx.Client(trust_env=False, timeout=10) as client:
        pipeline.wait_ready()
        (classifier,) = pipeline.of("classifier")
        classifier.popen.kill()
        classifier.popen.wait()
        reply = client.post(f"{pipeline.gateway.url}/v1/classify", content=cat, headers=JPEG)
        problem = reply.json()
        ready = client.get(f"{pipeline.gateway.url}/readyz")
        assert (reply.status_code, problem["code"], problem["stage"]) == (503, "unavailable", "classifier")
        assert problem["retryable"] is True
        assert "retry-after" in reply.headers
        assert ready.status_code == 503
        assert "cannot be reached" in ready.json()["stages"]["classifier"]
        again = _serve("classifier", int(classifier.url.rsplit(":", 1)[1]), models)
        try:
            pipeline.processes.remove(classifier)
            pipeline.wait_ready(timeout_s=20)
            assert client.post(f"{pipeline.gateway.url}/v1/classify", content=cat, headers=JPEG).status_code == 200
        finally:
            again.terminate()
            again.communicate(timeout=10)


def test_a_stage_restarted_with_a_new_version_needs_nothing_of_the_gateway(
    models: Path, cat: bytes, tmp_path: Path
) -> None:
    from splitway.bundle import read_manifest, write_manifest

    folder = Path(shutil.copytree(models / "classifier" / "1", tmp_path / "classifier" / "2"))
    write_manifest(folder, read_manifest(folder).model_copy(update={"version": "2"}))
    plan = LaunchPlan(models, port=0, run_file=None, environment={"SPLITWAY_PROBE_INTERVAL_MS": "100"})
    with LocalPipeline(plan, LogBook().line) as pipeline, httpx.Client(trust_env=False, timeout=10) as client:
        pipeline.wait_ready()
        url = f"{pipeline.gateway.url}/v1/classify"
        before = client.post(url, content=cat, headers=JPEG).json()
        (classifier,) = pipeline.of("classifier")
        classifier.popen.terminate()
        classifier.popen.wait(10)
        pipeline.processes.remove(classifier)
        again = _serve("classifier", int(classifier.url.rsplit(":", 1)[1]), tmp_path)
        try:
            pipeline.wait_ready(timeout_s=20)
            after = client.post(url, content=cat, headers=JPEG).json()
            (_, stage) = client.get(f"{pipeline.gateway.url}/v1/pipeline").json()["stages"]
        finally:
            again.terminate()
            again.communicate(timeout=10)
    assert [reply["model"]["classifier"] for reply in (before, after)] == ["1", "2"]
    assert stage["replicas"][0]["version"] == "2"
    assert before["predictions"] == after["predictions"]


def test_an_engine_gives_way_to_the_loops(pipeline: LocalPipeline, gateway: httpx.Client, cat: bytes) -> None:
    assert gateway.post("/v1/classify", content=cat, headers=JPEG).status_code == 200
    for process in pipeline.processes:
        priorities = {}
        for thread in Path(f"/proc/{process.popen.pid}/task").iterdir():
            name, _, rest = (thread / "stat").read_text().partition("(")[2].rpartition(")")
            priorities[thread.name] = (name, int(rest.split()[16]))
        lowered = [nice for _, nice in priorities.values() if nice > 0]
        assert priorities[str(process.popen.pid)][1] == 0, process.name
        assert bool(lowered) == (process.stage != "gateway"), process.name


def test_who_hangs_up_is_not_worked_for(models: Path, cat: bytes) -> None:
    """Fifteen callers ask for 64 pictures each and hang up; a stage that went on would be busy for seconds more."""
    body, length = build_request(InferRequest((Tensor.of_bytes("image", [cat] * 64),)))
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.wait_ready()
        (extractor,) = pipeline.of("feature_extractor")
        url = f"{extractor.url}/v2/models/feature_extractor/infer"

        def ask_and_hang_up(_: int) -> None:
            limits = httpx.Timeout(30, read=0.3)  # a busy machine may take longer to take the body
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, content=body, headers={HEADER_LENGTH: length}, timeout=limits, trust_env=False)

        with ThreadPoolExecutor(15) as pool:
            list(pool.map(ask_and_hang_up, range(15)))
        metrics = ""
        deadline_s = time.monotonic() + 10
        while 'splitway_stage_in_flight{stage="feature_extractor"} 0.0' not in metrics:
            assert time.monotonic() < deadline_s, metrics
            metrics = httpx.get(f"{extractor.url}/metrics", trust_env=False).text
    assert 'outcome="cancelled"' in metrics
    computed = re.search(r"splitway_stage_compute_seconds_count{[^}]*} (\S+)", metrics)
    assert computed is not None
    assert float(computed.group(1)) < 10


def test_the_last_line_is_that_of_the_process_that_failed(models: Path) -> None:
    """Whatever the others say while they are stopped."""
    log, wrong = LogBook(), {"SPLITWAY_CACHE": "redis://127.0.0.1:99999/0"}
    with LocalPipeline(LaunchPlan(models, port=0, environment=wrong, run_file=None), log.line) as pipeline:
        until(lambda: log.text.count("is served") == 2, 30)  # the stages' last words, long after the gateway's
        with pytest.raises(SetupError, match="gateway ended with 1 before it was told to; its last line says why"):
            pipeline.wait_ready()
    assert "SPLITWAY_CACHE=redis://127.0.0.1:99999/0: the port must be" in log.text.strip().splitlines()[-1]


def test_waiting_for_a_pipeline_that_died_says_who_died(models: Path) -> None:
    with LocalPipeline(LaunchPlan(models, port=0, run_file=None), LogBook().line) as pipeline:
        pipeline.of("classifier")[0].popen.kill()
        pipeline.of("classifier")[0].popen.wait()
        with pytest.raises(SetupError, match=r"classifier\.1 ended with -9"):
            pipeline.wait_ready()
