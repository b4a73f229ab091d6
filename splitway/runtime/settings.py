"""What a stage can be told, by environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from splitway.manifest import EngineName, Manifest, Role
from splitway.releases import FILE
from splitway.runtime.cores import available_cores
from splitway.security.settings import SecuritySettings
from splitway.wire.v2_rest import Limits


class StageSettings(SecuritySettings):
    """Read once, when the app is made."""

    models: Path = Path("models")
    """Folder of bundles: `<stage>/<version>/`."""
    model_version: str | None = None
    """Version of the stage's own model to serve; if not set the highest, and a higher one as soon as it appears."""
    bundle_key: Path | None = None
    """PEM file of one public key or several; if set, a bundle is served only if one of them has signed it."""
    engine: Literal["auto", "litert", "tensorflow"] = "auto"
    """What executes a bundle; `auto` is what it was proved in."""
    rescan_ms: Annotated[float, Field(ge=0)] = 2000.0
    """How often the folder of bundles is looked through for new, rewritten and removed ones, in milliseconds; 0: never
    after the start."""
    keep_old_s: Annotated[float, Field(ge=0)] = 30.0
    """How long a version that has been replaced still answers whoever asks for it by number, in seconds."""
    releases: Path | None = None
    """File of releases, whose versions in use are kept loaded; `releases.json` in the folder of bundles if not set."""
    admin_key: SecretStr | None = None
    """Opens the protocol's repository routes to whoever sends it as a bearer token; they are closed if not set."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of the engine; 0 takes every core this process may use, and one for a head."""
    max_batch_rows: Annotated[int, Field(ge=0, le=4096)] = 0
    """Rows the batcher gathers before it runs the engine; 0 leaves it to the engine (litert: no gathering)."""
    max_batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How long the first of a batch waits for others, in milliseconds."""
    queue_rows: Annotated[int, Field(ge=1)] = 1024
    """Rows that may wait for the engine; beyond it a request is answered 503."""
    max_rows: Annotated[int, Field(ge=1)] = 64
    """Rows of one request."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024
    """Bytes of one request body, as sent and as unpacked."""
    body_memory_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the memory for bodies that one caller's address may take: a gateway calls for many callers."""
    max_picture_bytes: Annotated[int, Field(ge=1)] = 10 * 1024 * 1024
    """Bytes of one encoded picture."""
    max_picture_pixels: Annotated[int, Field(ge=1)] = 25_000_000
    """Pixels of one picture, width times height."""
    default_timeout_ms: Annotated[float, Field(gt=0)] = 10_000.0
    """Time limit of a request that names none, in milliseconds."""
    max_timeout_ms: Annotated[float, Field(gt=0)] = 30_000.0
    """Longest time limit a request may ask for, in milliseconds."""

    def engine_threads(self, role: Role) -> int:
        """Threads for the engine of a bundle of this role."""
        return self.threads or (available_cores() if role == "extractor" else 1)

    def engine_for(self, manifest: Manifest) -> EngineName:
        """What executes this bundle."""
        return manifest.engine if self.engine == "auto" else self.engine

    @property
    def releases_file(self) -> Path:
        return self.releases or self.models / FILE

    @property
    def limits(self) -> Limits:
        return Limits(
            self.max_body_bytes,
            self.max_body_bytes,
            self.default_timeout_ms / 1e3,
            self.max_timeout_ms / 1e3,
            max_rows=self.max_rows,
        )
