"""One HTTP call to one replica. The only place that knows aiohttp; its exceptions end here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from splitway.errors import BadStageAnswer, DeadlineExceeded, Unavailable, Unreachable

_KEEPALIVE_S = 15.0  # shorter than the stages' own, or an idle connection dies under a request
_DNS_CACHE_S = 2
_CONNECT_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Reply:
    """A stage's reply with its body complete."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport:
    """A pool of connections to the stages: no redirects, no proxies from the environment, no packed bodies."""

    def __init__(self, max_reply_bytes: int) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=_DNS_CACHE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent",),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        stage: str,
        method: str,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> Reply:
        """Send one request and read its whole reply.

        Raises:
            Unreachable: no connection was made.
        Unavailable: the connection broke before the reply.
            DeadlineExceeded: no complete reply within `timeout_s`.
            BadStageAnswer: the reply is no HTTP, breaks off, or is larger than allowed.
        """
        assert self._session is not None, "the transport has not been opened"
        if timeout_s <= 0:  # to aiohttp it would mean no limit
            raise DeadlineExceeded(f"the time was up before {stage} was called", stage=stage)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_TIMEOUT_S, timeout_s))
        async with (
            _translated(stage, url),
            self._session.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response,
        ):
            return Reply(response.status, response.headers, await self._read(stage, response))

    async def _read(self, stage: str, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._max_reply_bytes:
                raise BadStageAnswer(f"{stage} sent more than {self._max_reply_bytes} bytes", stage=stage)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


@asynccontextmanager
async def _translated(stage: str, url: str) -> AsyncIterator[None]:
    """Translate aiohttp's exceptions into ours, here and nowhere else."""
    host = url.split("/")[2]
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise Unreachable(f"{stage} at {host} does not take connections", stage=stage, retry_after_s=1) from error
    except aiohttp.ClientConnectorError as error:
        raise Unreachable(f"{stage} at {host} cannot be reached", stage=stage, retry_after_s=1) from error
    except TimeoutError as error:
        raise DeadlineExceeded(f"{stage} at {host} did not answer in time", stage=stage) from error
    except aiohttp.ClientPayloadError as error:
        raise BadStageAnswer(f"{stage} at {host} broke off its reply", stage=stage) from error
    except aiohttp.ClientConnectionError as error:
        raise Unavailable(f"{stage} at {host} broke off the connection", stage=stage, retry_after_s=1) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise BadStageAnswer(f"{stage} at {host} does not answer in HTTP", stage=stage) from error
