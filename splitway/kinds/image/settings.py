"""Settings of every process that takes pictures: environment variables with the prefix SPLITWAY_."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from splitway.kinds.image.limits import MAX_SECONDS, PictureLimits
from splitway.security.settings import SecuritySettings


class PictureSettings(SecuritySettings):
    """Read once, when the process starts; the gateway's settings and a stage's go on from here."""

    max_picture_bytes: Annotated[int, Field(ge=1)] = 10 * 1024 * 1024
    """Bytes of one encoded picture."""
    max_picture_pixels: Annotated[int, Field(ge=1)] = 25_000_000
    """Pixels of one picture, width times height."""
    max_picture_seconds: Annotated[float, Field(gt=0)] = MAX_SECONDS
    """Seconds of a processor that decoding one picture may take, as estimated from its header."""

    @property
    def picture_limits(self) -> PictureLimits:
        """Of one picture."""
        return PictureLimits(self.max_picture_bytes, self.max_picture_pixels, self.max_picture_seconds)
