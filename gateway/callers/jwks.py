"""Tokens verified by the public keys of their identity provider, which are fetched when they are due.

Imported where tokens are taken alone: cryptography costs 20 MB.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from splitway.errors import Unauthorized, Unavailable
from splitway.gateway.callers.tokens import TokenPolicy, read_claims
from splitway.security.callers.principal import Principal
from splitway.wire.deadline import Clock

MAX_TOKEN_BYTES = 8 * 1024
_KEPT_S = 3600.0
"""How long keys are believed while no newer ones can be had."""
_UNKNOWN_AGAIN_S = 30.0
"""How often a key that is not there may cause another look: any caller can make one up."""
_FAILED_AGAIN_S = 5.0
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 64
_MIN_RSA_BITS = 2048
_TYPES = (None, "JWT", "AT+JWT", "APPLICATION/AT+JWT")
_REQUIRED = ["exp", "iss", "aud", "sub"]
_log = logging.getLogger(__name__)


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_MAX_BYTES + 1)


async def _fetch(url: str, timeout_s: float) -> bytes:
    """The set at an address, which is asked without proxies, redirects or credentials."""
    import httpx  # noqa: PLC0415 - large, and needed where keys are fetched alone

    headers = {"accept": "application/json", "accept-encoding": "identity"}
    client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout_s, headers=headers)
    text = b""
    async with asyncio.timeout(timeout_s), client, client.stream("GET", url) as reply:
        if reply.status_code != 200:
            raise ValueError(f"status {reply.status_code}")
        async for chunk in reply.aiter_raw():
            text += chunk
            if len(text) > _MAX_BYTES:
                break
    return text


_Key = dict[str, PyJWK]
"""One key, as PyJWT reads it for each algorithm that it fits."""


class TokenVerifier:
    """Says whose a token is; one that has been seen is found again without any arithmetic.

    Args:
        policy: which tokens are taken.
        clock: for how old the keys are.
        now: seconds since 1970, by which tokens expire.
    """

    def __init__(self, policy: TokenPolicy, clock: Clock, now: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._now = now
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        """Tokens that were verified, by their digests. With other keys they are forgotten, so that revoked ones are
        noticed."""
        self._keys = SigningKeys(policy, clock, self._known.clear)

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
        known = self._known.pop(digest, None)
        if known is None:
            known = read_claims(await self._keys.verified(token), self._now())
        principal, expires_s = known
        if self._now() >= expires_s:
            raise Unauthorized("the token has expired")
        self._known[digest] = known
        if len(self._known) > self._policy.most_known:
            self._known.popitem(last=False)
        return principal


class SigningKeys:
    """The keys as they were fetched last; `on_change` is called when they are others than before."""

    def __init__(self, policy: TokenPolicy, clock: Clock, on_change: Callable[[], None]) -> None:
        place, timeout_s = policy.keys, policy.fetch_timeout_s
        is_address = "://" in place
        self._fetch = partial(_fetch, place, timeout_s) if is_address else partial(asyncio.to_thread, _read_file, place)
        self._every_s = 300.0 if is_address else 1.0
        """How often it is worth a look."""
        self._policy = policy
        self._clock = clock
        self._keys: tuple[_Key, ...] = ()
        self._text = b""
        self._confirmed_s = self._tried_s = self._looked_for_unknown_s = -math.inf
        self._under_way: asyncio.Task[None] | None = None
        self._failed = False
        self._on_change = on_change

    async def look(self) -> None:
        """See to it that there are keys: the first are waited for, later ones fetched beside the work.

        Raises:
            Unavailable: there are none, or none that can still be believed.
        """
        now_s = self._clock()
        age_s = now_s - self._confirmed_s
        if age_s < self._every_s:
            return
        if self._under_way is None and now_s - self._tried_s >= min(_FAILED_AGAIN_S, self._every_s):
            self._begin()
        if age_s < _KEPT_S:
            return
        if self._under_way is not None:
            await asyncio.shield(self._under_way)
        if self._clock() - self._confirmed_s >= _KEPT_S:
            raise Unavailable("the identity provider's keys are not available now", retry_after_s=_FAILED_AGAIN_S)

    def _begin(self) -> None:
        self._tried_s = self._clock()
        self._under_way = asyncio.create_task(self._refresh(), name="fetch signing keys")

    async def _refresh(self) -> None:
        try:
            text = await self._fetch()
            if text != self._text:
                self._keys = _read_set(text, self._policy.algorithms)
                self._text = text
                self._on_change()
            self._confirmed_s, self._failed = self._clock(), False
        except Exception as error:  # whatever is wrong there, the last keys stay in force for a while
            if not self._failed:
                why = error if isinstance(error, ValueError) else type(error).__name__
                _log.warning("the identity provider's keys cannot be fetched: %s", why)
            self._failed = True
        finally:
            self._under_way = None

    async def verified(self, token: str) -> Mapping[str, Any]:
        """Verify signature, issuer and audience, and return the claims. The caller checks the times.

        Raises:
            Unauthorized: none of the keys has signed it, or it is from another issuer or for another audience.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = self._checked(header)
            key = await self._find(header.get("kid"), algorithm)
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._policy.issuer,
                audience=self._policy.audience,
                options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthorized(_in_words(error)) from None

    def _checked(self, header: Mapping[str, Any]) -> str:
        """The algorithm of a token whose header asks nothing of us that we do not do. Raises Unauthorized."""
        algorithm, kind, taken = header.get("alg"), header.get("typ"), self._policy.algorithms
        if not isinstance(algorithm, str) or algorithm not in taken:
            raise Unauthorized(f"the token's algorithm must be one of {', '.join(taken)}")
        if (kind.upper() if isinstance(kind, str) else kind) not in _TYPES or "crit" in header:
            raise Unauthorized("this type of token is not accepted here")
        return algorithm

    async def _find(self, id_: str | None, algorithm: str) -> PyJWK:
        key = self._match(id_, algorithm)
        if key is None and id_ is not None:
            await self._look_for_unknown()
            key = self._match(id_, algorithm)
        if key is None:
            raise Unauthorized("the token is signed by an unknown key")
        return key

    def _match(self, id_: str | None, algorithm: str) -> PyJWK | None:
        """The key of this id; where none is named, there must be no choice."""
        for fits in self._keys:
            key = fits.get(algorithm)
            if key is not None and (key.key_id == id_ if id_ is not None else len(self._keys) == 1):
                return key
        return None

    async def _look_for_unknown(self) -> None:
        """Fetch the keys again: the provider may have a new one."""
        now_s = self._clock()
        if self._under_way is None:
            if now_s - self._looked_for_unknown_s < _UNKNOWN_AGAIN_S:
                return
            self._looked_for_unknown_s = now_s
            self._begin()
        if self._under_way is not None:
            await asyncio.shield(self._under_way)


