"""How pictures travel."""

from __future__ import annotations

from splitway.names import IMAGE
from splitway.wire.tensor import BYTES, TensorSpec

PICTURES = TensorSpec(IMAGE, BYTES, (-1,))
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp")
