"""The dashboards as Grafana loads them: what the sources make, complete, and where its configuration looks for them.

That every expression gives something is shown in tests/deploy/prometheus, by a real Prometheus.
"""

from __future__ import annotations

import configparser
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.source.write import DASHBOARDS, FOLDER, text

ROOT = Path(__file__).parent.parent.parent.parent
GRAFANA = ROOT / "deploy" / "grafana"
FILES = sorted(FOLDER.glob("*.json"))


def _panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def test_the_files_are_what_the_sources_make() -> None:
    made = {f"{each.uid}.json": text(each) for each in DASHBOARDS}
    assert {path.name: path.read_text() for path in FILES} == made, "run `python -m deploy.grafana.source.write`"


def test_a_dashboard_says_that_it_is_generated() -> None:
    for path in FILES:
        loaded = json.loads(path.read_text())
        assert "python -m deploy.grafana.source.write" in loaded["description"]
        assert loaded["tags"] == ["splitway", "generated"]


def test_dashboards_can_be_told_apart() -> None:
    loaded = [json.loads(path.read_text()) for path in FILES]
    assert len({each["uid"] for each in loaded}) == len({each["title"] for each in loaded}) == len(FILES) == 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_panel_says_what_it_shows_and_in_what_unit(path: Path) -> None:
    for panel in _panels(path):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFG")[: len(panel["targets"])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_rates_follow_the_zoom(path: Path) -> None:
    """Fixed windows are for recorded series alone."""
    for panel in _panels(path):
        for target in panel["targets"]:
            assert set(re.findall(r"\[([^]]+)\]", target["expr"])) <= {"$__rate_interval"}, panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_stand_beside_each_other_and_not_on_top(path: Path) -> None:
    loaded = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in loaded}) == len(loaded)
    for first, second in combinations((panel["gridPos"] for panel in loaded), 2):
        beside = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        below = first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
        assert beside or below
    assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in loaded) == 24


def test_grafana_finds_prometheus_and_the_dashboards_where_compose_puts_them() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/splitway.yml").read_text())["providers"]
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    settings = configparser.ConfigParser()
    settings.read(GRAFANA / "grafana.ini")
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    home = settings["dashboards"]["default_home_dashboard_path"]
    assert home == f"{provider['options']['path']}/overview.json"
    assert source["url"] == "http://prometheus:9090"
    scraped_every = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped_every


def test_grafana_lets_everybody_look_and_nobody_change_and_calls_no_other_host() -> None:
    settings = configparser.ConfigParser()
    settings.read(GRAFANA / "grafana.ini")
    assert settings["auth.anonymous"]["org_role"] == "Viewer"
    assert settings.getboolean("auth", "disable_login_form")
    off = [("analytics", key) for key in settings["analytics"]]
    off += [("auth.basic", "enabled"), ("news", "news_feed_enabled"), ("snapshots", "external_enabled")]
    off += [("plugins", "plugin_admin_enabled")]
    assert len(off) == 8
    assert not any(settings.getboolean(section, key) for section, key in off)
    assert settings.getboolean("plugins", "preinstall_disabled")
