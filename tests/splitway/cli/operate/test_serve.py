"""`splitway serve` with stages of every name."""

from __future__ import annotations

from pathlib import Path

import pytest

from splitway.errors import SetupError
from splitway.http.server.listening import bind
from testkit.support import one_line, splitway
from tests.splitway.runtime.stage_process import serve_process
from tests.tiny_bundles import write_bundle


def test_a_body_of_any_number_is_served(tmp_path: Path) -> None:
    write_bundle(tmp_path, "body_12", 3, "body")
    with serve_process("body_12", tmp_path) as client:
        stage = client.get("/v1/stage").json()
        assert (stage["stage"], stage["models"][0]["version"]) == ("body_12", "3")


def test_what_is_no_stage_is_one_line() -> None:
    for name in ("body_0", "body_x", "elbow"):
        line = one_line(splitway("serve", name))
        assert f"there is no app '{name}'; choose from gateway, feature_extractor" in line
        assert "body_<number>" in line


@pytest.mark.parametrize("host", ["nosuch.host.invalid", "192.0.2.1", "a..b"])
def test_a_host_that_is_none_of_this_machine_is_not_blamed_on_the_port(host: str) -> None:
    with pytest.raises(SetupError, match="; --host takes a name or an address of this machine") as caught:
        bind(host, 0)
    assert caught.value.detail.startswith(f"cannot listen on {host}:0: ")


def test_a_port_that_is_taken_is_not_blamed_on_the_host() -> None:
    with bind("127.0.0.1", 0) as first, pytest.raises(SetupError, match="choose another with --port"):
        bind("127.0.0.1", first.getsockname()[1])


def test_an_engine_that_is_not_installed_is_one_line(tmp_path: Path) -> None:
    """As in a stage's image, which has no TensorFlow."""
    write_bundle(tmp_path / "models", "classifier", 1, engine="tensorflow")
    blocked = tmp_path / "blocked" / "tensorflow"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'tensorflow'\")\n")
    path = f"{blocked.parent}:{Path.cwd()}"
    result = splitway("serve", "classifier", "--port", "0", SPLITWAY_MODELS=str(tmp_path / "models"), PYTHONPATH=path)
    assert one_line(result).endswith("pip install splitway[split]")
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_has_lost_its_launcher_before_it_serves_ends() -> None:
    line = one_line(splitway("serve", "classifier", "--fd", "0", "--parent", "1"))
    assert line.endswith("process 1, which started this one, has ended")
