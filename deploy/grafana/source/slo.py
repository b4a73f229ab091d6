"""The objectives: what is left of the month's budgets, and how fast they go."""

from __future__ import annotations

from deploy.grafana.source.model import Dashboard, Panel, Query, Row
from deploy.grafana.source.words import quantiles

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_BURNS = (6.0, 14.4)


def _row(title: str, bad: str, objective: float, says: str) -> Row:
    record = f"job:splitway_gateway_requests_{bad}"
    return Row(
        title,
        (
            Panel(
                "Budget left",
                f"Of 30 days, as far back as Prometheus remembers. {says} Below 0 the objective is missed.",
                (Query(f"min({record}:budget_left30d)", "left"),),
                "percentunit",
                "stat",
                width=4,
            ),
            Panel(
                "Last hour",
                "Share of its requests.",
                (Query(f"max({record}:ratio_rate1h)", bad),),
                "percentunit",
                "stat",
                (objective, 14.4 * objective),
                width=4,
            ),
            Panel(
                "Budget left, over time",
                "A step is an incident.",
                (Query(f"min({record}:budget_left30d)", "left"),),
                "percentunit",
            ),
            Panel(
                "Burn rates",
                "How many times faster than the objective allows, by window. 14.4 in 1h and 5m pages, 6 in 6h and 30m "
                "(of slow requests: a ticket), 1 in 3d and 6h is a ticket.",
                tuple(Query(f"max({record}:ratio_rate{window}) / {objective}", window) for window in _WINDOWS),
                marks=_BURNS,
            ),
        ),
    )


_LATENCY = Row(
    "Latency",
    (
        Panel(
            "Time to an answer, by route",
            "What 99 % stay below. /v2 takes as many rows in a request as its caller likes; the line is the objective.",
            quantiles("splitway_gateway_duration_seconds", 0.99, by="route"),
            "s",
            marks=(0.1,),
            width=12,
        ),
        Panel(
            "Requests that count",
            "Those that ended well or by a failure of ours, over five minutes, and those that failed.",
            (
                Query("sum(job:splitway_gateway_requests_counted:rate5m)", "counted"),
                Query("sum(job:splitway_gateway_requests_failed:rate5m)", "failed"),
                Query("sum(job:splitway_gateway_requests_slow:rate5m)", "slow"),
            ),
            "reqps",
            width=12,
        ),
    ),
)

SLO = Dashboard(
    "slo",
    "objectives",
    "99.9 % of requests without a failure of ours, 99 % within 0.1 s, over 30 days.",
    (
        _row("99.9 % without a failure of ours", "failed", 0.001, "0.1 % of the requests may fail."),
        _row("99 % within 0.1 s", "slow", 0.01, "1 % of the requests may take longer."),
        _LATENCY,
    ),
)
