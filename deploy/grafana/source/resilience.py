"""What keeps the stages' trouble from the callers, and what it costs."""

from __future__ import annotations

from deploy.grafana.source.model import Dashboard, Panel, Query, Row
from deploy.grafana.source.words import per_second

_GATEWAY = "splitway_gateway"

_RETRIES = Row(
    "Attempts and retries",
    (
        Panel(
            "Attempts, by how they ended",
            "Calls to a stage's replicas.",
            (Query(per_second(f"{_GATEWAY}_attempts_total", "stage, outcome"), "{{stage}} {{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Retries, by why",
            "How the attempt before had ended.",
            (Query(per_second(f"{_GATEWAY}_retries_total", "stage, outcome"), "{{stage}} after {{outcome}}"),),
            "reqps",
            without_zeros=True,
        ),
        Panel(
            "Amplification",
            "Calls for each hop, over five minutes: 1 is none too many. Retries and hedges add to it; a budget keeps "
            "it below 1.15.",
            (Query("job_stage:splitway_gateway_amplification:ratio_rate5m", "{{stage}}"),),
            marks=(1.08, 1.15),
        ),
        Panel(
            "Retry share",
            "Retries for each hop, over five minutes. At 8 % there is an alert, at 10 % the budget's income ends.",
            (Query("job_stage:splitway_gateway_retries:ratio_rate5m", "{{stage}}"),),
            "percentunit",
            marks=(0.08,),
        ),
        Panel(
            "Retry tokens left",
            "At 0 failures reach the callers.",
            (Query(f"min by (stage) ({_GATEWAY}_retry_budget_tokens)", "{{stage}}"),),
        ),
        Panel(
            "Hedges",
            "Second calls beside a slow first one. SPLITWAY_HEDGE turns them on.",
            (Query(per_second(f"{_GATEWAY}_hedges_total", "stage"), "{{stage}}"),),
            "reqps",
        ),
    ),
)

_REPLICAS = Row(
    "Replicas and their breakers",
    (
        Panel(
            "Replicas ready",
            "As the gateway's probes see it. A replica whose name has gone is counted no more.",
            (
                Query(f"sum by (stage) (max by (stage, replica) ({_GATEWAY}_replica_ready))", "{{stage}} ready"),
                Query(f"count by (stage) (max by (stage, replica) ({_GATEWAY}_replica_ready))", "{{stage}} known"),
            ),
        ),
        Panel(
            "Breakers that are not closed",
            "1 while a replica gets no calls, or only trials.",
            (Query("job_stage_replica:splitway_gateway_breaker_open:max", "{{stage}} {{replica}}"),),
        ),
        Panel(
            "Breakers' moves",
            "Changes of state a second.",
            (Query(per_second(f"{_GATEWAY}_breaker_transitions_total", "stage, state"), "{{stage}} to {{state}}"),),
            without_zeros=True,
        ),
    ),
)

_DOOR = Row(
    "Refused at the door",
    (
        Panel(
            "Shed, by why",
            "More came than the stages can do: the queue is full, the wait would be too long, or it was in vain.",
            (Query(per_second(f"{_GATEWAY}_shed_total", "outcome"), "{{outcome}}"),),
            "reqps",
            width=6,
        ),
        Panel(
            "Share shed",
            "Of all requests of five minutes. At 1 % there is an alert.",
            (Query("max(job:splitway_gateway_shed:ratio_rate5m)", "shed"),),
            "percentunit",
            marks=(0.01,),
            width=6,
        ),
        Panel(
            "Over their rate",
            "Requests of callers over their rate, their cost or their number at once.",
            (Query(per_second(f"{_GATEWAY}_rate_limited_total"), "refused"),),
            "reqps",
            width=6,
        ),
        Panel(
            "Deadlines missed",
            "Requests whose time was up, by the stage that had them.",
            (Query(per_second(f"{_GATEWAY}_deadline_misses_total", "stage"), "{{stage}}"),),
            "reqps",
            width=6,
        ),
    ),
)

RESILIENCE = Dashboard(
    "resilience",
    "resilience",
    "Attempts, retries and their budget, breakers, hedges, and what is refused.",
    (_RETRIES, _REPLICAS, _DOOR),
)
