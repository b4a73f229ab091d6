"""How many sets of prefix codes a lossless WebP stream may ask its decoder for, read without decoding its pixels.

A decoder builds tables of up to 20 kB for each set, however few bytes say it: 300 kB of file can take hundreds of
megabytes. How many sets there may be is said behind the images of the stream's transforms, which are small where an
encoder made them; they are gone through for their length alone.
https://developers.google.com/speed/webp/docs/webp_lossless_bitstream_specification
"""

from __future__ import annotations

from splitway.errors import TooLarge
from splitway.wire.tensor import Buffer

MAX_SETS = 3_300
"""Sets of prefix codes; libwebp's encoder makes 2,600 at most, and made 3,200 at most in its first versions."""
MAX_TRANSFORM_PIXELS = 1 << 17
"""Of all transforms' images; encoders make a quarter of it, old ones all of it for 17 megapixels."""
_SIGNATURE = 0x2F
_COLOURS_BY_INDEX, _WITH_AN_IMAGE = 3, (0, 1)
_ALPHABETS = (256 + 24, 256, 256, 256, 40)
_LITERALS, _LITERALS_AND_LENGTHS = 256, 256 + 24
_ORDER = (17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
_MAX_CACHE_BITS = 11
_REPEATED = {16: (3, 2), 17: (3, 3), 18: (11, 7)}
"""Of a code length that repeats: how often at least, and bits that say how much oftener."""
_Code = tuple[int, list[int]]
"""Bits that are looked at, and for each value of them: 16 times the symbol, plus its length."""
_PADDING = bytes(8)
_NO_SYMBOL = 15 << 20 | 15


class _Bits:
    """A stream's bits, lowest first. What lies behind its end is zeros, and then an error."""

    def __init__(self, stream: Buffer) -> None:
        self._data = bytes(stream) + _PADDING
        self._end = 8 * len(stream)
        self.at = 0

    def read(self, count: int) -> int:
        at = self.at
        self.at = at + count
        if self.at > self._end:
            raise ValueError("the stream ends early")
        return int.from_bytes(self._data[at >> 3 : (at >> 3) + 4], "little") >> (at & 7) & ((1 << count) - 1)

    def symbol(self, code: _Code) -> int:
        looked_at, table = code
        at = self.at
        found = table[
            int.from_bytes(self._data[at >> 3 : (at >> 3) + 3], "little") >> (at & 7) & ((1 << looked_at) - 1)
        ]
        self.at = at + (found & 15)
        if self.at > self._end or found == _NO_SYMBOL:
            raise ValueError("the stream ends early, or has an invalid code")
        return found >> 4


def check_sets(stream: Buffer, width: int, height: int, *, has_header: bool) -> None:
    """Check that a stream asks for no more sets of prefix codes than encoders do.

    Args:
        stream: of VP8L, or of a lossless ALPH.
        width: of the picture, in pixels; `height` likewise.
        has_header: whether it begins with its size, as VP8L does.

    Raises:
        TooLarge: more sets, or larger transforms, than encoders make.
        ValueError: it cannot be read.
    """
    bits = _Bits(stream)
    if has_header:
        if bits.read(8) != _SIGNATURE:
            raise ValueError("the stream has no signature")
        width, height = bits.read(14) + 1, bits.read(14) + 1
        bits.read(4)
    width = _skip_transforms(bits, width, height)
    if bits.read(1):
        _cache_bits(bits)
    if not bits.read(1):
        return
    if _tiles(width, height, bits.read(3) + 2) > MAX_SETS:
        raise TooLarge(f"the WebP asks for more than {MAX_SETS} sets of prefix codes: encode it again")


def _tiles(width: int, height: int, size_bits: int) -> int:
    return _up(width, size_bits) * _up(height, size_bits)


def _up(length: int, size_bits: int) -> int:
    """How many tiles of this size a length has."""
    return -(-length // (1 << size_bits))


def _skip_transforms(bits: _Bits, width: int, height: int) -> int:
    """Go past the transforms, and return the width that the picture's own image has."""
    left = MAX_TRANSFORM_PIXELS
    seen: set[int] = set()
    while bits.read(1):
        kind = bits.read(2)
        if kind in seen:
            raise ValueError("a transform occurs twice")
        seen.add(kind)
        pixels = 0
        if kind in _WITH_AN_IMAGE:
            pixels = _tiles(width, height, bits.read(3) + 2)
        elif kind == _COLOURS_BY_INDEX:
            pixels = bits.read(8) + 1
            width = _up(width, 0 if pixels > 16 else 1 if pixels > 4 else 2 if pixels > 2 else 3)
        left -= pixels
        if left < 0:
            raise TooLarge("the WebP has too many transform blocks: encode it again")
        if pixels:
            _skip_image(bits, pixels)
    return width


def _cache_bits(bits: _Bits) -> int:
    size = bits.read(4)
    if not 1 <= size <= _MAX_CACHE_BITS:
        raise ValueError("a colour cache has an invalid size")
    return size


def _skip_image(bits: _Bits, pixels: int) -> None:
    """Go past a transform's image, which has one set of codes."""
    cached = 1 << _cache_bits(bits) if bits.read(1) else 0
    green, red, blue, alpha, distance = (
        _code(bits, size + (0 if place else cached)) for place, size in enumerate(_ALPHABETS)
    )
    symbol = bits.symbol
    others = [code for code in (red, blue, alpha) if code[0]]
    while pixels > 0:
        said = symbol(green)
        if said < _LITERALS:
            pixels -= 1
            for code in others:
                symbol(code)
        elif said < _LITERALS_AND_LENGTHS:
            pixels -= _number(bits, said - _LITERALS)
            _number(bits, symbol(distance))
        else:
            pixels -= 1


def _number(bits: _Bits, prefix: int) -> int:
    """A length or a distance, of which a prefix says how many bits follow."""
    if prefix < 4:
        return prefix + 1
    more = (prefix - 2) >> 1
    return ((2 + (prefix & 1)) << more) + bits.read(more) + 1


def _code(bits: _Bits, symbols: int) -> _Code:
    """Read a prefix code of so many symbols."""
    if not bits.read(1):
        return _made(_lengths(bits, symbols))
    both = bits.read(1)
    named = {bits.read(8 if bits.read(1) else 1)}
    if both:
        named.add(bits.read(8))
    return _made([1 if symbol in named else 0 for symbol in range(symbols)])


def _lengths(bits: _Bits, symbols: int) -> list[int]:
    """The lengths of a code's symbols, which are written in a code of their own."""
    of_lengths = [0] * len(_ORDER)
    for place in _ORDER[: 4 + bits.read(4)]:
        of_lengths[place] = bits.read(3)
    code = _made(of_lengths)
    left = 2 + bits.read(2 + 2 * bits.read(3)) if bits.read(1) else symbols
    lengths: list[int] = []
    before = 8
    while len(lengths) < symbols and left > 0:
        left -= 1
        said = bits.symbol(code)
        if said < 16:
            lengths.append(said)
            before = said or before
        else:
            least, more = _REPEATED[said]
            lengths += [before if said == 16 else 0] * (least + bits.read(more))
    if len(lengths) > symbols:
        raise ValueError("a prefix code has more symbols than there are")
    return lengths


def _made(lengths: list[int]) -> _Code:
    """The table of a canonical prefix code; a code of one symbol takes no bits."""
    used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
    if not used:
        raise ValueError("a prefix code has no symbols")
    if len(used) == 1:
        return 0, [used[0][1] << 4]
    longest = used[-1][0]
    table = [_NO_SYMBOL] * (1 << longest)
    code = before = 0
    for length, symbol in used:
        code <<= length - before
        before = length
        if code >> length:
            raise ValueError("a prefix code has more codes than fit")
        reversed_ = int(f"{code:0{length}b}"[::-1], 2)
        table[reversed_ :: 1 << length] = [symbol << 4 | length] * (1 << (longest - length))
        code += 1
    return longest, table
