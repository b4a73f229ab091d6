"""What `splitway up` says when everything is ready: the page, a first command, the log, how to stop."""

from __future__ import annotations

import json
import math
import shlex
from contextlib import suppress
from pathlib import Path

from splitway.bundle_graph import Chain, find_chain
from splitway.errors import OfflineError
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.manifest import Manifest

_PICTURE, _LABEL = Path("samples/cat.jpg"), "Egyptian cat"
_MOST_VALUES = 16
"""Of a row that is written out."""


def banner(plan: LaunchPlan, pipeline: LocalPipeline, name: str | None, seconds: float) -> list[str]:
    """Return the lines. The first has the address."""
    url, named = pipeline.gateway.url, "" if name is None else f" --name {name}"
    stops = "Ctrl-C stops everything" if plan.log is None else f"splitway down{named} stops everything"
    log = "this terminal" if plan.log is None else f"{plan.log} (splitway logs -f{named})"
    return [
        f"ready in {seconds:.1f} s: {url}; {stops}",
        f"  page  {url}/",
        f"  try   {_first_command(plan, url, named)}",
        f"  log   {log}",
    ]


def _first_command(plan: LaunchPlan, url: str, named: str) -> str:
    try:
        chain = find_chain(plan.models)
    except OfflineError:  # the newest bundles; those that are served may be others
        return _curl(plan, f"{url}/v2/models/pipeline")
    if _labels_pictures(chain):
        return f"splitway classify{named} {_PICTURE if _PICTURE.exists() and _knows_it(chain) else 'PICTURE.jpg'}"
    body = _a_row(chain.extractor.manifest)
    return _curl(plan, f"{url}/v2/models/pipeline" + ("" if body is None else "/infer"), body)


def _labels_pictures(chain: Chain) -> bool:
    gives_labels = any(head.manifest.labels is not None for head in chain.heads.values())
    return chain.extractor.manifest.preprocessing is not None and gives_labels


def _knows_it(chain: Chain) -> bool:
    """Whether the default head, as ImageNet's, has a label for our own picture."""
    manifest = (head := chain.heads[chain.default_head]).manifest
    with suppress(OSError, ValueError):
        return manifest.labels is not None and _LABEL in (head.folder / manifest.labels).read_text().splitlines()
    return False


def _a_row(manifest: Manifest) -> str | None:
    """Return a request of one row of zeros; None where that would be too long to read, or is no row of numbers."""
    shapes = [(1, *(max(size, 1) for size in entry.shape[1:])) for entry in manifest.inputs]
    if manifest.preprocessing is not None or sum(map(math.prod, shapes)) > _MOST_VALUES:
        return None
    inputs = [
        {"name": entry.name, "shape": shape, "datatype": entry.datatype, "data": [0] * math.prod(shape)}
        for entry, shape in zip(manifest.inputs, shapes, strict=True)
    ]
    return json.dumps({"inputs": inputs}, separators=(",", ":"))


def _curl(plan: LaunchPlan, url: str, body: str | None = None) -> str:
    trust = [] if plan.tls is None else ["--cacert", str(plan.tls.certificate)]
    return shlex.join(["curl", "-s", *trust, *([] if body is None else ["-d", body]), url])
