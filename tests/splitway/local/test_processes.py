"""What is handed on of a process's output."""

from __future__ import annotations

import subprocess

from splitway.local.processes import ProcessOutput
from splitway.process.child import python

SAYS = "print('INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\nINFO: it is ready')"


def test_what_litert_says_of_every_model_is_left_out() -> None:
    lines: list[tuple[str, str]] = []
    output = ProcessOutput(lambda name, line: lines.append((name, line)))
    with subprocess.Popen(python("-c", SAYS), stdout=subprocess.PIPE, text=True) as process:
        output.follow("classifier", process).join()
    assert lines == [("classifier", "INFO: it is ready")]
    assert output.last_lines("classifier") == ["INFO: it is ready"]
