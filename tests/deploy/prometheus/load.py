"""A few clients who send pictures until they are told to stop, and count what they got."""

from __future__ import annotations

import itertools
import threading
from collections import Counter

import httpx


class Load:
    """Runs while it is entered.

    Args:
        url: the gateway's.
        picture: what is sent: as it is and, in turn, with bytes behind it that make it a new one.
        clients: how many at once, each waiting for its answers.
    """

    def __init__(self, url: str, picture: bytes, clients: int = 3) -> None:
        self._url = f"{url}/v1/classify"
        self._picture = picture
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send, name=f"client {number}") for number in range(clients)]
        self.statuses: Counter[int] = Counter()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with httpx.Client(headers={"content-type": "image/jpeg"}, timeout=30, trust_env=False) as client:
            while not self._stop.is_set():
                number = next(self._numbers)
                body = self._picture + (number.to_bytes(8, "big") if number % 2 else b"")
                status = client.post(self._url, content=body).status_code
                with self._lock:
                    self.statuses[status] += 1
