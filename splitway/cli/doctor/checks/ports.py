"""The ports of a local pipeline: free, or the process that holds them."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from splitway.cli.doctor.checks.result import Result, ok, problem, warning
from splitway.local.processes import PROC, descriptors, listeners
from splitway.names import GATEWAY

_LOOPBACK = re.compile("(0{16}F{4}0{4})?[0-9A-F]{6}7F|0{24}01000000")
"""127.0.0.0/8, the same within IPv6, and ::1, as /proc writes them: each word of four bytes turned round."""
_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Port:
    """One port of this machine.

    Args:
        number: its number.
        stage: what takes it by default.
        is_free: whether it can be listened on.
        is_splitway: whether what answers there is one of ours.
        holder: the process that has it, where this user may see that.
    """

    number: int
    stage: str
    is_free: bool
    is_splitway: bool = False
    holder: str = ""


def read_port(number: int, stage: str, *, is_ours: bool = False) -> Port:
    """Try to bind a port of loopback; if that fails, ask who is there, unless it is known to be one of ours."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", number))
            return Port(number, stage, is_free=True)
        except OSError:
            is_splitway = is_ours or _is_splitway(number)
            return Port(number, stage, is_free=False, is_splitway=is_splitway, holder=_holder(number))


def port(found: Port, *, pipeline_runs: bool) -> Result:
    """Whether what is to listen there can."""
    name = f"port {found.number}"
    if found.is_free:
        return ok(name, f"free for {found.stage}")
    by = f" by {found.holder}" if found.holder else ""
    if found.is_splitway:
        return ok(name, f"held{by}: a Splitway service that runs")
    says = f"held{by or ' by a process that this user may not see'}, which is not Splitway"
    if found.stage == GATEWAY:
        do = "end that process, or take another port with splitway up --port"
        return (warning if pipeline_runs else problem)(name, says, do)
    return warning(name, says, f"splitway up takes a free port for {found.stage} instead; splitway serve needs --port")


def _is_splitway(number: int) -> bool:
    url = f"http://127.0.0.1:{number}"
    try:
        reply = httpx.get(f"{url}/v2", timeout=_TIMEOUT_S, trust_env=False)
        if reply.status_code == 401:  # it says who it is to those alone who say who they are
            return bool(httpx.get(f"{url}/livez", timeout=_TIMEOUT_S, trust_env=False).json() == {"live": True})
        return bool(reply.json()["name"] == "splitway")
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _holder(number: int) -> str:
    """Name and id of the process that listens on this port, from /proc; empty where that cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _listening(number)}
    for process in PROC.glob("[0-9]*"):
        if sockets.intersection(descriptors(process)):
            with contextlib.suppress(OSError):
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (process {process.name})"
    return ""


def _listening(number: int) -> Iterable[str]:
    """Inodes of the sockets that listen on this port."""
    return (inode for _, inode in listeners(number))


def is_reached_from_elsewhere(number: int) -> bool:
    """Whether something listens on this port beyond loopback, as far as /proc says."""
    return any(not _LOOPBACK.fullmatch(address) for address, _ in listeners(number))
