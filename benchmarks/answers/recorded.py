"""One request as it is sent to both pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CLASSIFY, INFER, METADATA = "/v1/classify", "/v2/models/pipeline/infer", "/v2/models/pipeline"
_FIXED = {
    "host": "localhost",
    "connection": "close",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


@dataclass(frozen=True)
class Recorded:
    """One request."""

    name: str
    method: str
    target: str
    headers: Mapping[str, str]
    """Those of `_FIXED` are sent too, where they are not given; with an empty value none of that name is."""
    body: bytes = b""
    setup: str = "open"
    to: str = "gateway"

    def encoded(self, number: int) -> bytes:
        """The request as bytes."""
        headers = {**_FIXED, "x-request-id": f"recorded-{number}", **self.headers}
        if self.body:
            headers = {"content-length": str(len(self.body)), **headers}
        lines = [
            f"{self.method} {self.target} HTTP/1.1",
            *(f"{name}: {each}" for name, each in headers.items() if each),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body
