"""Handwritten digits (digits.npz) as pictures in a folder for each class: something to train a head on.

python samples/digits.py FOLDER [PICTURES_PER_CLASS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

_DIGITS = Path(__file__).with_name("digits.npz")
"""Numbers from 0 (paper) to 16 (ink): ten digits, 120 of each, 8 x 8."""
_SCALE = 12
"""Pixels of a picture for each of a digit's own."""
_BORDER = 2
"""Pixels of paper around a digit's own 8 x 8."""


def write_digits(folder: Path, per_class: int, first: int = 0) -> None:
    """Write so many pictures of each digit, from the first one on, as `folder/<digit>/<number>.png`."""
    with np.load(_DIGITS, allow_pickle=False) as archive:
        digits = archive["digits"]
    for digit in range(10):
        place = folder / str(digit)
        place.mkdir(parents=True, exist_ok=True)
        images = digits[digit, first : first + per_class]
        for number, image in enumerate(images, first):
            pixels = 255 - np.pad(np.round(image * (255 / 16)).astype(np.uint8), _BORDER)
            side = pixels.shape[0] * _SCALE
            picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            picture.save(place / f"{number:03}.png")


if __name__ == "__main__":
    write_digits(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 40)
