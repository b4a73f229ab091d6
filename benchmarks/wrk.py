"""wrk, the light load generator: closed loop, so many connections, one picture again and again."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

_SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "{media_type}"
{authorization}
local file = io.open("{picture}", "rb")
wrk.body = file:read("*all")
file:close()
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def available() -> bool:
    """Whether wrk is installed (Debian: `apt-get install wrk`)."""
    return shutil.which("wrk") is not None


def wrk(
    url: str,
    picture: Path,
    *,
    clients: int,
    seconds: float,
    media_type: str = "image/jpeg",
    key: str | None = None,
) -> dict[str, float]:
    """Load one URL; return rate per second, p50 and p99 in milliseconds and the count of errors."""
    authorization = "" if key is None else f'wrk.headers["authorization"] = "Bearer {key}"'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(picture=picture.resolve(), media_type=media_type, authorization=authorization))
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", script.name, url]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    figures: dict[str, float] = json.loads(result.stdout.strip().splitlines()[-1])
    figures["rate"] = figures["requests"] / figures["seconds"]
    return figures
