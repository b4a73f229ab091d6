"""One call to one replica, and what it can end with. The only place that knows the HTTP client; its errors end here."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http1 import BrokenConnection, BrokenReply, ConnectError, HttpPool, Reply
from splitway.errors import BadStageAnswer, DeadlineExceeded, SplitwayError, Unavailable, Unreachable

_KEEPALIVE_S = 15.0  # shorter than the stages' own, or an idle connection dies under a request
_CONNECT_TIMEOUT_S = 1.0


class Transport:
    """Connections to the stages, kept alive."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._pool = HttpPool(max_reply_bytes, keepalive_s=_KEEPALIVE_S, connect_timeout_s=_CONNECT_TIMEOUT_S)

    def close(self) -> None:
        self._pool.close()

    async def call(
        self,
        stage: str,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str],
        body: bytes = b"",
    ) -> Reply:
        """Send one request and read its whole reply.

        Raises:
            Unreachable: no connection was made.
            Unavailable: the connection broke before the reply.
            DeadlineExceeded: no complete reply within `timeout_s`.
            BadStageAnswer: the reply is no HTTP, breaks off, or is larger than allowed.
        """
        if timeout_s <= 0:
            raise DeadlineExceeded(f"the time was up before {stage} was called", stage=stage)
        try:
            return await self._pool.call(method, url, headers, body, timeout_s)
        except (ConnectError, BrokenConnection, BrokenReply, TimeoutError) as error:
            raise _translated(error, stage, url) from error


def _translated(error: Exception, stage: str, url: str) -> SplitwayError:
    """The client's errors as ours, here and nowhere else."""
    where = f"{stage} at {url.split('/')[2]}"
    if isinstance(error, ConnectError):
        return Unreachable(f"{where} cannot be reached", stage=stage, retry_after_s=1)
    if isinstance(error, BrokenConnection):
        return Unavailable(f"{where} broke off the connection", stage=stage, retry_after_s=1)
    if isinstance(error, BrokenReply):
        return BadStageAnswer(f"the reply of {where} {error}", stage=stage)
    return DeadlineExceeded(f"{where} did not answer in time", stage=stage)
