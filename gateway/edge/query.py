"""What a request's query asks for."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

from starlette.requests import Request

from splitway.errors import InvalidInput
from splitway.gateway.flow.request import AskedClasses

MAX_HEADS = 16
MIN_TOP_K, MAX_TOP_K, DEFAULT_TOP_K = 1, 100, 5
_NO_TOP_K = AskedClasses(DEFAULT_TOP_K, all_labels=True)
_CLOSE = 0.75
"""How much of an unknown parameter's name must be that of a known one for it to be a slip: of `topk`, `head`, `top`."""
_MOST_COMPARED = 16
"""Each takes some ten microseconds of everyone's event loop."""


class Asked(NamedTuple):
    """What the query of a request for classes asks for."""

    classes: AskedClasses = _NO_TOP_K
    heads: tuple[str, ...] = ()
    """None where none is named."""
    timeline: bool = False


_NOTHING = Asked()
_KNOWN = ("top_k", "heads", "timeline")


def read_query(request: Request) -> Asked:
    """Read a request's query. Raises InvalidInput for what makes no sense."""
    if not request.scope["query_string"]:
        return _NOTHING
    check_names(request, _KNOWN)
    return Asked(read_top_k(request), read_heads(request), read_flag(request, "timeline"))


def check_names(request: Request, known: Collection[str]) -> None:
    """Raise InvalidInput for a parameter that is nearly a known one; other unknown ones are the callers' own."""
    for name in islice(request.query_params, _MOST_COMPARED):
        if name not in known and (meant := _meant(name[:40].lower(), known)):
            raise InvalidInput(f"there is no parameter {name[:40]!r}; did you mean {meant[0]}?")


def _meant(name: str, known: Collection[str]) -> list[str]:
    """The parameter that a slip is nearly: a slip begins as what is meant, and `ads` is not meant to be `heads`."""
    return get_close_matches(name, [each for each in known if each[0] == name[:1]], 1, _CLOSE)


def read_heads(request: Request) -> tuple[str, ...]:
    """Return the heads that are asked for; none where none is named.

    Raises:
        InvalidInput: no name, more than 16, one twice, or `*` beside others.
    """
    text = request.query_params.get("heads")
    if text is None:
        return ()
    heads = tuple(name.strip() for name in text.split(","))
    if not 1 <= len(heads) <= MAX_HEADS or not all(heads) or len(set(heads)) != len(heads):
        raise InvalidInput(f"heads must be 1 to {MAX_HEADS} different names, separated by commas, or *")
    if "*" in heads and len(heads) > 1:
        raise InvalidInput("heads=* stands for all of them: name no others beside it")
    return heads


def read_top_k(request: Request) -> AskedClasses:
    """Return how many classes are asked for. Raises InvalidInput outside 1 to 100."""
    text = request.query_params.get("top_k")
    if text is None:
        return _NO_TOP_K
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and MIN_TOP_K <= int(text) <= MAX_TOP_K):
        raise InvalidInput(f"top_k must be a whole number from {MIN_TOP_K} to {MAX_TOP_K}, not {text[:40]!r}")
    return AskedClasses(int(text))


def read_flag(request: Request, name: str) -> bool:
    """Return whether the query asks for this. Raises InvalidInput for what is neither true nor false."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, not {text[:40]!r}")
    return text == "true"
