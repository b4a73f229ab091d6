"""Access: the user's key, the gateway's keys, the certificates, and whether the gateway requires a key."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from splitway.cli.credentials import API_KEY, gateway_headers
from splitway.cli.doctor.finding import Finding, ok, problem, warning
from splitway.cli.doctor.running import Running
from splitway.errors import SetupError, many
from splitway.local.places import listeners
from splitway.security.callers.keys import KeyRecord, read_keys
from splitway.security.identities.certificates import certified, read_certificates
from splitway.security.identities.service_names import IDENTITY
from splitway.security.networks import is_exposed

_SOON = timedelta(days=14)
"""How long before a key expires its holder is told."""
_HTTP_PORT = 80
_LOOPBACK = re.compile("(0{16}F{4}0{4})?[0-9A-F]{6}7F|0{24}01000000")
"""127.0.0.0/8, the same within IPv6, and ::1, as /proc writes them: each word of four bytes turned round."""


def api_key(url: str, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the user's key can be sent, and is safe where it is stored and on its way."""
    try:
        is_set = bool(gateway_headers())
    except SetupError as error:
        yield problem("API key", error.detail, f"set it, or the file that {API_KEY}_FILE names, to the key alone")
        return
    if not is_set:
        return
    file = environment.get(f"{API_KEY}_FILE", "")
    if file and _is_own(Path(file), stat.S_IROTH):
        yield warning("API key", f"every user of this machine can read {file}", f"chmod 600 {file}")
    parts = urlsplit(url)
    if parts.scheme == "http" and is_exposed(parts.hostname or ""):
        do = "put a proxy that speaks TLS before the gateway and name it by https://, or trust that network"
        yield warning("API key", f"it is sent to {url} unencrypted: anyone on the network can read it", do)
    yield ok("API key", f"{API_KEY} is set")


def keys(environment: Mapping[str, str], now: datetime) -> list[Finding]:
    """Whether the gateway's keys can be read, which of them no longer open anything, and which soon will not."""
    if not (name := environment.get("SPLITWAY_KEYS_FILE", "")):
        return []
    try:
        records = read_keys(Path(name)).keys
    except SetupError as error:
        return [problem("keys", error.detail, "correct that, or unset SPLITWAY_KEYS_FILE")]
    found = list(_about_to_end(records, now))
    if _is_own(Path(name), stat.S_IWGRP | stat.S_IWOTH):
        says = f"other users can write {name}: anyone who can write this file can grant access"
        found.append(warning("keys", says, f"chmod 600 {name}"))
    good = sum(not record.has_expired(now) for record in records)
    if not good:
        says = f"no key in {name} is valid: every request is refused"
        return [*found, warning("keys", says, f"splitway keys create NAME --file {name}")]
    return [*found, ok("keys", f"{many(good, 'key')} in {name} {'is' if good == 1 else 'are'} valid")]


def _about_to_end(records: Sequence[KeyRecord], now: datetime) -> Iterator[Finding]:
    expired = [record for record in records if record.has_expired(now)]
    soon = [record for record in records if not record.has_expired(now) and record.has_expired(now + _SOON)]
    if expired:
        says = f"{_named(expired)} {'has' if len(expired) == 1 else 'have'} expired"
        yield warning("keys", says, "splitway keys revoke ID, after its user has a new one")
    if soon:
        says = f"{_named(soon)} will expire within {_SOON.days} days"
        yield warning("keys", says, "splitway keys create makes a new one; both are valid until then")


def _named(records: Iterable[KeyRecord]) -> str:
    return ", ".join(f"{record.id} ({record.name})" for record in records)


def identity(environment: Mapping[str, str], now: datetime) -> Finding | None:
    """Whether the certificate that a service here shows the others is good, and will be."""
    if not (name := environment.get("SPLITWAY_IDENTITY", "")):
        return None
    path = Path(name) / IDENTITY
    renew = "splitway certs create renews it; running services load it by themselves"
    try:
        own = certified(read_certificates(path)[0], path)
    except SetupError as error:
        return problem("identity", error.detail, renew)
    until = f"{own.ends:%Y-%m-%d %H:%M} UTC"
    if own.has_expired(now):
        return problem("identity", f"the certificate of {own.service} has expired, {until}", renew)
    if own.is_due(now):
        return warning("identity", f"the certificate of {own.service} is valid until {until} only", renew)
    return ok("identity", f"the certificate of {own.service} is valid until {until}")


def is_reached_from_elsewhere(number: int) -> bool:
    """Whether something listens on this port beyond loopback, as far as /proc says."""
    return any(not _LOOPBACK.fullmatch(address) for address, _ in listeners(number))


def access(running: Running, is_reached: Callable[[int], bool] = is_reached_from_elsewhere) -> Finding | None:
    """Whether a gateway that other machines can reach requires a key; `is_reached` tells that of a port."""
    url = running.look.url
    if running.asks_for_key:
        return ok("access", f"{url} requires a key")
    if running.look.status is None:
        return None
    parts = urlsplit(url)
    if is_exposed(parts.hostname or "") or is_reached(parts.port or _HTTP_PORT):
        says = f"{url} is reachable from other machines without a key"
        return warning("access", says, "splitway keys create NAME, and SPLITWAY_KEYS_FILE at the gateway")
    return ok("access", f"{url} requires no key, and is reachable from this machine only")


def _is_own(path: Path, mode: int) -> bool:
    """Whether this user could take these rights of a file away, and has not."""
    try:
        found = path.stat()
    except OSError:
        return False
    return found.st_uid == os.getuid() and bool(found.st_mode & mode)
