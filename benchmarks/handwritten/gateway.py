"""The hand-written front: calls one stage after the other."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request

clients: dict[str, httpx.AsyncClient] = {}


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=200)) as client:
        clients["stages"] = client
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/classify")
async def classify(request: Request) -> dict[str, Any]:
    """One picture in, labels out."""
    client = clients["stages"]
    picture = await request.body()
    headers = {"content-type": "application/octet-stream"}
    found = await client.post(f"{os.environ['EXTRACTOR']}/extract", content=picture, headers=headers)
    found.raise_for_status()
    answer = await client.post(f"{os.environ['CLASSIFIER']}/classify", json=found.json())
    answer.raise_for_status()
    result: dict[str, Any] = answer.json()
    return result
