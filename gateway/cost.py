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
_LARGEST_AT_ONCE = 4
"""Pictures of the largest size that one request may hold, or as many pixels in smaller ones."""


def picture_cost(picture: Buffer, max_pixels: int) -> int:
    """Return what an encoded picture costs; one, where it is none that anybody would decode.

    Raises:
        TooLarge: more than `max_pixels`.
        InvalidInput: its header does not say how large it is, or only after very many parts: a decoder would go
            through them all.
    """
    return _of_pixels(_pixels(picture, max_pixels))


def inputs_cost(inputs: Sequence[Tensor], max_pixels: int) -> int:
    """Return what a request's tensors cost, of which each has as many rows. Raises as `picture_cost`, and TooLarge for
    pictures that are too much together: more than a stage can decode while it is waited for."""
    return max((_tensor_cost(tensor, max_pixels) for tensor in inputs), default=1)


def _tensor_cost(tensor: Tensor, max_pixels: int) -> int:
    if tensor.datatype == BYTES:
        are_pictures = tensor.name == IMAGE.name and len(tensor.shape) == 1  # in another shape they are refused
        return _pictures_cost(tensor.elements, max_pixels) if are_pictures else len(tensor.elements)
    if tensor.datatype == "UINT8" and len(tensor.shape) == 4 and tensor.shape[3] in _CHANNELS:
        return tensor.rows * _of_pixels(tensor.shape[1] * tensor.shape[2])
    return tensor.rows


def _pictures_cost(pictures: Sequence[Buffer], max_pixels: int) -> int:
    each = [_pixels(picture, max_pixels) for picture in pictures]
    if sum(each) > _LARGEST_AT_ONCE * max_pixels:
        most = _LARGEST_AT_ONCE * max_pixels
        raise TooLarge(f"the pictures have {sum(each)} pixels together; at most {most} are taken in one request")
    return sum(map(_of_pixels, each))


def _pixels(picture: Buffer, max_pixels: int) -> int:
    size = picture_size(picture)
    if size is None:
        if is_picture(picture):
            raise InvalidInput("the picture's header does not say how large it is")
        return 0
    width, height = size
    if width * height > max_pixels:
        raise TooLarge(f"the picture has {width} x {height} pixels; at most {max_pixels} in all are taken")
    return width * height


def _of_pixels(pixels: int) -> int:
    return max(1, math.ceil(pixels / _PIXELS_OF_ONE))
