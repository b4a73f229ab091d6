"""Write the dashboards that Grafana loads, `deploy/grafana/dashboards`: `python -m deploy.grafana.source.write`.

Each file says that it is generated. A test compares the files with what is written here.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.source.model import Dashboard, as_json
from deploy.grafana.source.overview import OVERVIEW
from deploy.grafana.source.replica import REPLICA
from deploy.grafana.source.resilience import RESILIENCE
from deploy.grafana.source.saturation import SATURATION
from deploy.grafana.source.slo import SLO

DASHBOARDS = (OVERVIEW, SATURATION, RESILIENCE, SLO, REPLICA)
FOLDER = Path(__file__).parent.parent / "dashboards"


def text(dashboard: Dashboard) -> str:
    """The content of a dashboard's file."""
    return json.dumps(as_json(dashboard), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in DASHBOARDS:
        (FOLDER / f"{each.uid}.json").write_text(text(each), encoding="utf-8")
