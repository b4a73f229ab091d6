"""`splitway classify`: pictures to a running gateway, labels back, of one head or of several."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from rich.table import Table
from rich.text import Text

from splitway.cli.ask.given_pictures import read_given
from splitway.cli.ask.unread import in_one_line, print_failure, print_line, why_unread
from splitway.cli.console import OUT
from splitway.cli.credentials import (
    gateway_client,
    kept_back,
    no_gateway,
    problem_of,
    refusal,
    say_what_is_kept_back,
)
from splitway.errors import SetupError
from splitway.local.places import named_url
from splitway.local.runs import LocalGateway, asked_gateway
from splitway.names import ALL_HEADS, RELEASE_HEADER
from splitway.releases import check_release_name
from splitway.schemas.classify import Classes, ClassifyAnswer, HeadAnswer, HeadFailure, HeadsAnswer, PredictedClass
from splitway.schemas.message import readable

DEFAULT_TOP_K = 3
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class PictureResult:
    """An answer for one file, word for word and as it is read, or an error."""

    file: Path
    reply: Mapping[str, Any] | None = None
    answer: ClassifyAnswer | HeadsAnswer | None = None
    error: str | None = None

    @classmethod
    def of(cls, file: Path, reply: Mapping[str, Any]) -> PictureResult:
        """Read an answer. Raises ValueError for what is none."""
        form = HeadsAnswer if "heads" in reply else ClassifyAnswer
        return cls(file, reply, form.model_validate(readable(reply)))

    @property
    def heads(self) -> Mapping[str, HeadAnswer | HeadFailure]:
        """The answer of each head that was asked by name."""
        return self.answer.heads if isinstance(self.answer, HeadsAnswer) else {}

    @property
    def said(self) -> Iterable[tuple[str, HeadAnswer | HeadFailure | ClassifyAnswer]]:
        """The same with the heads' names; the answer of the default head has none."""
        return [("", self.answer)] if isinstance(self.answer, ClassifyAnswer) else self.heads.items()

    @property
    def failed(self) -> bool:
        """Whether the file, or one of the heads, has no answer."""
        return self.error is not None or any(isinstance(said, HeadFailure) for said in self.heads.values())


def parse_heads(option: str | None) -> list[str]:
    """Read names separated by commas, or `*`. Raises SetupError for empty ones, and for one that comes twice."""
    if option is None:
        return []
    heads = [name.strip() for name in option.split(",")]
    if not all(heads) or len(set(heads)) != len(heads) or (ALL_HEADS in heads and len(heads) > 1):
        raise SetupError(f"--heads needs different names separated by commas, or * for all, not {option!r}")
    return heads


def classify_files(
    files: list[Path],
    gateway: LocalGateway | str | None,
    top_k: int | None,
    heads: Sequence[str] = (),
    release: str | None = None,
) -> list[PictureResult]:
    """Send each file in turn, for the gateway's one head or for these; without an address to this folder's gateway.

    With `release` that one answers, else the one that the gateway chooses.

    Without `top_k` a multi-label head gives every label that reaches its threshold, and another head 3 classes.

    Raises:
        SetupError: the address is none, no gateway answers there, or it does not answer this caller.
    """
    local = gateway if isinstance(gateway, LocalGateway) else asked_gateway(named_url(gateway))
    say_what_is_kept_back(local)
    asked = {"heads": ",".join(heads)} if heads else {}
    if top_k is not None:
        asked["top_k"] = str(top_k)
    with gateway_client(local, _TIMEOUT_S) as client:
        if release is not None:
            check_release_name(release)
            client.headers[RELEASE_HEADER] = release
        return [_classify(client, file, asked, kept_back(local)) for file in files]


def _classify(client: httpx.Client, file: Path, asked: Mapping[str, str], keyless: str | None) -> PictureResult:
    try:
        picture = read_given(file)
    except OSError as error:
        return PictureResult(file, error=why_unread(error))
    url = str(client.base_url).rstrip("/")
    try:
        reply = client.post("/v1/classify", params=asked, content=picture, headers=headers_for(file))
    except httpx.ConnectError as error:
        raise SetupError(no_gateway(url)) from error
    except httpx.TransportError as error:
        return PictureResult(file, error=f"no answer: {error}")
    if (refused := refusal(reply, url, "infer")) is not None:
        raise SetupError(keyless or str(refused))
    return _read(file, reply, asked)


def headers_for(file: Path) -> dict[str, str]:
    """The headers that a picture is sent with, by its file's name."""
    media_type = mimetypes.guess_type(file.name)[0] or ""
    return {"content-type": media_type if media_type.startswith("image/") else "image/jpeg"}


def _read(file: Path, reply: httpx.Response, asked: Mapping[str, str]) -> PictureResult:
    with suppress(ValueError, TypeError):
        if reply.status_code in (200, 207):
            said = orjson.loads(reply.content)
            return PictureResult.of(file, said if "top_k" in asked else _with_the_usual(said))
    error = problem_of(reply).detail or f"the gateway answered {reply.status_code} in an unexpected form"
    return PictureResult(file, error=error)


def _with_the_usual(said: Any) -> Any:
    """An answer with the first classes alone, but for multi-label heads, whose labels are all right."""
    if not isinstance(said, dict):
        return said
    if isinstance(heads := said.get("heads"), dict):
        return {**said, "heads": {name: _with_the_usual(each) for name, each in heads.items()}}
    classes = said.get("predictions")
    if isinstance(classes, list) and "multi_label" not in said:
        return {**said, "predictions": classes[:DEFAULT_TOP_K]}
    return said


def print_table(results: list[PictureResult]) -> None:
    """Print one row per file, or per head where heads were asked for; errors go to stderr."""
    by_head = any(result.heads for result in results)
    columns = ("file", *(("head",) if by_head else ()), "label", "confidence", "then", "ms")
    table = Table(*columns, box=None, header_style="bold")
    for result in results:
        if result.answer is None:
            print_failure(result.file, str(result.error))
            continue
        for head, said in result.said:
            if isinstance(said, HeadFailure):
                print_failure(result.file, f"{head}: {said.error.detail}")
            else:
                named = (str(result.file), *(head,) * by_head)
                cells = (*named, *_cells(said), f"{result.answer.timings_ms.total:.1f}")
                table.add_row(*(Text(in_one_line(cell)) for cell in cells))
    if table.row_count:
        OUT.print(table)


def _cells(said: Classes) -> tuple[str, str, str]:
    if not said.predictions:
        return f"(none reaches {said.threshold or 0:g})", "", ""
    first, *others = said.predictions
    shown = others if said.multi_label else others[:2]
    then = ", ".join(f"{_label(each)} {each.confidence:.2f}" for each in shown)
    return _label(first), f"{first.confidence:.3f}", then


def _label(found: PredictedClass) -> str:
    """The class, by its number where the head has no labels."""
    return found.label or f"class {found.index}"


def print_json(results: list[PictureResult]) -> None:
    """Print one JSON object per line: the gateway's own words."""
    for result in results:
        content = result.reply if result.reply is not None else {"error": result.error}
        print_line(result.file, content)
