"""From addresses to replicas."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.discovery import resolve


@pytest.mark.parametrize(
    ("url", "port"), [("http://a:81", 81), ("https://a:81", 81), ("http://a", 80), ("https://a", 443)]
)
async def test_a_name_stands_for_every_machine_that_it_resolves_to(
    url: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_host: str, asked: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(None, None, None, "", (f"10.0.0.{number}", asked)) for number in (2, 1)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    scheme = url.partition(":")[0]
    assert await resolve([url]) == [f"{scheme}://10.0.0.1:{port}", f"{scheme}://10.0.0.2:{port}"]
