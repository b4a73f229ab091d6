"""Closed arrivals by Locust, in a process of its own, which Locust patches: one line of JSON for each step.

Locust lets `time.sleep` here run its users meanwhile.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from typing import Any

from locust.env import Environment

from tests.load.user import CheckedUser


class _Recorder:
    """Keeps exact times; Locust's own statistics round them to two digits."""

    def __init__(self, environment: Environment) -> None:
        self.times_ms: list[float] = []
        self.faults: list[str] = []
        environment.events.request.add_listener(self._request)  # type: ignore[no-untyped-call] # Locust's has no types

    def clear(self) -> None:
        self.times_ms, self.faults = [], []

    def _request(self, *, response_time: float, exception: BaseException | str | None, **_: Any) -> None:
        if exception is None:
            self.times_ms.append(response_time)
        else:
            self.faults.append(str(exception))


def _user_class(service: str) -> type[CheckedUser]:
    module = importlib.import_module(f"tests.load.{service}")
    return next(
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, CheckedUser) and each is not CheckedUser
    )


def main() -> None:
    """Hold each number of users for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service")
    parser.add_argument("--host", required=True)
    parser.add_argument("--users", type=int, nargs="+", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    environment = Environment(user_classes=[_user_class(options.service)], host=options.host, catch_exceptions=False)
    runner = environment.create_local_runner()
    recorder = _Recorder(environment)
    for users in options.users:
        runner.start(users, spawn_rate=min(users, 100))
        while runner.user_count < users:
            time.sleep(0.01)
        recorder.clear()
        started_s = time.perf_counter()
        time.sleep(options.seconds)
        seconds = time.perf_counter() - started_s
        step = {"users": users, "seconds": seconds, "times_ms": recorder.times_ms, "faults": recorder.faults}
        print(json.dumps(step), flush=True)
    runner.quit()


if __name__ == "__main__":
    main()
