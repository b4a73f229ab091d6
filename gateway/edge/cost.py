"""What a request costs: each row one, and a picture one for each megapixel begun, or each 10 ms of a processor that
decoding it is estimated to take, whichever is more."""

from __future__ import annotations

import math
from collections.abc import Sequence

from splitway.errors import InvalidInput, TooLarge
from splitway.kinds.image.kind import PICTURES
from splitway.kinds.image.limits import PictureLimits, check_seconds
from splitway.kinds.image.look import look
from splitway.wire.tensor import BYTES, Buffer, Tensor

_PIXELS_OF_ONE = 1_000_000
_SECONDS_OF_ONE = 0.01
_CHANNELS = (1, 3, 4)
_LARGEST_AT_ONCE = 4
"""Pictures of the largest size that one request may hold, or as many pixels or seconds in smaller ones."""


def picture_cost(picture: Buffer, limits: PictureLimits) -> int:
    """Return what an encoded picture costs; one, where it is none that a stage would decode.

    Raises:
        TooLarge: it takes more than the limits.
        InvalidInput: it has more parts than pictures have, or its header does not say how large it is.
    """
    return _of(*_weight(picture, limits))


def inputs_cost(inputs: Sequence[Tensor], limits: PictureLimits) -> int:
    """Return what a request's tensors cost, of which each has as many rows. Raises as `picture_cost`, and TooLarge for
    pictures that are too much together: more than a stage can decode while it is waited for."""
    return max((_tensor_cost(tensor, limits) for tensor in inputs), default=1)


def _tensor_cost(tensor: Tensor, limits: PictureLimits) -> int:
    if tensor.datatype == BYTES:
        are_pictures = tensor.name == PICTURES.name and len(tensor.shape) == 1  # in another shape they are refused
        return _pictures_cost(tensor.elements, limits) if are_pictures else len(tensor.elements)
    if tensor.datatype == "UINT8" and len(tensor.shape) == 4 and tensor.shape[3] in _CHANNELS:
        return tensor.rows * _of(tensor.shape[1] * tensor.shape[2], 0.0)
    return tensor.rows


def _pictures_cost(pictures: Sequence[Buffer], limits: PictureLimits) -> int:
    weights = [_weight(picture, limits) for picture in pictures]
    pixels = sum(each for each, _ in weights)
    if pixels > (most := _LARGEST_AT_ONCE * limits.max_pixels):
        raise TooLarge(f"the pictures have {pixels} pixels together; at most {most} are allowed in one request")
    seconds = sum(each for _, each in weights)
    if seconds > (longest := _LARGEST_AT_ONCE * limits.max_seconds):
        raise TooLarge(
            f"decoding the pictures would take up to {seconds:.1f} s of CPU together; at most {longest:g} s are "
            "allowed for one request"
        )
    return sum(_of(*weight) for weight in weights)


def _weight(data: Buffer, limits: PictureLimits) -> tuple[int, float]:
    """Pixels and seconds of a processor; nothing of what is no picture. Raises as `picture_cost`."""
    picture = look(data)
    if picture is None:
        return 0, 0.0
    pixels = picture.width * picture.height
    if not pixels:
        raise InvalidInput("the picture's header does not say how large it is")
    if pixels > limits.max_pixels:
        size = f"{picture.width} x {picture.height}"
        raise TooLarge(f"the picture has {size} pixels; at most {limits.max_pixels} in total are allowed")
    seconds = picture.seconds
    if seconds > limits.max_seconds:
        check_seconds(picture, limits.max_seconds)
    return pixels, seconds


def _of(pixels: int, seconds: float) -> int:
    return max(1, math.ceil(pixels / _PIXELS_OF_ONE), math.ceil(seconds / _SECONDS_OF_ONE))
