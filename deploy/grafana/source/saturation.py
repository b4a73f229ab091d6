"""How full things are: the door, the stages' queues, the processes."""

from __future__ import annotations

from deploy.grafana.source.model import Dashboard, Panel, Query, Row
from deploy.grafana.source.words import JOBS, RATE, mean, quantiles, share

_GATEWAY, _STAGE = "splitway_gateway", "splitway_stage"

_DOOR = Row(
    "The door",
    (
        Panel(
            "Requests in flight",
            "The limit follows the slowest stage: it falls when requests wait there, and rises while they don't. "
            "Beyond it they wait at the door.",
            (
                Query(f"sum({_GATEWAY}_in_flight)", "in flight"),
                Query(f"sum({_GATEWAY}_limit)", "limit"),
                Query(f"sum({_GATEWAY}_queued)", "waiting at the door"),
            ),
        ),
        Panel(
            "Share of the limit in use",
            "At 100 % the stages have all that they can do.",
            (Query(share(f"sum({_GATEWAY}_in_flight)", f"sum({_GATEWAY}_limit)"), "in use"),),
            "percentunit",
            marks=(0.8, 1),
        ),
        Panel(
            "Wait at the door",
            "Who would have to wait for more than a second is turned away instead.",
            quantiles(f"{_GATEWAY}_admission_wait_seconds", 0.5, 0.99),
            "s",
        ),
    ),
)

_STAGES = Row(
    "The stages",
    (
        Panel(
            "Calls in flight, by replica",
            "As the gateway sees it: one replica that stands out is slower than the others.",
            (Query(f"sum by (stage, replica) ({_GATEWAY}_replica_in_flight)", "{{stage}} {{replica}}"),),
        ),
        Panel(
            "Requests in a stage",
            "As the stage sees it.",
            (Query(f"sum by (job, stage, instance) ({_STAGE}_in_flight)", "{{stage}} {{instance}}"),),
        ),
        Panel(
            "Rows that wait for the engine",
            "More than a few batches' worth for long means that the stage needs another replica.",
            (Query(f"sum by (job, stage, instance) ({_STAGE}_queued_rows)", "{{stage}} {{instance}}"),),
        ),
        Panel(
            "Wait for the engine",
            "How long requests stand in a stage's queue.",
            quantiles(f"{_STAGE}_queue_seconds", 0.5, 0.99, by="job, stage"),
            "s",
        ),
        Panel(
            "Rows in a batch",
            "Means, and what 99 % stay below.",
            (
                Query(mean(f"{_STAGE}_batch_rows", "job, stage"), "{{stage}} mean"),
                *quantiles(f"{_STAGE}_batch_rows", 0.99, by="job, stage"),
            ),
        ),
        Panel(
            "Computing",
            "Time in the engine. It grows when engines compete for processors.",
            quantiles(f"{_STAGE}_compute_seconds", 0.5, 0.99, by="job, stage"),
            "s",
        ),
    ),
)

_PROCESSES = Row(
    "The processes",
    (
        Panel(
            "Memory",
            "Resident. compose.yaml allows 512 MiB to each.",
            (Query(f"process_resident_memory_bytes{{{JOBS}}}", "{{job}} {{instance}}"),),
            "bytes",
            width=6,
        ),
        Panel(
            "Processors in use",
            "Seconds of processor time a second.",
            (Query(f"rate(process_cpu_seconds_total{{{JOBS}}}[{RATE}])", "{{job}} {{instance}}"),),
            width=6,
        ),
        Panel(
            "File descriptors in use",
            "Share of the process's limit; sockets are most of them.",
            (
                Query(
                    f"process_open_fds{{{JOBS}}} / process_max_fds{{{JOBS}}}",
                    "{{job}} {{instance}}",
                ),
            ),
            "percentunit",
            marks=(0.5, 0.8),
            width=6,
        ),
        Panel(
            "Tasks on the gateway's event loop",
            "They follow the requests in flight. A number that stays up without requests is a leak.",
            (Query(f"{_GATEWAY}_tasks", "{{instance}}"),),
            width=6,
        ),
    ),
)

SATURATION = Dashboard(
    "saturation",
    "saturation",
    "How full the door, the stages' queues and the processes are.",
    (_DOOR, _STAGES, _PROCESSES),
)
