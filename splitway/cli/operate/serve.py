"""`splitway serve`: one app in one process, from a listening socket to a drained end.

On SIGTERM or SIGINT the process first says that it is not ready, finishes what it has accepted and exits with 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import math
import os
import pkgutil
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import NoReturn, cast

import uvicorn

from splitway.environment import read_environment
from splitway.errors import SetupError
from splitway.http.fast_routes import FrontedApp
from splitway.http.heartbeat import Heartbeat
from splitway.http.lifecycle import Lifecycle
from splitway.http.server.connections import ConnectionLimits, ConnectionRoom, Connections
from splitway.http.server.guarded import guarded_protocol
from splitway.http.server.listening import bind, let_no_more_in, waits_to_be_let_in
from splitway.http.server.open_files import kept_back, raise_limit
from splitway.http.server.tls_server import TlsServer
from splitway.memory_limit import give_large_blocks_back
from splitway.names import BODY_NAME, EXTRACTOR, GATEWAY, HEADS
from splitway.security.identities.caller_tls import CallerCertificate, CallerTls
from splitway.security.identities.kept_context import KeptContext
from splitway.security.identities.tls import Identity
from splitway.security.settings import SecuritySettings
from splitway.telemetry.families import Readings
from splitway.telemetry.log.logs import configure_logs
from splitway.telemetry.slow_loop import SlowLoop

APPS = {
    GATEWAY: "splitway.gateway.app:create_app",
    EXTRACTOR: "splitway.services.feature_extractor.app:create_app",
    HEADS: "splitway.services.classifier.app:create_app",
}
_BODY_APP = "splitway.services.body.app:create_app"
_BODY = re.compile(BODY_NAME)
_KEEPALIVE_S = 75  # longer than any client's, so that the client is the one to close an idle connection
_GRACE_S = 30
_BACKLOG = 2048
_LAST_CONNECTION_S = 2.0
_YOUNG_OBJECTS = 20_000
"""New objects between two collections; a request makes hundreds, and next to none of them in cycles."""
_PR_SET_PDEATHSIG = 1
_LARGE_BODY_BYTES, _KEPT_FREE_BYTES = 1 << 20, 16 << 20


def serve(
    stage: str,
    host: str,
    port: int,
    *,
    fd: int | None,
    parent: int | None = None,
    drain_s: float,
    tls: CallerTls | None = None,
) -> int:
    """Serve one app, or a body of any name, until told to stop; return the process's exit code.

    With `fd`, an inherited socket that listens already, the process ends with the one that gave it, which is `parent`.
    `tls` is for the gateway's callers.

    Raises:
        SplitwayError: the app cannot be made, the port is taken, or the parent has ended already.
    """
    if tls is not None and stage != GATEWAY:
        raise SetupError("--tls-cert and --tls-key are for the gateway; stages are given SPLITWAY_IDENTITY")
    if fd is not None:
        _end_with_parent(parent)
    settings = read_environment(SecuritySettings)
    logs = configure_logs(stage, settings)
    inherited = None if fd is None else socket.socket(fileno=fd)
    exposed = settings.is_exposed(host if inherited is None else inherited.getsockname()[0])
    app = _create(stage, exposed=exposed)
    if stage == GATEWAY:
        give_large_blocks_back(_LARGE_BODY_BYTES, _KEPT_FREE_BYTES)
    gc.collect()
    gc.freeze()  # what lives as long as the process need not be looked through again: that takes 80 ms each time
    gc.set_threshold(_YOUNG_OBJECTS)
    listener = inherited or bind(host, port)
    name = listener.getsockname()
    listeners = [listener, *_metrics_listener(name[0], settings.metrics_port)]
    files = raise_limit()
    connections = Connections(_room(settings, files))
    app.state.registry.register(Readings(connections.metrics))
    config = uvicorn.Config(
        app,
        http=guarded_protocol(_connection_limits(settings), app.state.refuse, connections),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        timeout_keep_alive=_KEEPALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        backlog=_BACKLOG,
    )
    identity = _shown(stage, settings, tls)
    place = f"[{name[0]}]" if ":" in name[0] else name[0]
    print(f"{stage} listens on {'http' if identity is None else 'https'}://{place}:{name[1]}", flush=True)
    lifecycle: Lifecycle = app.state.lifecycle
    lifecycle.last_resort = partial(_end_at_once, logs)
    server = _Server(config, lifecycle, drain_s, identity, connections, settings)
    server.run(sockets=listeners)
    if lifecycle.hang is not None or lifecycle.is_stuck:
        _end_at_once(logs)
    if lifecycle.failure is not None:
        print(f"splitway: {lifecycle.failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _shown(stage: str, settings: SecuritySettings, tls: CallerTls | None) -> KeptContext | None:
    """What callers are shown; None for plain HTTP. The gateway uses its identity only to call stages."""
    if stage == GATEWAY:
        return None if tls is None else CallerCertificate(tls)
    return None if settings.identity is None else Identity(settings.identity, stage)


def _end_at_once(logs: logging.Handler) -> NoReturn:
    """End the process with 1 while some of its threads cannot be stopped: the interpreter's own end could crash."""
    logs.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _connection_limits(settings: SecuritySettings) -> ConnectionLimits:
    return ConnectionLimits(
        header_timeout_s=settings.header_timeout_ms / 1000,
        body_timeout_s=settings.body_timeout_ms / 1000,
        answer_timeout_s=settings.answer_timeout_ms / 1000,
        max_header_bytes=settings.max_header_bytes,
        max_headers=settings.max_headers,
    )


