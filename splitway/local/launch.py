"""The whole pipeline as local processes: started together, watched, stopped together."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from splitway.bundle_graph import bodies_of
from splitway.errors import SetupError
from splitway.http.server.listening import bind
from splitway.local.places import GATEWAY_PORT, PORTS, RUN_FILE, Place
from splitway.local.run_file import make_run_folder, write_run_file
from splitway.names import BODY_NAME, EXTRACTOR, GATEWAY, HEADS
from splitway.process.child import python
from splitway.process.extras import require
from splitway.releases import FILE
from splitway.stored import unnamed

_BODY_PORT, _BODY_PORTS = 8101, 10
"""The first body's port, and how many there are for each."""
_BODY = re.compile(BODY_NAME)
_STOP_TIMEOUT_S = 35.0
_POLL_S = 0.05
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - recognised here, bound only when the user says so
LogLine = Callable[[str, str], None]
"""Called with a process's name and one line of its output, from a thread of that process's own."""


@dataclass
class Process:
    """One running service."""

    stage: str
    name: str
    url: str
    popen: subprocess.Popen[str]
    pump: threading.Thread

    @property
    def exit_code(self) -> int | None:
        return self.popen.poll()


@dataclass(frozen=True)
class LaunchPlan:
    """The services to start, and their ports."""

    models: Path
    host: str = "127.0.0.1"
    port: int = GATEWAY_PORT
    """The gateway's; 0 takes free ports for everything."""
    replicas: Mapping[str, int] | None = None
    environment: Mapping[str, str] | None = None
    """Added to every process's environment."""
    run_file: Path | None = RUN_FILE
    certs: Path | None = None
    """Folder of the services' certificates, which are made or renewed as needed; None for plain HTTP between them."""


