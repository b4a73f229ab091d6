"""The terminal while something is drawn on all of it: keys, resizing, Ctrl-Z, and everything put back at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live

Draw = Callable[[int, int], RenderableType]
"""Makes the picture for a screen of so many columns and lines."""
_QUIT_KEYS = b"qQ"


class Screen:
    """Draws on the terminal's other screen, so that what stood on it before is there again afterwards.

    Args:
        console: a terminal.
        quit_: called when q is pressed.
    """

    def __init__(self, console: Console, quit_: Callable[[], object]) -> None:
        self._console = console
        self._quit = quit_
        self._draw: Draw | None = None
        self._keys = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._open = ExitStack()
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        loop = asyncio.get_running_loop()
        self._start()
        for number, handler in ((signal.SIGWINCH, self._redraw), (signal.SIGTSTP, self._suspend)):
            loop.add_signal_handler(number, handler)
        if self._keys is not None:
            loop.add_reader(self._keys, self._read_keys)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._keys is not None:
            asyncio.get_running_loop().remove_reader(self._keys)
        self._stop()

    def draw(self, draw: Draw) -> None:
        """Show this, and again in the new size whenever that changes."""
        self._draw = draw
        self._redraw()

    def _redraw(self) -> None:
        if self._draw is None:
            return
        width, height = self._console.size
        self._live.update(self._draw(width, height), refresh=True)

    def _start(self) -> None:
        if self._keys is not None:
            before = termios.tcgetattr(self._keys)
            self._open.callback(termios.tcsetattr, self._keys, termios.TCSADRAIN, before)
            tty.setcbreak(self._keys)  # keys come one by one and unseen; Ctrl-C and Ctrl-Z still send their signals
        self._open.enter_context(self._live)

    def _stop(self) -> None:
        self._open.close()

    def _suspend(self) -> None:
        """Ctrl-Z: give the terminal back, stop, and take it again when continued."""
        self._stop()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._start()
        self._redraw()

    def _read_keys(self) -> None:
        assert self._keys is not None
        pressed = os.read(self._keys, 64)
        if not pressed or any(key in _QUIT_KEYS for key in pressed):  # nothing: the terminal is gone
            self._quit()
