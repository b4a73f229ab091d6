"""`splitway serve classifier` with an engine that hangs, or is slow, where its features say so."""

from __future__ import annotations

import sys
import threading
import time

from splitway.cli.operate.serve import serve
from splitway.runtime.engines.litert import LiteRTEngine

HANGS, SLOW = 666.0, 777.0
"""First number of a row."""
SLOW_S = 0.8


def main(port: int) -> int:
    run = LiteRTEngine.infer

    def infer(self: LiteRTEngine, inputs: dict) -> dict:  # type: ignore[type-arg]
        first = float(next(iter(inputs.values())).flat[0])
        if first == HANGS:
            threading.Event().wait()
        if first == SLOW:
            time.sleep(SLOW_S)
        return run(self, inputs)

    LiteRTEngine.infer = infer  # type: ignore[method-assign, assignment]
    return serve("classifier", "127.0.0.1", port, fd=None, drain_s=0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
