"""The whole pipeline as local processes: started together, watched, stopped together."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from splitway.bundle_graph import bodies_of
from splitway.errors import SetupError
from splitway.http.server.listening import bind, bind_free, have_wait, keep_refusing, let_listen
from splitway.local.places import GATEWAY_PORT, PORTS, RUN_FILE, Place, process_name
from splitway.local.processes import LogLine, Process, ProcessOutput, address, bind_near, start, stop_all
from splitway.local.readiness import trust_in, why_not_ready
from splitway.local.run_file import Launcher, make_run_folder, write_run_file
from splitway.names import BODY_NAME, EXTRACTOR, GATEWAY, HEADS
from splitway.process.extras import require
from splitway.releases import FILE
from splitway.security.identities.caller_tls import CallerTls
from splitway.security.identities.tls import Identity
from splitway.stored import unnamed

_BODY_PORT, _BODY_PORTS = 8101, 10
"""The first body's port, and how many there are for each."""
_BODY = re.compile(BODY_NAME)
_STOP_TIMEOUT_S = 35.0
_POLL_S = 0.05
_ASK_S = 0.2
_LAST_STEPS_S = 0.02
"""From the end of a process's output to its own."""


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
    tls: CallerTls | None = None
    """For HTTPS between callers and gateway."""
    restart: bool = False
    """Whether the launcher keeps the sockets, so that `LocalPipeline.start_again` can use them."""
    log: Path | None = None
    """File to which the launcher writes what the processes say; for the run file."""


