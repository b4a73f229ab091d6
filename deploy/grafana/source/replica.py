"""One replica of one stage, as it sees itself and as the gateway sees it."""

from __future__ import annotations

from deploy.grafana.source.model import Dashboard, Panel, Query, Row, Variable
from deploy.grafana.source.words import RATE, mean, per_second, quantiles

_GATEWAY, _STAGE = "splitway_gateway", "splitway_stage"
_ITSELF = 'instance="$replica"'
_SEEN = 'replica="http://$replica"'

_STATE = Row(
    "State",
    (
        Panel("Up", "Whether Prometheus can read it.", (Query(f"up{{{_ITSELF}}}", "up"),), kind="stat", width=4),
        Panel("Ready", "What it says itself.", (Query(f"{_STAGE}_ready{{{_ITSELF}}}", "ready"),), kind="stat", width=4),
        Panel(
            "In use",
            "Whether the gateway's probes find it ready.",
            (Query(f"max by (stage) ({_GATEWAY}_replica_ready{{{_SEEN}}})", "{{stage}}"),),
            kind="stat",
            width=4,
        ),
        Panel(
            "Breaker not closed",
            "1 while the gateway keeps calls from it, but for trials.",
            (Query(f"max by (stage) (job_stage_replica:splitway_gateway_breaker_open:max{{{_SEEN}}})", "{{stage}}"),),
            kind="stat",
            marks=(1,),
            width=4,
        ),
        Panel(
            "Running for",
            "Since the process began.",
            (Query(f"time() - process_start_time_seconds{{{_ITSELF}}}", "uptime"),),
            "s",
            "stat",
            width=4,
        ),
        Panel(
            "Version",
            "Of Splitway; 1 stands for this one.",
            (Query(f"splitway_build_info{{{_ITSELF}}}", "{{version}}"),),
            kind="stat",
            width=4,
        ),
    ),
)

_ITS_VIEW = Row(
    "As it sees itself",
    (
        Panel(
            "Requests, by how they ended",
            "By model: a classifier serves all heads.",
            (Query(per_second(f"{_STAGE}_requests_total", "stage, outcome", _ITSELF), "{{stage}} {{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Time to an answer",
            "From the request's arrival at this process.",
            quantiles(f"{_STAGE}_duration_seconds", 0.5, 0.99, by="stage", where=_ITSELF),
            "s",
        ),
        Panel(
            "Where the time goes",
            "Means of a request.",
            tuple(
                Query(mean(f"{_STAGE}_{part}_seconds", "stage", _ITSELF), f"{{{{stage}}}} {part}")
                for part in ("queue", "decode", "compute")
            ),
            "s",
        ),
        Panel(
            "Rows",
            "Those that wait, and those in a batch.",
            (
                Query(f"{_STAGE}_queued_rows{{{_ITSELF}}}", "{{stage}} waiting"),
                Query(mean(f"{_STAGE}_batch_rows", "stage", _ITSELF), "{{stage}} in a batch"),
            ),
        ),
        Panel(
            "Requests in flight",
            "By model.",
            (Query(f"{_STAGE}_in_flight{{{_ITSELF}}}", "{{stage}}"),),
        ),
        Panel(
            "Bytes",
            "Requests' and answers' bodies.",
            (
                Query(per_second(f"{_STAGE}_received_bytes_total", "stage", _ITSELF), "{{stage}} in"),
                Query(per_second(f"{_STAGE}_sent_bytes_total", "stage", _ITSELF), "{{stage}} out"),
            ),
            "Bps",
        ),
    ),
)

_GATEWAYS_VIEW = Row(
    "As the gateway sees it",
    (
        Panel(
            "Calls, by how they ended",
            "All attempts at this replica.",
            (Query(per_second(f"{_GATEWAY}_attempts_total", "outcome", _SEEN), "{{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Time of a call",
            "With the network.",
            quantiles(f"{_GATEWAY}_attempt_duration_seconds", 0.5, 0.99, where=_SEEN),
            "s",
        ),
        Panel(
            "Calls in flight",
            "Calls that wait for this replica's answer.",
            (Query(f"sum({_GATEWAY}_replica_in_flight{{{_SEEN}}})", "in flight"),),
        ),
    ),
)

_PROCESS = Row(
    "The process",
    (
        Panel("Memory", "Resident.", (Query(f"process_resident_memory_bytes{{{_ITSELF}}}", "resident"),), "bytes"),
        Panel(
            "Processors in use",
            "Seconds of processor time a second.",
            (Query(f"rate(process_cpu_seconds_total{{{_ITSELF}}}[{RATE}])", "in use"),),
        ),
        Panel(
            "File descriptors",
            "Open, and the limit.",
            (
                Query(f"process_open_fds{{{_ITSELF}}}", "open"),
                Query(f"process_max_fds{{{_ITSELF}}}", "limit"),
            ),
        ),
    ),
)

REPLICA = Dashboard(
    "replica",
    "one replica",
    "One replica of one stage, chosen above: as it sees itself and as the gateway sees it.",
    (_STATE, _ITS_VIEW, _GATEWAYS_VIEW, _PROCESS),
    (Variable("replica", "Replica", "splitway_stage_ready", "instance"),),
)
