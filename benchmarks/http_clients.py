"""CPU time that one call costs the client: httpx, aiohttp and gateway/transport/, as the gateway calls them.

python -m benchmarks.http_clients: 42 KB request, 5 KB reply, 8 at a time, all alternating in one run, on uvloop.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
import uvloop
from aiohttp import web

from splitway.gateway.transport.transport import Transport

REQUEST = bytes(42_000)
REPLY = bytes(5_000)
CONCURRENT = 8
CALLS = 1_000
ROUNDS = 5
Post = Callable[[], Awaitable[bytes]]


async def _serve() -> tuple[web.AppRunner, str]:
    async def echo(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=REPLY)

    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def _cpu_ms_per_call(post: Post) -> float:
    """Process CPU time per call; the server shares the process and costs every client the same."""

    async def caller() -> None:
        for _ in range(CALLS // CONCURRENT):
            assert len(await post()) == len(REPLY)

    started_s = time.process_time()
    await asyncio.gather(*(caller() for _ in range(CONCURRENT)))
    return (time.process_time() - started_s) / CALLS * 1000


async def main() -> None:
    """Print the median of each client, the server's share included, and how much more than ours the others take."""
    runner, url = await _serve()
    timeout = aiohttp.ClientTimeout(total=10)
    pool = Transport(1 << 20)
    async with httpx.AsyncClient(trust_env=False) as slow, aiohttp.ClientSession(timeout=timeout) as fast:

        async def by_httpx() -> bytes:
            return (await slow.post(url, content=REQUEST)).content

        async def by_aiohttp() -> bytes:
            async with fast.post(url, data=REQUEST) as reply:
                return await reply.read()

        async def by_ours() -> bytes:
            return (await pool.call("stage", "POST", url, timeout_s=10, headers={}, body=REQUEST)).body

        clients = {"httpx": by_httpx, "aiohttp": by_aiohttp, "ours": by_ours}
        rounds = [[await _cpu_ms_per_call(post) for post in clients.values()] for _ in range(ROUNDS)]
    pool.close()
    await runner.cleanup()
    for number, name in enumerate(clients):
        ms = statistics.median(each[number] for each in rounds)
        ratio = statistics.median(each[number] / each[-1] for each in rounds)
        print(f"{name:8} {ms:.3f} ms CPU per call, server included; {ratio:.2f} times ours")


if __name__ == "__main__":
    uvloop.run(main())
