"""One call to one replica, and what it can end with. The only place that knows the HTTP client; its errors end here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway.http1 import BrokenConnection, BrokenReply, ConnectError, HttpPool, Reply
from splitway.errors import BadStageAnswer, DeadlineExceeded, Unavailable, Unreachable

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
        with _translated(stage, url):
            return await self._pool.call(method, url, headers, body, timeout_s)


@contextmanager
def _translated(stage: str, url: str) -> Iterator[None]:
    """Translate the client's errors into ours, here and nowhere else."""
    try:
        yield
    except ConnectError as error:
        detail = f"{stage} at {_host(url)} cannot be reached"
        raise Unreachable(detail, stage=stage, retry_after_s=1) from error
    except BrokenConnection as error:
        detail = f"{stage} at {_host(url)} broke off the connection"
        raise Unavailable(detail, stage=stage, retry_after_s=1) from error
    except BrokenReply as error:
        raise BadStageAnswer(f"the reply of {stage} at {_host(url)} {error}", stage=stage) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{stage} at {_host(url)} did not answer in time", stage=stage) from error


def _host(url: str) -> str:
    return url.split("/")[2]
