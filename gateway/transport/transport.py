"""One call to one replica, and what it can end with. The only place that knows the HTTP client; its errors end here."""

from __future__ import annotations

from collections.abc import Mapping

from splitway.errors import (
    BadStageAnswer,
    DeadlineExceeded,
    Overloaded,
    SplitwayError,
    Unavailable,
    Unreachable,
    in_one_line,
)
from splitway.gateway.transport.http1 import HttpPool, Reply
from splitway.gateway.transport.http1_errors import BrokenConnection, BrokenReply, ConnectError, CutReply
from splitway.gateway.transport.shortage import is_own_shortage
from splitway.names import TOKEN_HEADER
from splitway.security.identities.tls import Identity
from splitway.wire.gathered import Body

_KEEPALIVE_S = 15.0  # shorter than the stages' own, or an idle connection dies under a request
_CONNECT_TIMEOUT_S = 1.0


class CutOff(BadStageAnswer):
    """The connection was lost while the reply came."""


class Transport:
    """Connections to the stages, kept alive.

    Args:
        max_reply_bytes: of one reply's body.
        token: shows the stages that it is the gateway who asks; sent with every call.
        identity: shows it too, and is asked for in return: the gateway's own, for stages whose addresses are https.
    """

    def __init__(self, max_reply_bytes: int, *, token: str | None = None, identity: Identity | None = None) -> None:
        self._headers = {TOKEN_HEADER: token} if token else {}
        self._pool = HttpPool(
            max_reply_bytes, keepalive_s=_KEEPALIVE_S, connect_timeout_s=_CONNECT_TIMEOUT_S, identity=identity
        )

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
        body: Body = b"",
        service: str = "",
    ) -> Reply:
        """Send one request and read its whole reply.

        Args:
            stage: what is called, as errors name it.
            method, url, headers, body: the request.
            timeout_s: how long all of it may take.
            service: the expected service over https, if it is not `stage`.

        Raises:
            Overloaded: this process has no means for a connection of its own.
            Unreachable: no connection was made.
            Unavailable: the connection broke before the reply.
            DeadlineExceeded: no complete reply within `timeout_s`.
            BadStageAnswer: the reply is no HTTP, or is larger than allowed; CutOff: it breaks off.
        """
        if timeout_s <= 0:
            raise DeadlineExceeded(f"the deadline passed before {stage} was called", stage=stage)
        try:
            sent = {**headers, **self._headers}
            return await self._pool.call(method, url, sent, body, timeout_s, peer=service or stage)
        except (ConnectError, BrokenConnection, BrokenReply, TimeoutError) as error:
            raise _translated(error, stage, url) from error


def _translated(error: Exception, stage: str, url: str) -> SplitwayError:
    """The client's errors as ours, here and nowhere else."""
    where = url.split("/")[2]
    if is_own_shortage(error):
        what = f"this gateway has no resources left to call {stage}; send the request again in a moment"
        return Overloaded(what, stage=stage, retry_after_s=1, private=f"{where}: {in_one_line(error)}")
    if isinstance(error, ConnectError):
        why = "" if isinstance(error.__cause__, ConnectionRefusedError) else f": {in_one_line(error)}"
        return Unreachable(f"{stage} cannot be reached", stage=stage, retry_after_s=1, private=f"{where}{why}")
    if isinstance(error, BrokenConnection):
        return Unavailable(f"{stage} closed the connection", stage=stage, retry_after_s=1, private=where)
    if isinstance(error, BrokenReply):
        kind = CutOff if isinstance(error, CutReply) else BadStageAnswer
        return kind(f"{stage} sent a broken reply", stage=stage, private=f"{where}: the reply {error}")
    return DeadlineExceeded(f"{stage} did not answer in time", stage=stage, private=where)
