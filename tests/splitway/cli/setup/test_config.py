"""`splitway config` names the source of each value, and no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from splitway.local.places import Place
from splitway.local.run_file import Launcher, make_run_folder, write_run_file
from testkit.support import one_line, splitway

LASTING = [sys.executable, "-c", "input()", "splitway"]
"""A process that is taken for one of Splitway's by its name."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "splitway.toml").write_text('threads = 2\nmodels = "bundles"\nmax_rows = 32\n')
    (tmp_path / "splitway.toml").chmod(0o644)
    (tmp_path / "secret").write_text("hush-hush-hush-hush")
    return tmp_path


def test_each_value_has_its_source(place: Path) -> None:
    given = {
        "SPLITWAY_MAX_ROWS": "16",
        "SPLITWAY_API_KEY": "hush-hush",
        "SPLITWAY_SERVICE_TOKEN_FILE": str(place / "secret"),
        "SPLITWAY_CACHE": "redis://:hush-hush@r:6379/0",
        "XDG_CONFIG_HOME": str(place),
    }
    result = splitway("config", "--json", cwd=place, **given)
    said = json.loads(result.stdout)
    found = {each["key"]: each for each in said["settings"]}
    assert said["files"] == ["splitway.toml"]
    assert (found["threads"]["value"], found["threads"]["source"], found["threads"]["line"]) == ("2", "file", 1)
    assert (found["max_rows"]["value"], found["max_rows"]["source"]) == ("16", "environment")
    assert (found["queue_rows"]["value"], found["queue_rows"]["source"]) == ("1024", "default")
    assert found["max_body_bytes"]["value"] == "16777216 for the gateway, 33554432 for a stage"
    assert (found["api_key"]["value"], found["service_token_file"]["value"]) == ("***", str(place / "secret"))
    assert found["cache"]["value"] == "***@r:6379/0"
    table = splitway("config", "--all", cwd=place, **given)
    assert "hush" not in result.stdout + result.stderr + table.stdout + table.stderr
    rows = [line.split() for line in table.stdout.splitlines()]
    assert ["models", "bundles", "splitway.toml:2"] in rows
    assert ["max_rows", "16", "environment"] in rows
    assert len(rows) == len(found) + 1
    short = splitway("config", cwd=place, **given)
    names = {key for key, each in found.items() if each["source"] != "default"}
    assert {line.split()[0] for line in short.stdout.splitlines()} == names | {"setting"}
    assert f"{len(found) - len(names)} settings have their defaults: splitway config --all" in short.stderr


def test_one_setting_is_its_value_alone_however_it_is_written(place: Path) -> None:
    for key in ("threads", "SPLITWAY_THREADS"):
        result = splitway("config", key, cwd=place, XDG_CONFIG_HOME=str(place))
        assert result.stdout == "2\n"
        assert "from splitway.toml:1" in result.stderr
    assert "did you mean 'threads'?" in one_line(splitway("config", "thread", cwd=place))


def test_a_value_that_stops_the_start_is_told(place: Path) -> None:
    given = {"SPLITWAY_THREADS": "two", "SPLITWAY_BODIES": "{", "SPLITWAY_DRAIN_S": "", "XDG_CONFIG_HOME": str(place)}
    one = splitway("config", "threads", cwd=place, **given)
    assert (one.returncode, one.stdout) == (1, "two\n")
    assert "SPLITWAY_THREADS=two, from environment: it must be a whole number" in one.stderr
    every = splitway("config", "--json", cwd=place, **given)
    wrong = {each["key"]: each["wrong"] for each in json.loads(every.stdout)["settings"] if "wrong" in each}
    assert wrong == {"threads": "it must be a whole number", "bodies": "it must be JSON"}
    assert every.returncode == 1
    assert splitway("config", "max_rows", cwd=place, **given).returncode == 0  # which is right


def test_a_pipeline_that_serves_another_folder_is_told_of(place: Path) -> None:
    run = place / ".splitway" / "run.json"
    make_run_folder(run.parent)
    with subprocess.Popen(LASTING, stdin=subprocess.PIPE) as process:
        gateway = Place.of("gateway", "http://127.0.0.1:4711", process.pid)
        write_run_file(run, [gateway], Launcher.of_this_process(place / "bundles", None, None, restarts=True))
        same = splitway("config", "models", cwd=place)
        other = splitway("config", "models", cwd=place, SPLITWAY_MODELS="others")
        process.kill()
    assert "serves" not in same.stderr
    assert f"the pipeline that runs here serves {place / 'bundles'}" in other.stderr


def test_every_setting_says_what_it_is_for(place: Path) -> None:
    said = json.loads(splitway("config", "--json", cwd=place).stdout)
    assert [each["key"] for each in said["settings"] if len(each["about"]) < 10] == []
