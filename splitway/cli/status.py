"""A look at a gateway's `/v1/pipeline`: its status as it is read, or why there is none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson
from pydantic import ValidationError

from splitway.cli.credentials import KeyRefusal, no_gateway, problem_of, refusal
from splitway.errors import first_line, printable
from splitway.schemas.message import readable
from splitway.schemas.pipeline import PipelineStatus
from splitway.telemetry.outcome import CALLERS, CANCELLED, OK

PATH = "/v1/pipeline"
TIMEOUT_S = 2.0
_NO_FAULT_OF_OURS = {OK, CANCELLED} | CALLERS


def failures(outcomes: Mapping[str, int]) -> int:
    """How many ended in a failure of ours: neither answered, nor given up, nor refused for the caller's mistake."""
    return sum(count for outcome, count in outcomes.items() if outcome not in _NO_FAULT_OF_OURS)


@dataclass(frozen=True)
class Look:
    """One answer of the gateway, word for word and as it is read, or why there is none."""

    url: str
    at: datetime
    at_s: float
    """When, by a clock that only goes forward."""
    answer: Mapping[str, Any]
    status: PipelineStatus | None = None
    trouble: str | None = None
    """A sentence instead of the two."""
    refused: KeyRefusal | None = None
    """The same, where it is about who asks."""

    @property
    def is_ready(self) -> bool:
        return self.status is not None and self.status.ready

    def to_json(self) -> str:
        """One line: the gateway's own words, with when and where they were heard."""
        heard = {"at": self.at.astimezone().isoformat(timespec="milliseconds"), "url": self.url}
        said = self.answer if self.trouble is None else {"ready": False, "reason": self.trouble}
        return json.dumps({**heard, **said}, ensure_ascii=False)


def ask(client: httpx.Client, url: str, headers: Mapping[str, str] | None = None) -> Look:
    """Ask a gateway once; whatever comes of it is a look."""
    at_s = time.monotonic()
    heard: httpx.Response | httpx.HTTPError | httpx.InvalidURL
    try:
        heard = client.get(f"{url}{PATH}", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        heard = error
    return look_of(url, heard, datetime.now().astimezone(), at_s)


def look_of(url: str, heard: httpx.Response | httpx.HTTPError | httpx.InvalidURL, at: datetime, at_s: float) -> Look:
    """Make a look of an answer, whatever it holds, or of why there is none."""
    if not isinstance(heard, httpx.Response):
        return Look(url, at, at_s, {}, trouble=_no_answer(url, heard))
    if (refused := refusal(heard, url, "metrics")) is not None:
        return Look(url, at, at_s, {}, trouble=f"{refused}", refused=refused)
    try:
        answer = readable(orjson.loads(heard.raise_for_status().content))
        return Look(url, at, at_s, answer, PipelineStatus.model_validate(answer))
    except httpx.HTTPStatusError:
        said = problem_of(heard).detail or "is it a Splitway gateway?"
        trouble = f"{url} answers {heard.status_code} to {PATH}: {said}"
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "all of it"
        trouble = f"{url} answers {PATH} in a form that is not a gateway's ({where}): is it another version?"
    except ValueError:
        trouble = f"{url} answers {PATH} with something that is not JSON: is it a Splitway gateway?"
    return Look(url, at, at_s, {}, trouble=trouble)


def _no_answer(url: str, error: httpx.HTTPError | httpx.InvalidURL) -> str:
    if isinstance(error, httpx.ConnectError):
        return no_gateway(url)
    if isinstance(error, httpx.TimeoutException):
        return f"the gateway at {url} has not answered within {TIMEOUT_S:g} s; its log says more"
    return f"the gateway at {url} gives no answer: {printable(first_line(error))}"
