"""What a request costs: each row one, and a picture one for each megapixel that it has begun."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway.inventory import IMAGE
from gateway.picture_size import is_picture, picture_size
from splitway.errors import InvalidInput, TooLarge
from splitway.wire.tensor import BYTES, Buffer, Tensor

_PIXELS_OF_ONE = 1_000_000
_CHANNELS = (1, 3, 4)


def picture_cost(picture: Buffer, max_pixels: int) -> int:
    """Return what an encoded picture costs; one, where it is none that anybody would decode.

    Raises:
        TooLarge: more than `max_pixels`.
        InvalidInput: its header does not say how large it is, or only after very many parts: a decoder would go
            through them all.
    """
    size = picture_size(picture)
    if size is None:
        if is_picture(picture):
            raise InvalidInput("the picture's header does not say how large it is")
        return 1
    width, height = size
    if width * height > max_pixels:
        raise TooLarge(f"the picture has {width} x {height} pixels; at most {max_pixels} in all are taken")
    return _of_pixels(width * height)


def inputs_cost(inputs: Sequence[Tensor], max_pixels: int) -> int:
    """Return what a request's tensors cost, of which each has as many rows. Raises as `picture_cost`."""
    return max((_tensor_cost(tensor, max_pixels) for tensor in inputs), default=1)


def _tensor_cost(tensor: Tensor, max_pixels: int) -> int:
    if tensor.datatype == BYTES:
        if tensor.name != IMAGE.name:
            return len(tensor.elements)
        return sum(picture_cost(element, max_pixels) for element in tensor.elements)
    if tensor.datatype == "UINT8" and len(tensor.shape) == 4 and tensor.shape[3] in _CHANNELS:
        return tensor.rows * _of_pixels(tensor.shape[1] * tensor.shape[2])
    return tensor.rows


def _of_pixels(pixels: int) -> int:
    return max(1, math.ceil(pixels / _PIXELS_OF_ONE))