class LocalPipeline:
    """Starts on entry and always stops on exit."""

    def __init__(self, plan: LaunchPlan, log: LogLine) -> None:
        self._plan = plan
        self._log = log
        self.processes: list[Process] = []
        self.stages: list[str] = []
        """In the order in which a request meets them."""
        self._wrote_run_file = False
        self._last_lines: dict[str, str] = {}
        """Of each process; the latest of all stands last."""
        self._failed: str | None = None
        """The process that ended too early."""

    @property
    def gateway(self) -> Process:
        return self.of(GATEWAY)[0]

    def of(self, stage: str) -> list[Process]:
        """The processes of a stage, in the order of their ports."""
        return [process for process in self.processes if process.stage == stage]

    def __enter__(self) -> LocalPipeline:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        plan = self._plan
        require("serve", "gateway")
        with unnamed():
            self.stages = [EXTRACTOR, *bodies_of(plan.models), HEADS]
        counts = dict.fromkeys(self.stages, 1) | dict(plan.replicas or {})
        if unknown := set(counts) - set(self.stages):
            raise SetupError(
                f"there is no stage {', '.join(unknown)} to start; {plan.models} makes {', '.join(self.stages)}"
            )
        if plan.run_file is not None:
            make_run_folder(plan.run_file.parent)
        self.renew_certificates()
        listeners = {GATEWAY: [bind(plan.host, plan.port)]}
        try:
            for place, stage in enumerate(self.stages):
                first_port = PORTS.get(stage) or _BODY_PORT + _BODY_PORTS * (place - 1)
                listeners[stage] = [_bind_near(first_port + i if plan.port else 0) for i in range(counts[stage])]
            for stage in (*self.stages, GATEWAY):
                for number, listener in enumerate(listeners[stage], 1):
                    name = stage if stage == GATEWAY else f"{stage}.{number}"
                    self.processes.append(self._spawn(stage, name, listener))
        finally:
            for listener in (each for several in listeners.values() for each in several):
                listener.close()
        if plan.run_file is not None:
            processes = [process for stage in (GATEWAY, *self.stages) for process in self.of(stage)]
            write_run_file(plan.run_file, [Place(each.stage, each.url, each.popen.pid) for each in processes])
            self._wrote_run_file = True

    def _environment(self, stage: str) -> dict[str, str]:
        """A process's environment: the places of bundles and releases, and for the gateway the stages' addresses."""
        models = self._plan.models
        own = {"SPLITWAY_RELEASES": str(models / FILE), **os.environ, **(self._plan.environment or {})}
        own["SPLITWAY_MODELS"] = str(models)
        own.pop("SPLITWAY_METRICS_PORT", None)  # one port for all of them; here each answers on its own
        own.pop("SPLITWAY_IDENTITY", None)  # each has one of its own, or none has
        if self._plan.certs is not None:
            own["SPLITWAY_IDENTITY"] = str(self._plan.certs / stage)
        if stage == GATEWAY:
            urls = {each: ",".join(process.url for process in self.of(each)) for each in self.stages}
            own |= {f"SPLITWAY_{end.upper()}": urls.pop(end) for end in (EXTRACTOR, HEADS)}
            own["SPLITWAY_BODIES"] = json.dumps(urls)
        return own

    def _spawn(self, stage: str, name: str, listener: socket.socket) -> Process:
        fd = listener.fileno()
        popen = subprocess.Popen(
            python("-m", "splitway.cli.main", "serve", stage, "--fd", str(fd)),
            env=self._environment(stage),
            pass_fds=(fd,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which then stops them in order
        )
        pump = threading.Thread(target=self._pump, args=(name, popen), name=f"log {name}", daemon=True)
        pump.start()
        host, port = listener.getsockname()[:2]
        reachable = "127.0.0.1" if host == _EVERYWHERE else f"[{host}]" if ":" in host else host
        scheme = "http" if self._plan.certs is None or stage == GATEWAY else "https"
        return Process(stage, name, f"{scheme}://{reachable}:{port}", popen, pump)

    def renew_certificates(self) -> list[str]:
        """Make or renew the services' certificates and return their names. Does nothing without a folder for them."""
        if self._plan.certs is None:
            return []
        from splitway.security.identities.certificates import Certificates  # noqa: PLC0415 - loads cryptography

        return Certificates(self._plan.certs).renew([GATEWAY, *self.stages])

    def _pump(self, name: str, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        with popen.stdout as lines:
            for line in lines:
                said = line.rstrip("\n")
                self._last_lines.pop(name, None)
                self._last_lines[name] = said
                self._log(name, said)

    def wait_ready(self, timeout_s: float = 60.0) -> float:
        """Wait until the gateway says that every stage is ready; return the seconds it took.

        Raises:
            SetupError: a process ended, or time ran out; the line says which stage is missing.
        """
        started_s = time.monotonic()
        reason = "the gateway does not answer"
        while time.monotonic() - started_s < timeout_s:
            self.raise_if_ended()
            try:
                reply = httpx.get(f"{self.gateway.url}/readyz", timeout=2, trust_env=False)
                if reply.status_code == 200:
                    return time.monotonic() - started_s
                reason = reply.json()["reason"]
            except httpx.TransportError:
                pass
            time.sleep(_POLL_S)
        raise SetupError(f"the pipeline was not ready within {timeout_s:.0f} s: {reason}")

    def raise_if_ended(self) -> None:
        """Raise SetupError if a process has ended."""
        for process in self.processes:
            if process.exit_code is not None:
                process.pump.join(timeout=2)
                self._failed = process.name
                raise SetupError(
                    f"{process.name} ended with {process.exit_code} before it was told to; its last line says why"
                )

    def stop(self) -> None:
        """Stop the gateway, then the stages; each finishes its work. A process that does not end in time is killed."""
        for group in (self.of(GATEWAY), [each for each in self.processes if each.stage != GATEWAY]):
            for process in group:
                if process.exit_code is None:
                    process.popen.send_signal(signal.SIGTERM)
            deadline_s = time.monotonic() + _STOP_TIMEOUT_S
            for process in group:
                _wait_or_kill(process, deadline_s - time.monotonic())
        if self._plan.run_file is not None and self._wrote_run_file:
            self._plan.run_file.unlink(missing_ok=True)
        self._repeat_why()

    def _repeat_why(self) -> None:
        """Repeat the last line of a failed process, if other processes have written since."""
        name, self._failed = self._failed, None
        if name in self._last_lines and next(reversed(self._last_lines)) != name:
            self._log(name, self._last_lines[name])


def _wait_or_kill(process: Process, timeout_s: float) -> None:
    try:
        process.popen.wait(max(0.1, timeout_s))
    except subprocess.TimeoutExpired:
        process.popen.kill()
        process.popen.wait()
    process.pump.join(timeout=2)


def _bind_near(port: int) -> socket.socket:
    """Bind this port on loopback, or a free one if it is taken."""
    try:
        return bind("127.0.0.1", port)
    except SetupError:
        return bind("127.0.0.1", 0)


def parse_replicas(options: list[str]) -> dict[str, int]:
    """Read `STAGE=N` options. Raises SetupError for what is not one."""
    counts: dict[str, int] = {}
    for option in options:
        stage, _, number = option.partition("=")
        known = stage in PORTS or _BODY.fullmatch(stage)
        if not known or not number.isdigit() or not 1 <= int(number) <= 64:
            raise SetupError(
                f"--replicas takes STAGE=N with N from 1 to 64 and STAGE {' or '.join(PORTS)} or body_<number>, "
                f"not {option!r}"
            )
        counts[stage] = int(number)
    return counts
