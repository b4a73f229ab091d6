"""One service as a process of its own, on a socket that the launcher binds; and what the process says, line by line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from splitway.errors import SetupError
from splitway.http.server.listening import bind, bind_free
from splitway.names import GATEWAY
from splitway.process.child import python

LogLine = Callable[[str, str], None]
"""Called with a process's name and one line of its output, from a thread of that process's own."""
_MOST_LAST_LINES = 10
_NOISE = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."
"""What LiteRT says of every model that it opens, whatever its level of logs."""
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - recognised here, bound only when the user says so


@dataclass
class Process:
    """One running service."""

    stage: str
    name: str
    url: str
    listener: socket.socket
    """Of its port; the launcher's own copy, which may be closed."""
    popen: subprocess.Popen[str]
    pump: threading.Thread
    restarts: int = 0

    @property
    def exit_code(self) -> int | None:
        return self.popen.poll()


class ProcessOutput:
    """Hands on what processes say, and keeps the last lines of each.

    Args:
        log: given every line.
    """

    def __init__(self, log: LogLine) -> None:
        self._log = log
        self._last: dict[str, deque[str]] = {}
        self._latest: str | None = None
        """The process that spoke last."""
        self.ended = threading.Event()
        """Set whenever a process has closed its output: most likely it has ended."""

    def follow(self, name: str, popen: subprocess.Popen[str]) -> threading.Thread:
        """Begin to read a process's output, in a thread."""
        thread = threading.Thread(target=self._pump, args=(name, popen), name=f"log {name}", daemon=True)
        thread.start()
        return thread

    def last_lines(self, name: str) -> list[str]:
        """Return what a process said last, the newest line at the end."""
        return list(self._last.get(name, ()))

    def repeat(self, name: str) -> None:
        """Say again what a process said last, if others have spoken since."""
        if self._latest != name:
            for line in self.last_lines(name):
                self._log(name, line)

    def _pump(self, name: str, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        with popen.stdout as lines:
            for line in lines:
                if (said := line.rstrip("\n")) == _NOISE:
                    continue
                self._last.setdefault(name, deque(maxlen=_MOST_LAST_LINES)).append(said)
                self._latest = name
                self._log(name, said)
        self.ended.set()


def start(stage: str, listener: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Serve a stage on a listening socket, in a session of its own, which Ctrl-C does not reach. Raises OSError."""
    fd = listener.fileno()
    return subprocess.Popen(
        python("-m", "splitway.cli.main", "serve", stage, "--fd", str(fd), "--parent", str(os.getpid())),
        env=dict(environment),
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def address(listener: socket.socket, scheme: str) -> str:
    """Return where a socket is reached from this machine."""
    host, port = listener.getsockname()[:2]
    reachable = "127.0.0.1" if host == _EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"{scheme}://{reachable}:{port}"


def bind_near(port: int) -> socket.socket:
    """Bind this port on loopback, or a free one if it is taken, or is 0."""
    if port:
        try:
            return bind("127.0.0.1", port)
        except SetupError:
            pass
    return bind_free("127.0.0.1")


def stop_all(processes: list[Process], timeout_s: float) -> None:
    """Stop the gateway, then the stages; each finishes its work. A process that does not end in time is killed."""
    for group in ([p for p in processes if p.stage == GATEWAY], [p for p in processes if p.stage != GATEWAY]):
        for process in group:
            if process.exit_code is None:
                process.popen.send_signal(signal.SIGTERM)
        ends_s = time.monotonic() + timeout_s
        for process in group:
            _wait_or_kill(process, ends_s - time.monotonic())


def _wait_or_kill(process: Process, timeout_s: float) -> None:
    try:
        process.popen.wait(max(0.1, timeout_s))
    except subprocess.TimeoutExpired:
        process.popen.kill()
        process.popen.wait()
    process.pump.join(timeout=2)
