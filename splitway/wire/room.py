"""What one message between the gateway and a stage may carry, and so how many rows fit into it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Of a request to a stage, where nothing else is set."""
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Of a stage's reply, where nothing else is set."""
MAX_ROWS = 64
"""Of a request, where nothing else is set."""
_HEAD_BYTES = 16 * 1024
"""Kept free for the JSON before the binary tensors."""


def rows_that_fit(row_bytes: int, max_bytes: int) -> int | None:
    """How many rows fit into a message of `max_bytes`; None for rows that take nothing.

    A single row may take all that its JSON, which is short, leaves it.
    """
    if row_bytes <= 0:
        return None
    return max((max_bytes - _HEAD_BYTES) // row_bytes, int(row_bytes < max_bytes))


@dataclass(frozen=True)
class Room:
    """The limits that a cut has to keep: what crosses is in the reply of one stage and in the request to the next."""

    max_body_bytes: int = MAX_BODY_BYTES
    max_reply_bytes: int = MAX_REPLY_BYTES

    def rows(self, input_bytes: int, output_bytes: int) -> int | None:
        """How many rows a request may have whose rows take and give so much; None for any number."""
        fits = (rows_that_fit(input_bytes, self.max_body_bytes), rows_that_fit(output_bytes, self.max_reply_bytes))
        return min((rows for rows in fits if rows is not None), default=None)

    def why_not(self, row_bytes: int) -> str | None:
        """Why a row of what crosses a cut does not fit; None if it does."""
        if self.rows(row_bytes, row_bytes) != 0:
            return None
        of_request = self.max_body_bytes <= self.max_reply_bytes
        what, most = ("request to", self.max_body_bytes) if of_request else ("reply of", self.max_reply_bytes)
        setting = "SPLITWAY_MAX_BODY_BYTES" if of_request else "SPLITWAY_MAX_REPLY_BYTES"
        return (
            f"a row of what crosses takes {row_bytes} bytes, and one {what} a stage has at most {most}: "
            f"set {setting} higher here and where it is served, or cut elsewhere"
        )
