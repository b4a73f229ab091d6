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

from rich.live import Live

from splitway.cli.console import OUT, Terminal
from splitway.cli.credentials import gateway_client, kept_back, say_what_is_kept_back
from splitway.cli.status import TIMEOUT_S, Look, ask
from splitway.cli.watch.view import plain_line, view
from splitway.errors import SetupError
from splitway.local.runs import LocalGateway


def top(find: Callable[[], LocalGateway], interval_s: float, *, once: bool, as_json: bool) -> int:
    """Show the pipeline whose gateway `find` finds, once or until told to stop; return the exit code.

    Raises SetupError if it cannot be found, or the key cannot be sent. `as_json` gives the gateway's own words.
    """
    say_what_is_kept_back(find())
    write = Look.to_json if as_json else plain_line
    if once:
        look = next(_looks(find, interval_s))
        paper = Terminal(highlight=False, width=None if OUT.is_terminal else 140)
        print(write(look), flush=True) if as_json else paper.print(view(look, paper.width))
        return 0 if look.is_ready else 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the reader of a pipe has read enough
        if OUT.is_terminal and sys.stdin.isatty() and not OUT.is_dumb_terminal and not as_json:
            _on_screen(find, interval_s)
        for look in _looks(find, interval_s):
            print(write(look), flush=True)
    return 0


def _looks(
    find: Callable[[], LocalGateway], interval_s: float, wait: Callable[[float], object] = time.sleep
) -> Iterator[Look]:
    asked = find()
    while True:
        with gateway_client(asked, TIMEOUT_S) as client:
            while (now := _found_again(find, asked)) == asked:
                look, said = ask(client, asked.url), kept_back(asked)
                yield look if look.refused is None or said is None else replace(look, trouble=said)
                wait(max(0.0, look.at_s + interval_s - time.monotonic()))
        asked = now


def _found_again(find: Callable[[], LocalGateway], asked: LocalGateway) -> LocalGateway:
    """Where the gateway is now; where it cannot be found, it is where it was."""
    try:
        return find()
    except SetupError:
        return asked


def _on_screen(find: Callable[[], LocalGateway], interval_s: float) -> None:
    """Draw on the terminal's other screen until q, Ctrl-C or SIGTERM raises KeyboardInterrupt."""
    screen, modes = Terminal(highlight=False), termios.tcgetattr(sys.stdin)
    answered: deque[Look] = deque(maxlen=2 + int(10.0 / interval_s))  # calls per second are of the last 10 s
    tty.setcbreak(sys.stdin)  # keys come one by one and unseen; Ctrl-C still sends its signal
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z would leave the shell on this screen, without an echo
    try:
        with Live(console=screen, screen=True) as live:
            for look in _looks(find, interval_s, _wait_for_q):
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
