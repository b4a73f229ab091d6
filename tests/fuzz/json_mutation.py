"""Changes to JSON that leave it JSON: the readers behind the parser are in C and Rust, and tell the fuzzer nothing of
what they look for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

import orjson

Mutate = Callable[[bytes, int], bytes]
Place = tuple[Any, Any]
"""An object or a list, and a key or an index in it."""
_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "1", "fs:0123456789abcdef", "é\u202e\0", "../x", "a" * 300, [], {}, [[]], {"a": 1}),
    *(0, -1, 1, 2, 3, 255, 2**31, 2**32, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 0.5, -0.0, 1e308, 5e-324),
)
_LITERALS = (b"1e999", b"-1e999", b"NaN", b"Infinity", b"18446744073709551616", b"1" * 400, b'"\\ud800"', b"[" * 300)
"""What not every reader of JSON takes, in place of a value."""
_MAX_DEPTH = 50
_HOLE = "\u2603"


def mutated_json(text: bytes, random: Random, mutate: Mutate) -> bytes:
    """Change one or two values somewhere in JSON; what is none is changed as bytes are."""
    try:
        content = [orjson.loads(text)]
    except orjson.JSONDecodeError:
        return mutate(text, len(text) + 16)
    for _ in range(random.randint(1, 2)):
        places = [*_places(content)]
        if places:
            _change(*random.choice(places), random, mutate)
    try:
        out = orjson.dumps(content[0] if content else None)
    except orjson.JSONEncodeError:
        return text
    return out.replace(b'"' + _HOLE.encode() + b'"', random.choice(_LITERALS))


def _places(content: Any, depth: int = 0) -> Iterator[Place]:
    """Every value's place, from the outside in, but for what is very deep."""
    for key in content if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list) and depth < _MAX_DEPTH:
            yield from _places(content[key], depth + 1)


def _change(owner: Any, key: Any, random: Random, mutate: Mutate) -> None:
    what = random.random()
    if what < 0.1:
        del owner[key]
    elif what < 0.2 and isinstance(owner, list):
        owner.insert(key, deepcopy(owner[key]))
    elif what < 0.2:
        owner[random.choice(("x", *owner))] = deepcopy(owner[key])
    else:
        owner[key] = _another(owner[key], random, mutate)


def _another(value: Any, random: Random, mutate: Mutate) -> Any:
    what = random.random()
    if what < 0.2:
        return _HOLE
    if what < 0.5 and isinstance(value, str):
        return mutate(value.encode(), len(value) + 8).decode(errors="replace")
    if what < 0.5 and isinstance(value, int | float):
        return value + random.choice((-1, 1, 0.5, 2**31))
    return deepcopy(random.choice(_VALUES))
