"""`splitway top`: a running pipeline, looked at again and again: on a screen, as lines, or once."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import httpx
from rich.live import Live

from splitway.cli.console import OUT, Terminal
from splitway.cli.credentials import kept_back, key_for, say_what_is_kept_back
from splitway.cli.status import TIMEOUT_S, Look, ask
from splitway.cli.watch.view import plain_line, view
from splitway.local.places import named_url
from splitway.local.run_file import asked_gateway


def top(url: str | None, interval_s: float, *, once: bool, as_json: bool) -> int:
    """Show the pipeline until told to stop; return the exit code.

    Without an address it is that of the gateway that runs from this folder, wherever it is by then.

    Raises:
        SetupError: the address is none, or the key cannot be sent.
    """
    url = named_url(url)
    say_what_is_kept_back(asked_gateway(url))
    write = Look.to_json if as_json else plain_line
    if once:
        look = next(_looks(url, interval_s))
        paper = Terminal(highlight=False, width=None if OUT.is_terminal else 140)
        print(write(look), flush=True) if as_json else paper.print(view(look, paper.width))
        return 0 if look.is_ready else 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the reader of a pipe has read enough
        if OUT.is_terminal and sys.stdin.isatty() and not OUT.is_dumb_terminal and not as_json:
            _on_screen(url, interval_s)
        for look in _looks(url, interval_s):
            print(write(look), flush=True)
    return 0


def _looks(url: str | None, interval_s: float, wait: Callable[[float], object] = time.sleep) -> Iterator[Look]:
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        while True:
            local = asked_gateway(url)
            look, said = ask(client, local.url, key_for(local)), kept_back(local)
            yield look if look.refused is None or said is None else replace(look, trouble=said)
            wait(max(0.0, look.at_s + interval_s - time.monotonic()))


def _on_screen(url: str | None, interval_s: float) -> None:
    """Draw on the terminal's other screen until q, Ctrl-C or SIGTERM raises KeyboardInterrupt."""
    screen, modes = Terminal(highlight=False), termios.tcgetattr(sys.stdin)
    answered: deque[Look] = deque(maxlen=2 + int(10.0 / interval_s))  # calls per second are of the last 10 s
    tty.setcbreak(sys.stdin)  # keys come one by one and unseen; Ctrl-C still sends its signal
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z would leave the shell on this screen, without an echo
    try:
        with Live(console=screen, screen=True) as live:
            for look in _looks(url, interval_s, _wait_for_q):
                if look.status is not None:
                    answered.append(look)
                live.update(view(look, screen.width, answered[0] if answered else None, " · q quits"), refresh=True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, modes)


def _wait_for_q(seconds: float) -> None:
    """Wait, but not after q is pressed or the terminal is gone: both raise KeyboardInterrupt."""
    until_s = time.monotonic() + seconds
    while select.select([sys.stdin], [], [], max(0.0, until_s - time.monotonic()))[0]:
        if set(os.read(sys.stdin.fileno(), 64) or b"q") & set(b"qQ"):
            raise KeyboardInterrupt
