"""Dashboards as values: what a panel asks and shows, and the JSON that Grafana reads of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
_COLUMNS = 24
_DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_TAG = "splitway"


@dataclass(frozen=True)
class Query:
    """One expression and what its series are called; `{{label}}` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One picture.

    Args:
        title, description: what it shows, and what to make of it.
        queries: what it asks Prometheus.
        unit: in Grafana's words: s, bytes, reqps, percentunit, short.
        kind: lines over time, one number, or a table of labels.
        marks: values from which on it is yellow, then red; drawn as lines over time.
        stacked: whether lines over time are added up.
        without_zeros: whether the legend leaves out what is 0 all the time: there are many outcomes.
        width: of 24 columns.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    marks: tuple[float, ...] = ()
    stacked: bool = False
    without_zeros: bool = False
    width: int = 8

    @property
    def height(self) -> int:
        return 4 if self.kind == "stat" else 8


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A choice above the panels: the values of one label of one metric."""

    name: str
    title: str
    metric: str
    label: str


@dataclass(frozen=True)
class Dashboard:
    """One page. `uid` is also the name of its file."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = ()


def as_json(dashboard: Dashboard) -> Json:
    """What Grafana loads."""
    return {
        "uid": f"splitway-{dashboard.uid}",
        "title": f"Splitway: {dashboard.title}",
        "description": dashboard.description,
        "tags": [_TAG],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Splitway", "tags": [_TAG], "keepTime": True, "includeVars": True}],
        "templating": {"list": [_datasource_choice(), *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }


def _panels(rows: tuple[Row, ...]) -> Iterator[Json]:
    number, top = 1, 0
    for row in rows:
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [], **_at(0, top)}
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(panel, number, _at(left, top, panel.width, panel.height))
            number, left, tallest = number + 1, left + panel.width, max(tallest, panel.height)
        top += tallest


def _at(left: int, top: int, width: int = _COLUMNS, height: int = 1) -> Json:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(panel: Panel, number: int, place: Json) -> Json:
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        **place,
        "datasource": _DATASOURCE,
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _field(panel), "overrides": [_WITHOUT_ZEROS] if panel.without_zeros else []},
        "options": _OPTIONS[panel.kind],
    }
    if panel.kind == "table":
        hidden = {"Time": True, "Value": True}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return made


def _target(panel: Panel, query: Query, index: int) -> Json:
    target: Json = {
        "refId": chr(ord("A") + index),
        "datasource": _DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
    }
    return target | ({"instant": True, "format": "table"} if panel.kind == "table" else {"range": True})


_OPTIONS: dict[str, Json] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "value_and_name",
    },
    "table": {"showHeader": True, "cellHeight": "sm"},
}


_WITHOUT_ZEROS: Json = {
    "matcher": {"id": "byValue", "options": {"reducer": "allIsZero", "op": "gte", "value": 0}},
    "properties": [{"id": "custom.hideFrom", "value": {"legend": True, "tooltip": True, "viz": False}}],
}


def _field(panel: Panel) -> Json:
    colours = ("yellow", "red")[-len(panel.marks) :]
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": colour, "value": mark} for colour, mark in zip(colours, panel.marks, strict=bool(panel.marks))]
    field: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "timeseries":
        field["color"] = {"mode": "palette-classic"}
        field["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "axisSoftMin": 0,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.marks else "off"},
        }
    elif panel.kind == "stat":
        field["color"] = {"mode": "thresholds"}
    return field


def _datasource_choice() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}


def _variable(variable: Variable) -> Json:
    query = f"label_values({variable.metric}, {variable.label})"
    return {
        "name": variable.name,
        "label": variable.title,
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "includeAll": False,
        "multi": False,
    }