class LocalPipeline:
    """Starts on entry and always stops on exit."""

    def __init__(self, plan: LaunchPlan, log: LogLine) -> None:
        self._plan = plan
        self.output = ProcessOutput(log)
        self.processes: list[Process] = []
        self.stages: list[str] = []
        """In the order in which a request meets them."""
        self._launcher: Launcher | None = None
        """As it stands in the run file, once that is written."""
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
        with ExitStack() as opened:
            self._spawn_all(counts, opened)
            if plan.restart:
                opened.pop_all()
        if plan.run_file is not None:
            self._launcher = Launcher.of_this_process(plan.models, plan.log, self._certificate, restarts=plan.restart)
            self._write_run_file()

    def _spawn_all(self, counts: Mapping[str, int], opened: ExitStack) -> None:
        """Bind every socket, then start every process. Raises SetupError where a port is taken."""
        plan = self._plan
        listeners = {GATEWAY: [opened.enter_context(bind(plan.host, plan.port) if plan.port else bind_free(plan.host))]}
        for place, stage in enumerate(self.stages):
            first_port = PORTS.get(stage) or _BODY_PORT + _BODY_PORTS * (place - 1)
            ports = [first_port + i if plan.port else 0 for i in range(counts[stage])]
            listeners[stage] = [opened.enter_context(bind_near(port)) for port in ports]
        for stage in (*self.stages, GATEWAY):
            for number, listener in enumerate(listeners[stage], 1):
                self.processes.append(self._spawn(stage, process_name(stage, number), listener))

    def _write_run_file(self) -> None:
        """Say which processes run. Raises SetupError if the file cannot be written."""
        if self._plan.run_file is None or self._launcher is None:
            return
        processes = [process for stage in (GATEWAY, *self.stages) for process in self.of(stage)]
        places = [Place.of(each.stage, each.url, each.popen.pid, restarts=each.restarts) for each in processes]
        write_run_file(self._plan.run_file, places, self._launcher)

    def _environment(self, stage: str) -> dict[str, str]:
        """A process's environment: the places of bundles and releases, and for the gateway the stages' addresses."""
        models = self._plan.models
        own = {"SPLITWAY_RELEASES": str(models / FILE), **os.environ, **(self._plan.environment or {})}
        own["SPLITWAY_MODELS"] = str(models)
        for name in ("METRICS_PORT", "IDENTITY", "TLS_CERT", "TLS_KEY"):  # of one process, not of all
            own.pop(f"SPLITWAY_{name}", None)
        if self._plan.certs is not None:
            own["SPLITWAY_IDENTITY"] = str(self._plan.certs / stage)
        if stage == GATEWAY:
            urls = {each: ",".join(process.url for process in self.of(each)) for each in self.stages}
            own |= {f"SPLITWAY_{end.upper()}": urls.pop(end) for end in (EXTRACTOR, HEADS)}
            own["SPLITWAY_BODIES"] = json.dumps(urls)
            if self._plan.tls is not None:
                own["SPLITWAY_TLS_CERT"] = str(self._plan.tls.certificate)
                own["SPLITWAY_TLS_KEY"] = str(self._plan.tls.key)
        return own

    def _spawn(self, stage: str, name: str, listener: socket.socket) -> Process:
        popen = start(stage, listener, self._environment(stage))
        speaks_tls = self._plan.tls is not None if stage == GATEWAY else self._plan.certs is not None
        url = address(listener, "https" if speaks_tls else "http")
        return Process(stage, name, url, listener, popen, self.output.follow(name, popen))

    def start_again(self, process: Process) -> None:
        """Start a process that has ended again, on its own socket and with its own environment.

        Those who are refused until now are refused until it listens: what calls a stage must not wait for its start.

        Raises:
            SetupError: the run file cannot be written; the process runs all the same.
            OSError: it could not be started.
        """
        let_listen(process.listener)
        process.popen = start(process.stage, process.listener, self._environment(process.stage))
        process.pump = self.output.follow(process.name, process.popen)
        process.restarts += 1
        self._write_run_file()

    def refuse_callers_of(self, process: Process) -> None:
        """Have those who call a process that has ended refused at once, until it is started again."""
        keep_refusing(process.listener)

    def let_callers_wait_for(self, process: Process) -> None:
        """Have those who call a process that has ended wait until it is started again."""
        with suppress(OSError):  # they are refused instead
            have_wait(process.listener)

    def renew_certificates(self) -> list[str]:
        """Make or renew the services' certificates and return their names. Does nothing without a folder for them."""
        if self._plan.certs is None:
            return []
        from splitway.security.identities.certificates import Certificates  # noqa: PLC0415 - loads cryptography

        return Certificates(self._plan.certs).renew([GATEWAY, *self.stages])

    def wait_ready(self, timeout_s: float = 60.0) -> float:
        """Wait until the gateway says that every stage is ready; return the seconds it took.

        Raises:
            SetupError: a process ended, or time ran out; the line says which stage is missing.
        """
        started_s = time.monotonic()
        for _ in self.until_ready(timeout_s):
            time.sleep(_POLL_S)
        return time.monotonic() - started_s

    def until_ready(self, timeout_s: float) -> Iterator[str]:
        """Yield which stage is missing, again and again, until all are ready. Raises SetupError as `wait_ready`."""
        ends_s = time.monotonic() + timeout_s
        while True:
            self.raise_if_ended()
            if (reason := why_not_ready(self.gateway.url, self._certificate)) is None:
                return
            if time.monotonic() >= ends_s:
                raise SetupError(f"the pipeline was not ready within {timeout_s:.0f} s: {reason}")
            yield reason

    def is_ready(self, process: Process) -> bool:
        """Whether a stage's process is ready, or the gateway answers: it is not ready while a stage is missing."""
        try:
            is_gateway = process.stage == GATEWAY
            path, verify = ("livez", trust_in(self._certificate)) if is_gateway else ("readyz", self._trust_in_stages())
            return httpx.get(f"{process.url}/{path}", timeout=_ASK_S, trust_env=False, verify=verify).status_code == 200
        except (httpx.TransportError, SetupError):  # the latter while certificates are replaced
            return False

    @property
    def _certificate(self) -> Path | None:
        return None if self._plan.tls is None else self._plan.tls.certificate

    def _trust_in_stages(self) -> ssl.SSLContext | bool:
        return True if self._plan.certs is None else Identity(self._plan.certs / GATEWAY, GATEWAY).client_context

    def raise_if_ended(self) -> None:
        """Raise SetupError if a process has ended."""
        for process in self.processes:
            if process.exit_code is not None:
                process.pump.join(timeout=2)
                self._failed = process.name
                raise SetupError(
                    f"{process.name} ended with {process.exit_code} before it was told to; its last line says why"
                )

    @property
    def last_lines(self) -> list[str]:
        """What the process said last of which `raise_if_ended` tells."""
        return [] if self._failed is None else self.output.last_lines(self._failed)

    def wait_for_an_end(self, timeout_s: float) -> None:
        """Wait until a process has closed its output, but no longer than that."""
        if self.output.ended.wait(timeout_s):
            self.output.ended.clear()
            time.sleep(_LAST_STEPS_S)

    def stop(self) -> None:
        """Stop the gateway, then the stages; each finishes its work. A process that does not end in time is killed."""
        for process in self.processes:
            process.listener.close()  # else callers would wait for a process that has ended
        stop_all(self.processes, _STOP_TIMEOUT_S)
        if self._plan.run_file is not None and self._launcher is not None:
            self._plan.run_file.unlink(missing_ok=True)
        if self._failed is not None:
            self.output.repeat(self._failed)
            self._failed = None


def parse_replicas(options: list[str]) -> dict[str, int]:
    """Read `STAGE=N` options. Raises SetupError for what is not one."""
    counts: dict[str, int] = {}
    for option in options:
        stage, _, number = option.partition("=")
        known = stage in PORTS or _BODY.fullmatch(stage)
        if not known or not number.isdigit() or not 1 <= int(number) <= 64:
            raise SetupError(
                f"--replicas takes STAGE=N with N from 1 to 64 and STAGE {', '.join(PORTS)} or body_<number> "
                "(body_1 is the first stage between the two, of a model that is cut more than once), "
                f"not {option!r}"
            )
        counts[stage] = int(number)
    return counts
