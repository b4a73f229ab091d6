"""Settings of a stage: environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr

from splitway.kinds.image.limits import PictureLimits, memory_for_pictures
from splitway.kinds.image.settings import PictureSettings
from splitway.manifest import EngineName, Manifest
from splitway.names import Role
from splitway.releases import FILE
from splitway.runtime.engines.cores import available_cores
from splitway.wire.context import Limits
from splitway.wire.room import MAX_BODY_BYTES, MAX_REPLY_BYTES, MAX_ROWS, Room

if TYPE_CHECKING:
    from splitway.security.signing import TrustedKeys


class StageSettings(PictureSettings):
    """Read once, when the app is made."""

    models: Path = Path("models")
    """Folder of bundles: `<stage>/<version>/`."""
    model_version: str | None = None
    """Version of the stage's own model to serve; if not set the highest, and a higher one as soon as it appears."""
    bundle_key: Path | None = None
    """PEM file of one public key or several; if set, a bundle is served only if one of them has signed it."""
    engine: Literal["auto", EngineName] = "auto"
    """Engine; `auto` is the engine of the bundle's proof."""
    rescan_ms: Annotated[float, Field(ge=0)] = 2000.0
    """How often the folder of bundles is looked through for new, rewritten and removed ones, in milliseconds; 0: never
    after the start."""
    keep_old_s: Annotated[float, Field(ge=0)] = 30.0
    """How long a version that has been replaced still answers requests for its number, in seconds."""
    releases: Path | None = None
    """File of releases, whose versions in use are kept loaded; `releases.json` in the folder of bundles if not set."""
    admin_key: SecretStr | None = None
    """Opens the protocol's repository routes to callers who send it as a bearer token; they are closed if not set."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of the engine; 0 takes every core this process may use, and one for a head."""
    max_batch_rows: Annotated[int, Field(ge=0, le=4096)] = 0
    """Rows the batcher gathers before it runs the engine; 0 leaves it to the engine (litert: no gathering)."""
    max_batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """How long the first of a batch waits for others, in milliseconds."""
    queue_rows: Annotated[int, Field(ge=1)] = 1024
    """Rows that may wait for the engine; beyond it a request is answered 503."""
    max_rows: Annotated[int, Field(ge=1)] = MAX_ROWS
    """Rows of one request; fewer where so many of the model's do not fit into one."""
    max_body_bytes: Annotated[int, Field(ge=1)] = MAX_BODY_BYTES
    """Bytes of one request body, as sent and as unpacked."""
    max_reply_bytes: Annotated[int, Field(ge=1)] = MAX_REPLY_BYTES
    """Bytes of one reply that the gateway takes: a request has no more rows than fit into it."""
    body_memory_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the memory for bodies that one caller's address may take: a gateway calls for many callers."""
    decode_memory_bytes: Annotated[int, Field(ge=0)] = 0
    """Bytes of memory for what is being decoded, in all; 0: what the control group allows beside the process itself, or
    240 MB where it sets no limit."""
    default_timeout_ms: Annotated[float, Field(gt=0)] = 10_000.0
    """Time limit of a request that names none, in milliseconds."""
    max_timeout_ms: Annotated[float, Field(gt=0)] = 30_000.0
    """Longest time limit a request may ask for, in milliseconds."""

    def engine_threads(self, role: Role) -> int:
        """Threads for the engine of a bundle of this role."""
        return self.threads or (available_cores() if role == "extractor" else 1)

    def engine_for(self, manifest: Manifest) -> EngineName:
        """The engine for this bundle."""
        return manifest.engine if self.engine == "auto" else self.engine

    @property
    def trusted_keys(self) -> TrustedKeys | None:
        """The keys of which one must have signed a bundle; None where bundles need no signature.

        Raises:
            SetupError: the file that is set holds no public key.
        """
        if self.bundle_key is None:
            return None
        from splitway.security.signing import read_trusted_keys  # noqa: PLC0415 - cryptography costs 11 MB and 40 ms

        return read_trusted_keys(self.bundle_key)

    @property
    def releases_file(self) -> Path:
        return self.releases or self.models / FILE

    def rows_for(self, manifest: Manifest) -> int:
        """How many rows of this model one request may have; 0 where not even one fits.

        Encoded pictures are as large as they are, so that of pictures only what they become is counted.
        """
        room = Room(self.max_body_bytes, self.max_reply_bytes)
        input_bytes = manifest.input_row_bytes if manifest.preprocessing is None else 0
        fits = room.rows(input_bytes, manifest.output_row_bytes)
        return self.max_rows if fits is None else min(self.max_rows, fits)

    @property
    def picture_limits(self) -> PictureLimits:
        """Of one picture; the limit on memory is for pictures that are decoded outside a served stage."""
        return replace(super().picture_limits, max_memory_bytes=memory_for_pictures(self.decode_memory_bytes))

    @property
    def limits(self) -> Limits:
        return Limits(
            self.max_body_bytes,
            self.max_body_bytes,
            self.default_timeout_ms / 1e3,
            self.max_timeout_ms / 1e3,
            max_rows=self.max_rows,
        )
