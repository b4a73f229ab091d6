"""Tokens of an identity provider (JWT, RFC 7519; OpenID Connect), checked after the best current practice of RFC 8725.

What is taken is fixed by the settings, never by the token: the algorithms, of which all are asymmetric; where the keys
come from; issuer and audience.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from splitway.errors import SetupError, Unauthorized
from splitway.security.callers.principal import SCOPES, Principal, Scope
from splitway.wire.deadline import Clock

if TYPE_CHECKING:
    from splitway.gateway.callers.jwks import SigningKeys

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
MAX_TOKEN_BYTES = 8 * 1024
_LEEWAY_S = 30.0
"""By which the provider's clock may be ahead."""
_PLAIN_SUBJECT = re.compile(r"[A-Za-z0-9._:@|/+=-]{1,96}")


@dataclass(frozen=True)
class TokenPolicy:
    """Which tokens are taken.

    Args:
        issuer: their issuer (`iss`).
        audience: one of their audiences (`aud`).
        keys: path or https address of the issuer's public keys, a JWK set.
        algorithms: by which they may be signed.
        most_known: of those that have been seen, how many are kept.
        fetch_timeout_s: how long an address may take to give the keys.
    """

    issuer: str
    audience: str
    keys: str
    algorithms: tuple[str, ...]
    most_known: int = 4096
    fetch_timeout_s: float = 3.0


class TokenVerifier:
    """Says whose a token is; one that has been seen is found again without any arithmetic.

    Args:
        policy: which tokens are taken.
        clock: for how old the keys are.
        now: seconds since 1970, by which tokens expire.

    Raises:
        SetupError: the library that checks tokens is not installed.
    """

    def __init__(self, policy: TokenPolicy, clock: Clock, now: Callable[[], float] = time.time) -> None:
        try:
            from splitway.gateway.callers.jwks import SigningKeys  # noqa: PLC0415 - cryptography costs 20 MB
        except ModuleNotFoundError as error:
            raise SetupError(f"tokens cannot be checked without {error.name}: install splitway[gateway]") from error
        self._policy = policy
        self._now = now
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        """Tokens that were verified, by their digests. With other keys they are forgotten, so that revoked ones are
        noticed."""
        on_change = self._known.clear
        self._keys: SigningKeys = SigningKeys(policy.keys, policy.algorithms, clock, policy.fetch_timeout_s, on_change)

    async def verify(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            Unauthorized: it is not to be believed, is not for us, or not valid now.
            Unavailable: the provider's keys could not be fetched for too long.
        """
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthorized(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        await self._keys.look()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            principal, expires_s = known
            if self._now() >= expires_s:
                del self._known[digest]
                raise Unauthorized("the token has expired")
            self._known.move_to_end(digest)
            return principal
        claims = await self._keys.verified(token, issuer=self._policy.issuer, audience=self._policy.audience)
        expires_s = self._check_times(claims)
        principal = Principal(_id(claims), _scopes(claims))
        self._known[digest] = (principal, expires_s)
        if len(self._known) > self._policy.most_known:
            self._known.popitem(last=False)
        return principal

    def _check_times(self, claims: Mapping[str, Any]) -> float:
        """Return when the token expires. Raises Unauthorized if it is not valid now."""
        now_s = self._now()
        expires_s = _seconds(claims, "exp")
        if now_s >= expires_s:
            raise Unauthorized("the token has expired")
        if "nbf" in claims and now_s + _LEEWAY_S < _seconds(claims, "nbf"):
            raise Unauthorized("the token is not valid yet")
        return expires_s


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
