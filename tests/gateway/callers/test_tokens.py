"""Tokens of an identity provider: the good ones, and every way to forge one that RFC 8725 warns of."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from splitway.errors import SetupError, Unauthorized, Unavailable
from splitway.gateway.callers.jwks import MAX_TOKEN_BYTES, TokenVerifier
from splitway.gateway.callers.tokens import TokenPolicy
from splitway.gateway.settings import GatewaySettings
from splitway.gateway.wiring import token_policy
from tests.gateway.conftest import Gateway
from tests.gateway.resilience.support import Clock

ISSUER, AUDIENCE = "https://id.example", "splitway"
NOW_S = 1_800_000_000.0
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW_S + 600, "scope": "infer openid"}
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """The public half of a key, as a provider publishes it."""
    is_rsa, is_ec = isinstance(key, rsa.RSAPrivateKey), isinstance(key, ec.EllipticCurvePrivateKey)
    reader: Any = RSAAlgorithm if is_rsa else ECAlgorithm if is_ec else OKPAlgorithm
    public: dict[str, Any] = reader.to_jwk(key.public_key(), as_dict=True)
    return {**public, **({} if kid is None else {"kid": kid}), "use": "sig", **more}


KEYS = [jwk(RSA_KEY, "r"), jwk(EC_KEY, "e"), jwk(ED_KEY, "d")]


def token(key: Any = RSA_KEY, algorithm: str = "RS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(said, key, algorithm, headers={"kid": "r"} if header is None else header)


def forged(header: dict[str, Any], secret: bytes | None = None) -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, CLAIMS)]
    text = b".".join(parts)
    signature = b"" if secret is None else hmac.digest(secret, text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Verifier:
    """A verifier with its own clocks and a file of keys."""

    def __init__(self, folder: Path, keys: list[dict[str, Any]], algorithms: tuple[str, ...], **more: int) -> None:
        self.file = folder / "keys.json"
        self.write(keys)
        self.clock, self.now_s = Clock(), NOW_S
        policy = TokenPolicy(ISSUER, AUDIENCE, str(self.file), algorithms, **more)
        self._verifier = TokenVerifier(policy, self.clock, lambda: self.now_s)

    def write(self, keys: list[dict[str, Any]]) -> None:
        self.file.write_text(json.dumps({"keys": keys}))

    async def scopes(self, text: str) -> tuple[str, list[str]]:
        principal = await self._verifier.verify(text)
        return principal.id, sorted(principal.scopes)

    async def refusal(self, text: str) -> str:
        with pytest.raises(Unauthorized) as caught:
            await self._verifier.verify(text)
        return caught.value.detail


@pytest.fixture
def verifier(tmp_path: Path) -> Verifier:
    return Verifier(tmp_path, KEYS, ("RS256", "ES256", "EdDSA"))


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA_KEY, "RS256", "r"), (EC_KEY, "ES256", "e"), (ED_KEY, "EdDSA", "d")]
)
async def test_whose_a_token_is(verifier: Verifier, key: Any, algorithm: str, kid: str) -> None:
    assert await verifier.scopes(token(key, algorithm, {"kid": kid})) == ("jwt:ada", ["infer"])


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "infer metrics admin root"}, ["admin", "infer", "metrics"]),
        ({"scope": ["infer", 7]}, ["infer"]),
        ({"scope": None, "scp": "metrics"}, ["metrics"]),
        ({"scope": "infer", "scp": ["admin"]}, ["admin", "infer"]),
        ({"scope": None}, []),
        ({"scope": 7}, []),
    ],
)
async def test_scopes_as_providers_write_them(verifier: Verifier, claims: dict[str, Any], scopes: list[str]) -> None:
    assert (await verifier.scopes(token(**claims)))[1] == scopes


@pytest.mark.parametrize("subject", ["ada\nlevel=error", "x" * 97, "é", "", "\ud800"])
async def test_a_subject_that_cannot_stand_in_a_log_is_named_by_its_hash(verifier: Verifier, subject: str) -> None:
    id_, _ = await verifier.scopes(token(sub=subject))
    assert id_ == f"jwt:sha256:{hashlib.sha256(subject.encode(errors='surrogatepass')).hexdigest()[:32]}"


PEM = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
SELF_MADE = {"kid": "r", "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/", "jwk": jwk(OTHER_KEY, "r")}
ATTACKS: dict[str, tuple[str, str]] = {
    "alg none": (forged({"alg": "none", "kid": "r"}), "algorithm must be one of"),
    "alg None, in capitals": (forged({"alg": "NONE", "kid": "r"}), "algorithm must be one of"),
    "HS256 with the public key as secret": (forged({"alg": "HS256", "kid": "r"}, PEM), "algorithm must be one of"),
    "an algorithm that is not set": (token(RSA_KEY, "PS256"), "algorithm must be one of"),
    "an algorithm that is no text": (forged({"alg": ["RS256"], "kid": "r"}), "algorithm must be one of"),
    "an algorithm of another key": (token(EC_KEY, "ES256", {"kid": "r"}), "an unknown key"),
    "a stranger's key": (token(OTHER_KEY), "signature is not valid"),
    "keys that the token brings along": (token(OTHER_KEY, header=SELF_MADE), "signature is not valid"),
    "no key named": (jwt.encode(CLAIMS, RSA_KEY, "RS256"), "an unknown key"),
    "a key that is no text": (forged({"alg": "RS256", "kid": {"a": 1}}), "not a valid token"),
    "another issuer": (token(iss="https://evil.example"), "another issuer"),
    "an issuer with more behind it": (token(iss=f"{ISSUER}.evil.example"), "another issuer"),
    "no issuer": (token(iss=None), "must have"),
    "for somebody else": (token(aud="billing"), "for another audience"),
    "for nobody": (token(aud=None), "must have"),
    "expired": (token(exp=NOW_S), "has expired"),
    "without an end": (token(exp=None), "must have"),
    "with an end that is no time": (token(exp="never"), "not a time"),
    "endless": (token(exp=float("inf")), "not a time"),
    "not a number of seconds": (token(exp=float("nan")), "not a time"),
    "an end of 400 digits": (token(exp=10**400), "not a time"),
    "a beginning of 400 digits": (token(nbf=10**400), "not a time"),
    "an end before all time, of 400 digits": (token(exp=-(10**400)), "not a time"),
    "not valid yet": (token(nbf=NOW_S + 31), "not valid yet"),
    "no subject": (token(sub=None), "must have"),
    "a subject that is no text": (token(sub=7), "not a valid token"),
    "an extension that must be understood": (token(header={"kid": "r", "crit": ["x"], "x": 1}), "not a valid token"),
    "a detached payload": (forged({"alg": "RS256", "kid": "r", "b64": False, "crit": ["b64"]}), "not a valid token"),
    "another kind of token": (token(header={"kid": "r", "typ": "dpop+jwt"}), "type of token is not accepted"),
    "huge": (token(more="x" * MAX_TOKEN_BYTES), "longer than"),
    "cut short": (token()[:-21], "not a valid token"),
    "no token": ("ada:secret", "not a valid token"),
    "empty": ("", "not a valid token"),
    "two dots": ("..", "not a valid token"),
    "nested": ("eyJ" + "Ww" * 2000 + "..", "not a valid token"),
}


@pytest.mark.parametrize(("text", "words"), ATTACKS.values(), ids=ATTACKS.keys())
async def test_a_token_that_is_not_to_be_believed(verifier: Verifier, text: str, words: str) -> None:
    said = await verifier.refusal(text)
    assert words in said
    assert str(verifier.file) not in said
    assert "evil" not in said


async def test_one_whose_text_was_changed_is_not_found_among_those_seen(verifier: Verifier) -> None:
    good = token()
    await verifier.scopes(good)
    head, _, rest = good.partition(".")
    claims = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "scope": "admin"}).encode()).rstrip(b"=").decode()
    assert "signature" in await verifier.refusal(f"{head}.{claims}.{rest.split('.')[1]}")


async def test_one_that_has_been_seen_expires_all_the_same(verifier: Verifier) -> None:
    good = token()
    await verifier.scopes(good)
    verifier.now_s = CLAIMS["exp"] - 0.5
    await verifier.scopes(good)
    verifier.now_s = CLAIMS["exp"]
    assert "has expired" in await verifier.refusal(good)
    assert "has expired" in await verifier.refusal(good)


async def test_those_seen_are_no_more_than_so_many(tmp_path: Path) -> None:
    verifier = Verifier(tmp_path, KEYS, ("RS256", "ES256", "EdDSA"), most_known=3)
    for n in range(10):
        await verifier.scopes(token(ED_KEY, "EdDSA", {"kid": "d"}, n=n))
    assert len(verifier._verifier._known) == 3


async def _settled(verifier: TokenVerifier) -> None:
    """Let a look for keys, which nobody waits for, come to its end."""
    if verifier._keys._under_way is not None:
        await verifier._keys._under_way


async def test_keys_are_exchanged_without_a_gap_and_withdrawn_ones_believed_no_more(verifier: Verifier) -> None:
    old, new = token(), token(OTHER_KEY, header={"kid": "n"})
    await verifier.scopes(old)
    verifier.write([*KEYS, jwk(OTHER_KEY, "n")])
    verifier.clock.now_s += 1
    assert await verifier.scopes(new) == await verifier.scopes(old)
    verifier.write([jwk(OTHER_KEY, "n")])
    verifier.clock.now_s += 1
    await verifier.scopes(new)
    await _settled(verifier._verifier)
    assert "an unknown key" in await verifier.refusal(old), "it was among those seen, but its key is gone"
    await verifier.scopes(new)


async def test_a_file_that_breaks_changes_nothing_for_an_hour(verifier: Verifier) -> None:
    good = token()
    await verifier.scopes(good)
    verifier.file.write_text("{")
    verifier.clock.now_s += 3599
    await verifier.scopes(good)
    await _settled(verifier._verifier)
    verifier.clock.now_s += 2
    with pytest.raises(Unavailable):
        await verifier._verifier.verify(good)
    verifier.write(KEYS)
    verifier.clock.now_s += 5
    await verifier.scopes(good)


async def test_with_one_key_alone_a_token_need_not_name_it(tmp_path: Path) -> None:
    only = Verifier(tmp_path, [jwk(RSA_KEY, None)], ("RS256",))
    assert await only.scopes(jwt.encode(CLAIMS, RSA_KEY, "RS256")) == ("jwt:ada", ["infer"])


async def test_one_key_signs_by_every_algorithm_of_its_kind_that_is_taken(tmp_path: Path) -> None:
    only = Verifier(tmp_path, [jwk(RSA_KEY, "r")], ("RS256", "PS256"))
    for algorithm in ("RS256", "PS256"):
        assert await only.scopes(token(RSA_KEY, algorithm)) == ("jwt:ada", ["infer"])
        assert await only.scopes(jwt.encode(CLAIMS, RSA_KEY, algorithm)) == ("jwt:ada", ["infer"])


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ec.generate_private_key(ec.SECP384R1()), "ES256"), (ed448.Ed448PrivateKey.generate(), "EdDSA")],
    ids=["P-384", "Ed448"],
)
async def test_keys_of_other_curves_are_left_out(tmp_path: Path, key: Any, algorithm: str) -> None:
    some = Verifier(tmp_path, [jwk(key, "x"), jwk(RSA_KEY, "r")], ("RS256", "ES256", "EdDSA"))
    assert await some.scopes(token())
    signed = forged({"alg": algorithm, "kid": "x"}, b"by the other curve")
    assert "an unknown key" in await some.refusal(signed)


UNUSABLE: dict[str, dict[str, Any]] = {
    "a shared secret": {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "r"},
    "a private key": {**RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "kid": "r"},
    "for encryption": jwk(RSA_KEY, "r", use="enc"),
    "for another algorithm": jwk(RSA_KEY, "r", alg="RS512"),
    "short": jwk(rsa.generate_private_key(65537, 1024), "r"),  # noqa: S505 - that is the point
    "broken": {"kty": "RSA", "kid": "r", "n": "!", "e": "AQAB"},
    "strange": {"kty": {"a": 1}, "kid": "r"},
}


@pytest.mark.parametrize("entry", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_keys_of_a_set_that_are_for_something_else_are_left_out(tmp_path: Path, entry: dict[str, Any]) -> None:
    some = Verifier(tmp_path, [entry, jwk(ED_KEY, "d")], ("RS256", "EdDSA"))
    assert await some.scopes(token(ED_KEY, "EdDSA", {"kid": "d"}))
    assert "an unknown key" in await some.refusal(token(RSA_KEY))


class Provider:
    """An identity provider that counts who asks."""

    def __init__(self) -> None:
        self.keys = KEYS
        self.asked = 0
        self.status = 200
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"keys": self.keys}, status=self.status)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    ours, app = Provider(), web.Application()
    app.router.add_get("/keys", ours.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    ours.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        yield ours
    finally:
        await runner.cleanup()


@pytest.fixture
def fetching(provider: Provider) -> tuple[TokenVerifier, Clock]:
    clock = Clock()
    policy = TokenPolicy(ISSUER, AUDIENCE, provider.url, ("RS256", "ES256"))
    return TokenVerifier(policy, clock, lambda: NOW_S), clock


async def test_a_flood_of_unknown_keys_fetches_once_in_thirty_seconds(
    provider: Provider, fetching: tuple[TokenVerifier, Clock]
) -> None:
    verifier, clock = fetching
    await verifier.verify(token())
    assert provider.asked == 1

    async def flood(count: int) -> None:
        made_up = [token(OTHER_KEY, header={"kid": f"k{n}"}) for n in range(count)]
        ends = await asyncio.gather(*map(verifier.verify, made_up), return_exceptions=True)
        assert all(isinstance(end, Unauthorized) for end in ends)

    await flood(40)
    assert provider.asked == 2
    clock.now_s += 29
    await flood(5)
    assert provider.asked == 2
    clock.now_s += 2
    await flood(5)
    assert provider.asked == 3


async def test_a_new_key_is_found_at_once(provider: Provider, fetching: tuple[TokenVerifier, Clock]) -> None:
    verifier, _ = fetching
    await verifier.verify(token())
    provider.keys = [*KEYS, jwk(OTHER_KEY, "n")]
    assert (await verifier.verify(token(OTHER_KEY, header={"kid": "n"}))).id == "jwt:ada"


async def test_a_token_seen_before_goes_with_its_key_when_a_new_one_has_all_fetched_again(
    provider: Provider, fetching: tuple[TokenVerifier, Clock]
) -> None:
    verifier, _ = fetching
    old = token()
    await verifier.verify(old)
    provider.keys = [jwk(OTHER_KEY, "n")]
    assert await verifier.verify(token(OTHER_KEY, header={"kid": "n"}))
    with pytest.raises(Unauthorized):
        await verifier.verify(old)


async def test_a_provider_that_is_down_stops_nobody_for_an_hour(
    provider: Provider, fetching: tuple[TokenVerifier, Clock]
) -> None:
    verifier, clock = fetching
    await verifier.verify(token())
    provider.status = 503
    for _ in range(11):
        clock.now_s += 301
        await verifier.verify(token())
        await _settled(verifier)
    assert provider.asked == 12
    clock.now_s += 301
    with pytest.raises(Unavailable) as caught:
        await verifier.verify(token())
    assert provider.url not in caught.value.detail
    with pytest.raises(Unavailable):
        await verifier.verify(token())
    assert provider.asked == 13, "one that is down is not asked for each request"
    provider.status = 200
    clock.now_s += 5
    await verifier.verify(token())


@pytest.mark.parametrize("answer", ["redirect", "huge", "slow"])
async def test_an_answer_that_is_none(unused_tcp_port: int, answer: str) -> None:
    async def handler(_: web.Request) -> web.StreamResponse:
        if answer == "redirect":
            raise web.HTTPFound("http://127.0.0.1:9/keys")
        if answer == "slow":
            await asyncio.sleep(5)
        return web.Response(body=b" " * 600_000 + json.dumps({"keys": KEYS}).encode())

    app = web.Application()
    app.router.add_get("/keys", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    policy = TokenPolicy(ISSUER, AUDIENCE, f"http://127.0.0.1:{unused_tcp_port}/keys", ("RS256",), fetch_timeout_s=0.3)
    try:
        with pytest.raises(Unavailable):
            await TokenVerifier(policy, Clock(), lambda: NOW_S).verify(token())
    finally:
        await runner.cleanup()


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "an issuer alone": (
        {"jwt_issuer": ISSUER},
        "SPLITWAY_JWT_ISSUER needs SPLITWAY_JWT_AUDIENCE and SPLITWAY_JWT_KEYS",
    ),
    "no issuer": ({"jwt_audience": "a", "jwt_keys": "https://x/k"}, "needs SPLITWAY_JWT_ISSUER beside it"),
    "a shared secret's algorithm": ({"jwt_algorithms": "RS256,HS256"}, "SPLITWAY_JWT_ALGORITHMS must be some of"),
    "no algorithm": ({"jwt_algorithms": " ,"}, "SPLITWAY_JWT_ALGORITHMS must be some of"),
    "none": ({"jwt_algorithms": "none"}, "SPLITWAY_JWT_ALGORITHMS must be some of"),
    "http": ({"jwt_keys": "http://id.example/keys"}, "https"),
    "another scheme": ({"jwt_keys": "ftp://127.0.0.1/keys"}, "https"),
    "no host": ({"jwt_keys": "https:///keys"}, "https"),
    "no port": ({"jwt_keys": "https://id.example:port/keys"}, "https"),
    "no file": ({"jwt_keys": "/nowhere/keys.json"}, "no such file: /nowhere/keys.json"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG.keys())
def test_settings_that_contradict_themselves(given: dict[str, str], words: str) -> None:
    whole = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": "https://id.example/keys"}
    settings = GatewaySettings.model_validate(given if "needs" in words else {**whole, **given})
    with pytest.raises(SetupError, match=words):
        token_policy(settings)


def test_without_settings_there_are_no_tokens() -> None:
    assert token_policy(GatewaySettings()) is None


async def test_tokens_open_the_gateway_to_what_their_scopes_say(gateway_before: Gateway, tmp_path: Path) -> None:
    file, soon_s = tmp_path / "keys.json", time.time() + 600
    file.write_text(json.dumps({"keys": KEYS}))
    settings = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys": str(file), "cost_per_minute": 5}
    statuses = {
        None: 401,
        token(exp=soon_s): 200,
        token(exp=soon_s, scope="metrics"): 403,
        token(OTHER_KEY, exp=soon_s): 401,
        token(exp=time.time() - 1): 401,
    }
    async with gateway_before(**settings) as client:
        for text, status in statuses.items():
            headers = {"content-type": "image/png"} | ({} if text is None else {"authorization": f"Bearer {text}"})
            reply = await client.post("/v1/classify", content=b"x", headers=headers)
            assert reply.status_code == status
            assert ("www-authenticate" in reply.headers) == (status == 401)
            if status == 200:
                assert reply.headers["ratelimit-remaining"] == "4"


async def test_without_the_providers_keys_nobody_is_told_that_their_token_is_bad(
    gateway_before: Gateway, unused_tcp_port: int
) -> None:
    nowhere = f"http://127.0.0.1:{unused_tcp_port}/keys"
    async with gateway_before(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_keys=nowhere) as client:
        headers = {"content-type": "image/png", "authorization": f"Bearer {token()}"}
        reply = await client.post("/v1/classify", content=b"x", headers=headers)
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "unavailable", "5")
    assert str(unused_tcp_port) not in reply.text
