"""Tokens of an identity provider (JWT, RFC 7519; OpenID Connect), checked after the best current practice of RFC 8725.

What is taken is fixed by the settings, never by the token: the algorithms, of which all are asymmetric; where the keys
come from; issuer and audience.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from splitway.errors import Unauthorized
from splitway.security.callers.principal import SCOPES, Principal, Scope

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_LEEWAY_S = 30.0
"""By which the provider's clock may be ahead."""
_PLAIN_SUBJECT = re.compile(r"[A-Za-z0-9._:@|/+=-]{1,96}")


@dataclass(frozen=True)
class TokenPolicy:
    """Which tokens are taken: their issuer (`iss`), one of their audiences (`aud`), and how they may be signed."""

    issuer: str
    audience: str
    keys: str
    """Path or https address of the issuer's public keys, a JWK set."""
    algorithms: tuple[str, ...]
    most_known: int = 4096
    """Of those that have been seen, how many are kept."""
    fetch_timeout_s: float = 3.0
    """How long an address may take to give the keys."""


def read_claims(claims: Mapping[str, Any], now_s: float) -> tuple[Principal, float]:
    """Return whose a token with these claims is, and when it expires.

    Raises Unauthorized if it is not valid yet; one that has expired is left to the caller.
    """
    expires_s = _seconds(claims, "exp")
    if now_s < expires_s and "nbf" in claims and now_s + _LEEWAY_S < _seconds(claims, "nbf"):
        raise Unauthorized("the token is not valid yet")
    return Principal(_id(claims), _scopes(claims)), expires_s


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    try:
        seconds = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:  # a whole number of hundreds of digits
        seconds = math.inf
    if not math.isfinite(seconds):
        raise Unauthorized(f"the token's {name} is not a time")
    return seconds


def _id(claims: Mapping[str, Any]) -> str:
    """The caller's name in logs and counts: the subject, or its hash where that could not stand there."""
    subject = claims["sub"]
    if _PLAIN_SUBJECT.fullmatch(subject):
        return f"jwt:{subject}"
    return f"jwt:sha256:{hashlib.sha256(subject.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Those of ours that the token names; providers write them as one string or a list, in `scope` or `scp`."""
    named: set[str] = set()
    for claim in ("scope", "scp"):
        value = claims.get(claim)
        if isinstance(value, str):
            named.update(value.split())
        elif isinstance(value, list):
            named.update(each for each in value if isinstance(each, str))
    return frozenset(scope for scope in SCOPES if scope in named)