def _read_set(text: bytes, algorithms: tuple[str, ...]) -> tuple[_Key, ...]:
    """The keys of a JWK set that can be used. Raises ValueError if there is none."""
    if len(text) > _MAX_BYTES:
        raise ValueError(f"more than {_MAX_BYTES} bytes")
    content = orjson.loads(text)
    entries = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError(f"it is not a JWK set of at most {_MAX_KEYS} keys")
    found = [_read_key(entry, algorithms) for entry in entries if isinstance(entry, dict)]
    keys = tuple(key for key in found if key)
    if not keys:
        raise ValueError(f"it has no key for {', '.join(algorithms)} among them")
    return keys


def _read_key(entry: dict[str, Any], algorithms: tuple[str, ...]) -> _Key:
    """One key for each algorithm that it fits; none if it is for something else, or is no public key."""
    if "d" in entry or entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return {}
    fits = {}
    for name in algorithms:
        if entry.get("alg") in (None, name):
            with suppress(jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
                fits[name] = PyJWK(entry, name)
    return {name: key for name, key in fits.items() if _is_strong(key.key)}


def _is_strong(key: Any) -> bool:
    """Whether this is a public key of a kind, size and curve that are taken."""
    if isinstance(key, RSAPublicKey):
        return key.key_size >= _MIN_RSA_BITS
    if isinstance(key, EllipticCurvePublicKey):
        return isinstance(key.curve, SECP256R1)
    return isinstance(key, Ed25519PublicKey)


def _in_words(error: Exception) -> str:
    """A sentence for the sender about what is wrong with a token, without its content."""
    for kind, words in {
        jwt.InvalidSignatureError: "the token's signature is not valid",
        jwt.InvalidIssuerError: "the token is from another issuer",
        jwt.InvalidAudienceError: "the token is for another audience",
        jwt.MissingRequiredClaimError: f"the token must have {', '.join(_REQUIRED)}",
    }.items():
        if isinstance(error, kind):
            return words
    return "not a valid token"
