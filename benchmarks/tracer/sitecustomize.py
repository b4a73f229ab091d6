"""Counts the bytecode instructions of a process while it is told to: SIGUSR1 begins, the next one ends and writes.

Python imports this by its name, before anything else, where PYTHONPATH names this folder. Threads are counted too, but
for the loops that they were in when it began.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_INSTRUCTIONS: Counter[CodeType] = Counter()
_CALLS: Counter[CodeType] = Counter()
_counting = threading.Event()


def _on_instruction(frame: FrameType, event: str, _: Any) -> Any:
    if event == "opcode":
        _INSTRUCTIONS[frame.f_code] += 1
    return _on_instruction


def _on_call(frame: FrameType, *_: Any) -> Any:
    if not _counting.is_set():
        return None
    _CALLS[frame.f_code] += 1
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    return _on_instruction


def _begin_or_end(*_: object) -> None:
    if not _counting.is_set():
        _INSTRUCTIONS.clear()
        _CALLS.clear()
        _counting.set()
        return
    _counting.clear()
    rows = [(code.co_filename, code.co_qualname, count, _CALLS[code]) for code, count in [*_INSTRUCTIONS.items()]]
    unfinished = Path(os.environ["COUNTED_TO"], f"{os.getpid()}.part")
    unfinished.write_text(json.dumps(rows))
    unfinished.rename(unfinished.with_suffix(".json"))


signal.signal(signal.SIGUSR1, _begin_or_end)
threading.settrace(_on_call)
sys.settrace(_on_call)