def _room(settings: SecuritySettings, files: int) -> ConnectionRoom:
    """How many connections there may be, by the settings and by the files that this process may have open."""
    descriptor = files - kept_back(files)
    most = min(settings.connections or descriptor, descriptor)
    return ConnectionRoom(
        per_address=settings.connections_per_address,
        connections=most,
        descriptor=descriptor,
        share=math.ceil(most / 2),
    )


def _metrics_listener(host: str, port: int) -> list[socket.socket]:
    """Raises SetupError if the port is taken."""
    try:
        return [bind(host, port)] if port else []
    except SetupError as error:
        raise SetupError(f"SPLITWAY_METRICS_PORT={port}: {error.detail.partition(';')[0]}") from error


def _create(stage: str, *, exposed: bool) -> FrontedApp:
    if _BODY.fullmatch(stage):
        return cast("FrontedApp", pkgutil.resolve_name(_BODY_APP)(stage, exposed=exposed))
    if stage not in APPS:
        raise SetupError(f"there is no app {stage!r}; choose from {', '.join(APPS)}, body_<number>")
    return cast("FrontedApp", pkgutil.resolve_name(APPS[stage])(exposed=exposed))


def _end_with_parent(parent: int | None) -> None:
    """On Linux, be told to stop when the launcher dies, however it dies. Raises SetupError if it has died already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent is not None and os.getppid() != parent:
        raise SetupError(f"process {parent}, which started this one, has ended")


class _Server(TlsServer):
    """uvicorn, draining in two steps and ending with 0 where it was asked to end."""

    def __init__(
        self,
        config: uvicorn.Config,
        lifecycle: Lifecycle,
        drain_s: float,
        identity: KeptContext | None,
        connections: Connections,
        settings: SecuritySettings,
    ) -> None:
        super().__init__(config, identity, connections, settings.handshake_timeout_ms / 1000)
        self._settings = settings
        self._lifecycle = lifecycle
        self._drain_s = drain_s
        self._drain_until_s: float | None = None
        self._listeners: list[socket.socket] = []
        self._closed_s: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on these sockets until told to stop."""
        self._listeners = sockets or []
        super().run(sockets)

    async def main_loop(self) -> None:
        slow_loop = SlowLoop(self._settings.slow_loop_ms) if self._settings.slow_loop_ms else None
        heartbeat = Heartbeat(self._settings.max_run_s, self._lifecycle)
        if self._settings.max_run_s:
            heartbeat.start()
        try:
            await super().main_loop()
        finally:
            heartbeat.stop()
            if slow_loop is not None:
                slow_loop.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals, and don't raise them again when all is done."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in handled}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain_until_s is None:
            self._lifecycle.drain()
            self._connections.drain()
            self._drain_until_s = time.monotonic() + self._drain_s
        elif sig == signal.SIGINT:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        now_s = time.monotonic()
        has_ended = self._lifecycle.failure is not None or self._lifecycle.hang is not None
        if has_ended or self._has_let_the_last_in(now_s):
            self.should_exit = True
        elif self._drain_until_s is not None and self._closed_s is None and now_s >= self._drain_until_s:
            for listener in self._listeners:
                let_no_more_in(listener)
            self._closed_s = now_s
        return await super().on_tick(counter)

    def _has_let_the_last_in(self, now_s: float) -> bool:
        """Whether all that had come when the process stopped listening are accepted, and have shown who they are."""
        if self._closed_s is None:
            return False
        is_done = not self.shakes_hands and not waits_to_be_let_in(self._listeners)
        return is_done or now_s - self._closed_s >= _LAST_CONNECTION_S
