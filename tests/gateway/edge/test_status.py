"""What the gateway says of itself."""

from __future__ import annotations

from splitway.schemas.message import read_answer
from splitway.schemas.pipeline import PipelineStatus
from tests.gateway.conftest import Gateway


async def test_the_last_minutes_are_told_who_asks(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        plain, full = [(await client.get(f"/v1/pipeline{query}")).content for query in ("", "?history=true")]
        wrong = await client.get("/v1/pipeline?history=maybe")
    without, status = read_answer(PipelineStatus, plain), read_answer(PipelineStatus, full)
    assert status.history is not None
    assert (status.history.step_s, status.history.values, status.history.until[-1]) == (5, 60, "Z")
    assert status.gateway is not None
    histories = [status.gateway.history, *(stage.history for stage in status.stages)]
    histories += [replica.history for stage in status.stages for replica in stage.replicas]
    assert len(histories) == 5
    assert all(each is not None and len(each.ended) == len(each.in_flight) == 60 for each in histories)
    told = (without.history, without.stages[0].history, without.stages[0].replicas[0].history)
    assert told == (None, None, None)
    assert wrong.status_code == 400
