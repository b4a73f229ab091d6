"""CPU time that one call costs the client, httpx against aiohttp, as the gateway calls its stages.

python benchmarks/http_clients.py: 42 KB request, 5 KB reply, 8 at a time, the two alternating in one run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx
from aiohttp import web

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
    """Print the median of each client, the server's share included, and their ratio."""
    runner, url = await _serve()
    timeout = aiohttp.ClientTimeout(total=10)
    async with httpx.AsyncClient(trust_env=False) as slow, aiohttp.ClientSession(timeout=timeout) as fast:

        async def by_httpx() -> bytes:
            return (await slow.post(url, content=REQUEST)).content

        async def by_aiohttp() -> bytes:
            async with fast.post(url, data=REQUEST) as reply:
                return await reply.read()

        rounds = [(await _cpu_ms_per_call(by_httpx), await _cpu_ms_per_call(by_aiohttp)) for _ in range(ROUNDS)]
    await runner.cleanup()
    for name, values in zip(("httpx", "aiohttp"), zip(*rounds, strict=True), strict=True):
        print(f"{name:8} {statistics.median(values):.2f} ms CPU per call, server included")
    print(f"ratio    {statistics.median(a / b for a, b in rounds):.2f}")


if __name__ == "__main__":
    asyncio.run(main())
