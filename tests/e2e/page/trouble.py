"""Trouble that makes a request go to a second replica."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from testkit.chaos.proxy import Lie, Proxy
from testkit.support import until
from tests.e2e.page.browser import View

_BUSY = b'{"error": "told to be in trouble"}'
_ANSWER = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


def ask_until_retried(view: View, proxies: Sequence[Proxy]) -> None:
    """Have whichever replica is called first answer 503, and ask; which one that will be is known only by trying."""

    def is_retried() -> bool:
        before = [proxy.inferences for proxy in proxies]
        view.ask()
        calls = [proxy.inferences - count for proxy, count in zip(proxies, before, strict=True)]
        with _busy(proxies[calls.index(max(calls))]):
            view.ask()
        return view.page.locator("#score .retry").count() > 0

    until(is_retried, 20)


@contextmanager
def _busy(proxy: Proxy) -> Iterator[None]:
    proxy.lie = Lie(_ANSWER % (len(_BUSY), _BUSY))
    try:
        yield
    finally:
        proxy.lie = None
