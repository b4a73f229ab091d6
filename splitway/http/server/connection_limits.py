"""What one caller may take of one connection."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionLimits:
    """What one caller may take."""

    header_timeout_s: float = 10.0
    """For a request's headers: the first one's from connecting, every other one's from its first byte."""
    body_timeout_s: float = 60.0
    answer_timeout_s: float = 30.0
    """For reading an answer, or as much of it as the kernel does not hold."""
    max_header_bytes: int = 16 * 1024
    max_headers: int = 100
    max_url_bytes: int = 8 * 1024
    max_pipelined: int = 16
    """Requests that wait behind the one that is being answered."""
