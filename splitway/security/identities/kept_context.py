"""TLS for what listens, from files that are read again while it does."""

from __future__ import annotations

import logging
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from splitway.errors import SetupError
from splitway.state_file import signature

_log = logging.getLogger(__name__)
_LOOK_S = 2.0
Clock = Callable[[], float]


class KeptContext(ABC):
    """Certificate files that are checked every two seconds.

    New connections use what was read last; those that are open go on. What cannot be read changes nothing.

    Args:
        files: what is read, the own certificate first.
        make_with: what writes a file that is missing, for people.
        clock: seconds, monotonic.

    Raises:
        SetupError: the files cannot be read, or do not belong together.
    """

    def __init__(self, files: Sequence[Path], make_with: str = "", clock: Clock = time.monotonic) -> None:
        self._files = files
        self._make_with = make_with
        self._clock = clock
        self._looked_s = clock()
        self._seen = self._signatures()
        self._load()
        self._complaint = ""
        self.generation = 0
        """Another one whenever other certificates have been read."""

    @abstractmethod
    def _load(self) -> None:
        """Read the files. Raises SetupError, and changes nothing then."""

    @abstractmethod
    def _server(self) -> ssl.SSLContext:
        """The context for what listens, of the files as they were read last."""

    @abstractmethod
    def _say_changed(self, *, own: bool) -> None:
        """Log that other files have been read, the own certificate or others."""

    @abstractmethod
    def _warn(self) -> None:
        """Log what is wrong with the own certificate, whenever the files have been checked."""

    def admits(self, peer: str | None) -> bool:
        """Whether a connection is served, whose other end has shown the certificate of this service, or of none."""
        return True

    def server_context(self) -> ssl.SSLContext:
        """To listen with for as long as the process lives: each handshake uses what was read last."""
        context = self._server()

        def use_the_last(handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
            self.look()
            handshake.context = self._server()

        context.sni_callback = use_the_last
        return context

    def look(self) -> None:
        """Read the files again if they have changed. To be called often: it does nothing most of the time."""
        if self._clock() - self._looked_s < _LOOK_S:
            return
        self._looked_s = self._clock()
        try:
            seen = self._signatures()
            if seen != self._seen:
                self._load()
                before, self._seen = self._seen, seen
                self.generation += 1
                self._say_changed(own=seen[0] != before[0])
            self._complaint = ""
        except SetupError as error:
            if error.detail != self._complaint:
                _log.error("the previous certificate stays in use: %s", error.detail)
            self._complaint = error.detail
        self._warn()

    def _signatures(self) -> list[object]:
        try:
            return [signature(file) for file in self._files]
        except OSError as error:
            hint = f"; {self._make_with} writes it" if self._make_with else ""
            raise SetupError(f"cannot read {error.filename}: {error.strerror}{hint}") from error
