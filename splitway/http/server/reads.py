"""What a connection reads next."""

from __future__ import annotations

from enum import Enum


class Reads(Enum):
    """What a connection reads next."""

    FIRST = "the first request"
    HEAD = "the headers"
    BODY = "the body"
    NOTHING = "nothing: the whole request is here and is being answered"
    REST = "the rest of a body whose request has been answered already"
    NEXT = "another request"
    END = "nothing any more: what still comes is thrown away"


FIRST, HEAD, BODY, NOTHING, REST, NEXT, END = Reads  # looked up for every request; as attributes they cost more
