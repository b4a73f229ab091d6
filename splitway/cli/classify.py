"""`splitway classify`: pictures to a running gateway, labels back."""

from __future__ import annotations

import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.table import Table

from splitway.cli.console import ERR, OUT
from splitway.errors import SetupError

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Result:
    """What the gateway said of one file: a reply or an error."""

    file: Path
    reply: dict[str, Any] | None = None
    error: str | None = None


def classify_files(files: list[Path], url: str, top_k: int) -> list[Result]:
    """Send each file in turn. Raises SetupError if the gateway cannot be reached at all."""
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
        return [_classify(client, file, top_k) for file in files]


def _classify(client: httpx.Client, file: Path, top_k: int) -> Result:
    try:
        picture = file.read_bytes()
    except OSError as error:
        return Result(file, error=f"cannot be read: {error.strerror}")
    try:
        reply = client.post("/v1/classify", params={"top_k": top_k}, content=picture, headers=headers_for(file))
    except httpx.ConnectError as error:
        raise SetupError(f"no gateway answers at {client.base_url}; start one with: splitway up") from error
    except httpx.TransportError as error:
        return Result(file, error=f"no answer: {error}")
    return _read(file, reply)


def headers_for(file: Path) -> dict[str, str]:
    """The headers that a picture is sent with, by its file's name."""
    media_type = mimetypes.guess_type(file.name)[0] or ""
    return {"content-type": media_type if media_type.startswith("image/") else "image/jpeg"}


def _read(file: Path, reply: httpx.Response) -> Result:
    try:
        content = reply.json()
        if reply.status_code == 200:
            return Result(file, reply=content)
        return Result(file, error=str(content["detail"]))
    except (json.JSONDecodeError, KeyError, TypeError):
        return Result(file, error=f"the gateway answered {reply.status_code} in a form that is not its own")


def print_table(results: list[Result]) -> None:
    """Print one row per file; errors go to stderr."""
    table = Table("file", "label", "confidence", "then", "ms", box=None, header_style="bold")
    for result in results:
        if result.reply is None:
            ERR.print(f"{result.file}: {result.error}", style="red", markup=False)
            continue
        first, *others = result.reply["predictions"]
        then = ", ".join(f"{p['label']} {p['confidence']:.2f}" for p in others[:2])
        total_ms = result.reply["timings_ms"]["total"]
        table.add_row(str(result.file), first["label"], f"{first['confidence']:.3f}", then, f"{total_ms:.1f}")
    if table.row_count:
        OUT.print(table)


def print_json(results: list[Result]) -> None:
    """Print one JSON object per line."""
    for result in results:
        content = result.reply if result.reply is not None else {"error": result.error}
        print(json.dumps({"file": str(result.file), **content}))
