"""`splitway top`: a running pipeline, looked at again and again: on a screen, as lines, or once."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import httpx

from splitway.cli.console import OUT, Terminal
from splitway.cli.credentials import kept_back, key_for, say_what_is_kept_back
from splitway.cli.status import PATH, TIMEOUT_S, Look, no_answer, read_reply
from splitway.cli.watch.screen import Screen
from splitway.cli.watch.trend import Trends
from splitway.cli.watch.view import view
from splitway.cli.watch.wording import plain_line
from splitway.local.places import named_url
from splitway.local.run_file import asked_gateway

_PAPER_COLUMNS = 140
"""The view's width where no screen gives one."""
Show = Callable[[Look, Trends], None]


@dataclass(frozen=True)
class TopOptions:
    """Address, interval and form of the output.

    Args:
        url: the gateway; if None, the one that runs from this folder, wherever it is by then.
        interval_s: from one look to the next.
        once: look once.
        as_json: one object per line.
    """

    url: str | None
    interval_s: float
    once: bool
    as_json: bool


def top(options: TopOptions) -> int:
    """Show the pipeline until told to stop; return the exit code.

    Raises:
        SetupError: the address is none, or the key cannot be sent.
    """
    url = named_url(options.url)
    say_what_is_kept_back(asked_gateway(url))
    if options.once:
        return _once(url, as_json=options.as_json)
    if OUT.is_terminal and not OUT.is_dumb_terminal and not options.as_json:
        asyncio.run(_on_screen(url, options.interval_s))
    else:
        with suppress(BrokenPipeError):  # the reader has read enough
            asyncio.run(_watch(url, options.interval_s, _print_json if options.as_json else _print_line))
    return 0


def _once(url: str | None, *, as_json: bool) -> int:
    async def once() -> Look:
        async with _client() as client:
            return await _look(client, url)

    look, trends = asyncio.run(once()), Trends()
    if as_json:
        _print_json(look, trends)
    else:
        paper = Terminal(highlight=False, width=None if OUT.is_terminal else _PAPER_COLUMNS)
        paper.print(view(look, trends, paper.width))
    return 0 if look.is_ready else 1


async def _on_screen(url: str | None, interval_s: float) -> None:
    watching = asyncio.current_task()
    assert watching is not None
    with Screen(Terminal(highlight=False), quit_=watching.cancel) as screen:
        await _watch(url, interval_s, lambda look, trends: screen.draw(lambda w, h: view(look, trends, w, h)))


async def _watch(url: str | None, interval_s: float, show: Show) -> None:
    """Look and show until cancelled, which SIGINT and SIGTERM do."""
    watching, trends = asyncio.current_task(), Trends()
    assert watching is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    with suppress(asyncio.CancelledError):
        async with _client() as client:
            while True:
                look = await _look(client, url)
                if look.status is not None:
                    trends.add(look.at_s, look.status)
                show(look, trends)
                await asyncio.sleep(max(0.0, look.at_s + interval_s - time.monotonic()))


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)


async def _look(client: httpx.AsyncClient, url: str | None) -> Look:
    """Ask the gateway once; whatever comes of it is a look."""
    local, at_s = asked_gateway(url), time.monotonic()
    try:
        reply = await client.get(f"{local.url}{PATH}", headers=key_for(local))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return no_answer(local.url, error, datetime.now().astimezone(), at_s)
    look = read_reply(local.url, reply, datetime.now().astimezone(), at_s)
    said = kept_back(local)
    return look if look.refused is None or said is None else replace(look, trouble=said)


def _print_json(look: Look, _: Trends) -> None:
    print(look.to_json(), flush=True)


def _print_line(look: Look, trends: Trends) -> None:
    print(plain_line(look, trends.requests.rate_per_s), flush=True)
