"""The first page: rate, errors and duration at the door and by stage, and what it costs to have stages."""

from __future__ import annotations

from deploy.grafana.source.model import Dashboard, Panel, Query, Row
from deploy.grafana.source.words import mean, per_second, quantiles, share

_GATEWAY, _STAGE = "splitway_gateway", "splitway_stage"
_REQUESTS, _DURATION = f"{_GATEWAY}_requests_total", f"{_GATEWAY}_duration_seconds"
_COMPOSITION, _HOP = f"{_GATEWAY}_composition_seconds", f"{_GATEWAY}_hop_duration_seconds"
_ATTEMPTS = f"{_GATEWAY}_attempts_total"
_OBJECTIVE_S = 0.1
_PARTS = ("queue", "decode", "compute")
_WORKED = " + ".join(per_second(f"{_STAGE}_{part}_seconds_sum", "job, stage") for part in _PARTS)

_DOOR = Row(
    "At the door",
    (
        Panel(
            "Requests",
            "Everything that ended, well or not.",
            (Query(per_second(_REQUESTS), "a second"),),
            "reqps",
            "stat",
            width=5,
        ),
        Panel(
            "Failed by our fault",
            "Share of the requests of five minutes, without those that callers spoilt or gave up. 0.1 % may.",
            (Query("max(job:splitway_gateway_requests_failed:ratio_rate5m)", "of five minutes"),),
            "percentunit",
            "stat",
            (0.001, 0.0144),
            width=5,
        ),
        Panel(
            "99 % are answered within",
            "The objective is 0.1 s.",
            quantiles(_DURATION, 0.99),
            "s",
            "stat",
            (0.075, _OBJECTIVE_S),
            width=5,
        ),
        Panel(
            "The composition costs",
            "Mean time of an answer in which no stage worked on it: the network between the services, and the gateway.",
            (Query(mean(_COMPOSITION), "an answer"),),
            "s",
            "stat",
            width=5,
        ),
        Panel(
            "Alerts",
            "How many fire now; Prometheus' page /alerts says which, docs/operations.md what to do.",
            (Query('count(ALERTS{alertstate="firing"}) or vector(0)', "firing"),),
            "short",
            "stat",
            (1,),
            width=4,
        ),
        Panel(
            "Requests by how they ended",
            "Callers' errors and requests that callers gave up are theirs, all else is ours.",
            (
                Query(per_second(_REQUESTS, where='outcome="ok"'), "answered"),
                Query("sum(job:splitway_gateway_requests_failed:rate5m)", "failed by our fault (5 min)"),
                Query(per_second(_REQUESTS, where='outcome="cancelled"'), "given up by callers"),
                Query(
                    f"{per_second(_REQUESTS)} - sum(job:splitway_gateway_requests_counted:rate5m)",
                    "all that is the callers'",
                ),
            ),
            "reqps",
        ),
        Panel(
            "Failures, by name",
            "What else than an answer callers got. The names are explained in docs/operations.md.",
            (Query(per_second(_REQUESTS, "outcome", 'outcome!="ok"'), "{{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Time to an answer",
            "Over all routes, failures included. The line is the objective for 99 %.",
            quantiles(_DURATION, 0.5, 0.9, 0.99),
            "s",
            marks=(_OBJECTIVE_S,),
        ),
    ),
)

_STAGES = Row(
    "By stage, as the gateway sees it",
    (
        Panel(
            "Hops",
            "Turns of a stage in answered requests.",
            (Query(per_second(f"{_HOP}_count", "stage"), "{{stage}}"),),
            "reqps",
        ),
        Panel(
            "Calls that failed",
            "Share of the calls to a stage's replicas. Retries hide them from callers as long as their budget lasts.",
            (
                Query(
                    share(
                        per_second(_ATTEMPTS, "stage", 'outcome!~"ok|cancelled"'),
                        per_second(_ATTEMPTS, "stage"),
                    ),
                    "{{stage}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Time of a hop",
            "With all attempts and the network.",
            quantiles(_HOP, 0.5, 0.99, by="stage"),
            "s",
        ),
    ),
)

_THEMSELVES = Row(
    "By stage, as it sees itself",
    (
        Panel(
            "Requests",
            "What reaches a stage: calls of the gateway, retries and hedges included, and of other clients.",
            (Query(per_second(f"{_STAGE}_requests_total", "job, stage"), "{{stage}}"),),
            "reqps",
        ),
        Panel(
            "Failures",
            "Share of a stage's requests that did not end well, for any reason.",
            (
                Query(
                    share(
                        per_second(f"{_STAGE}_requests_total", "job, stage", 'outcome!~"ok|cancelled"'),
                        per_second(f"{_STAGE}_requests_total", "job, stage"),
                    ),
                    "{{stage}}",
                ),
            ),
            "percentunit",
        ),
        Panel(
            "Where a stage's time goes",
            "Means of a request: waiting for the engine, making its input, computing.",
            tuple(Query(mean(f"{_STAGE}_{part}_seconds", "job, stage"), f"{{{{stage}}}} {part}") for part in _PARTS),
            "s",
        ),
    ),
)

_COST = Row(
    "What the composition costs",
    (
        Panel(
            "An answer's time, taken apart",
            "Means. Each stage: queue, decoding and computing, for every answer of the gateway. Composition: the rest.",
            (
                Query(mean(_COMPOSITION), "composition"),
                Query(
                    f"({_WORKED}) / on () group_left () clamp_min({per_second(f'{_COMPOSITION}_count')}, 1e-9)",
                    "{{stage}}",
                ),
            ),
            "s",
            stacked=True,
        ),
        Panel(
            "Composition",
            "Time of an answer in which no stage worked on it.",
            quantiles(_COMPOSITION, 0.5, 0.9, 0.99),
            "s",
        ),
        Panel(
            "Composition's share",
            "Of the time of all requests.",
            (Query(share(per_second(f"{_COMPOSITION}_sum"), per_second(f"{_DURATION}_sum")), "share"),),
            "percentunit",
        ),
        Panel(
            "Bytes",
            "At the edge: pictures in, answers out. To and from the stages: what crosses the cut.",
            (
                Query(per_second(f"{_GATEWAY}_received_bytes_total"), "edge in"),
                Query(per_second(f"{_GATEWAY}_sent_bytes_total"), "edge out"),
                Query(per_second(f"{_GATEWAY}_stage_sent_bytes_total", "stage"), "to {{stage}}"),
                Query(per_second(f"{_GATEWAY}_stage_received_bytes_total", "stage"), "from {{stage}}"),
            ),
            "Bps",
        ),
        Panel(
            "Heads",
            "Heads of answered requests, by how they ended.",
            (Query(per_second(f"{_GATEWAY}_head_requests_total", "head, outcome"), "{{head}} {{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Pictures that come again",
            "Requests by how they met the feature cache. SPLITWAY_CACHE turns it on.",
            (
                Query(
                    f"{per_second(f'{_GATEWAY}_cache_requests_total', 'outcome')} "
                    'or label_replace(vector(0), "outcome", "no cache", "", "") '
                    f"unless on () {_GATEWAY}_cache_bytes",
                    "{{outcome}}",
                ),
            ),
            "reqps",
        ),
    ),
)

_SERVES = Row(
    "What serves",
    (
        Panel(
            "Models, as the gateway knows them",
            "A head must be of the feature space that its extractor gives.",
            (
                Query(
                    f"max by (stage, replica, head, version, feature_space) ({_GATEWAY}_model_info)",
                    "",
                ),
            ),
            kind="table",
            width=14,
        ),
        Panel(
            "Processes",
            "Each with its version of Splitway.",
            (Query("max by (job, instance, version, python) (splitway_build_info)", ""),),
            kind="table",
            width=10,
        ),
    ),
)

OVERVIEW = Dashboard(
    "overview",
    "overview by stage",
    "Rate, errors and duration, at the door and by stage, and what the composition costs.",
    (_DOOR, _STAGES, _THEMSELVES, _COST, _SERVES),
)
