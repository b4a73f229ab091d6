"""`splitway up` and `splitway demo`."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

from rich.markup import escape

from splitway.bundle_graph import find_chain
from splitway.cli.ask.classify import classify_files, print_table
from splitway.cli.console import ERR, OUT, stop_signal
from splitway.errors import SetupError, printable
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.names import ALL_HEADS, EXTRACTOR, GATEWAY, HEADS
from splitway.telemetry.log.lines import Lines

_COLOURS = {GATEWAY: "cyan", EXTRACTOR: "green", HEADS: "magenta"}
_BODY_COLOUR = "yellow"
_WATCH_S = 0.2
_RENEW_S = 600.0


class _Output:
    """What `splitway up` prints: what the processes say with their names before it, and what it says itself.

    Where stdout is no terminal, it gets the processes' JSON alone; all else goes to stderr. A reader that
    stops reading blocks no process.
    """

    def __init__(self) -> None:
        self._json = Lines(sys.stdout)
        self._console, stream = (OUT, sys.stdout) if OUT.is_terminal else (ERR, sys.stderr)
        self._text = self._json if OUT.is_terminal else Lines(stream)

    def of_process(self, name: str, line: str) -> None:
        """Print one line of a process's output. Called from any thread."""
        if not OUT.is_terminal and line.startswith("{"):
            self._json.write(line)
            return
        colour = _COLOURS.get(name.partition(".")[0], _BODY_COLOUR)
        self.say(f"[{colour}]{name:<20}|[/] {escape(line)}")

    def say(self, line: str, style: str | None = None) -> None:
        """Print one line, with rich's markup."""
        with self._console.capture() as rendered:
            self._console.print(line, style=style)
        self._text.write(rendered.get().rstrip("\n"))

    def close(self) -> None:
        """Wait a moment until all is printed."""
        self._json.flush()
        self._text.flush()


def up(plan: LaunchPlan) -> None:
    """Start everything, stay until told to stop, stop everything.

    Raises:
        SetupError: a port is taken, a bundle is missing, or a process ended before the pipeline was ready.
    """
    stop, output = stop_signal(), _Output()
    readable = {"SPLITWAY_LOG_FORMAT": "text"} if OUT.is_terminal else {}
    plan = replace(plan, environment=readable | os.environ)
    try:
        with LocalPipeline(plan, output.of_process) as pipeline:
            seconds = _wait_ready(pipeline, stop)
            if seconds is None:
                return
            output.say(f"ready in {seconds:.1f} s: {pipeline.gateway.url}; Ctrl-C stops everything", style="bold")
            _watch(pipeline, stop, output)
            output.say("stopping")
        output.say("stopped")
    finally:
        output.close()


def _wait_ready(pipeline: LocalPipeline, stop: Event) -> float | None:
    """Wait until all is ready; None if told to stop before."""
    started_s = time.monotonic()
    while not stop.wait(0.0):
        try:
            pipeline.wait_ready(timeout_s=1.0)
        except SetupError:
            pipeline.raise_if_ended()
            if time.monotonic() - started_s > 120:
                raise
            continue
        return time.monotonic() - started_s
    return None


def _watch(pipeline: LocalPipeline, stop: Event, output: _Output) -> None:
    """Say when a replica ends, renew certificates; go on while the gateway lives."""
    ended: set[str] = set()
    renew_at_s = time.monotonic() + _RENEW_S
    while not stop.wait(_WATCH_S):
        if time.monotonic() >= renew_at_s:
            renew_at_s += _RENEW_S
            _renew(pipeline, output)
        for process in pipeline.processes:
            if process.exit_code is not None and process.name not in ended:
                ended.add(process.name)
                output.of_process(process.name, f"exited with {process.exit_code}; splitway up does not restart it")
        if pipeline.gateway.exit_code is not None:
            raise SetupError(f"the gateway ended with {pipeline.gateway.exit_code}; everything is stopped")


def _renew(pipeline: LocalPipeline, output: _Output) -> None:
    """Renew what is due. What stands in the way of that ends nothing that runs."""
    try:
        renewed = pipeline.renew_certificates()
    except SetupError as error:
        output.say(f"certificates are not renewed: {escape(error.detail)}", style="yellow")
    else:
        if renewed:
            output.say(f"new certificates: {', '.join(renewed)}")


@contextmanager
def passing_pipeline(models: Path, environment: Mapping[str, str] | None = None) -> Iterator[LocalPipeline]:
    """A ready pipeline on free ports, stopped afterwards; if it fails, the last lines of its log are shown.

    Raises:
        SetupError: it did not come up, or one of its processes has ended meanwhile.
    """
    tail: deque[str] = deque(maxlen=20)
    plan = LaunchPlan(models, port=0, environment=environment, run_file=None)
    try:
        with LocalPipeline(plan, lambda name, line: tail.append(f"{name} | {line}")) as pipeline:
            seconds = pipeline.wait_ready()
            ERR.print(f"pipeline ready in {seconds:.1f} s at {pipeline.gateway.url}")
            yield pipeline
            pipeline.raise_if_ended()
    except SetupError:
        print(printable("\n".join(tail)), file=sys.stderr)
        raise


def demo(models: Path, files: list[Path]) -> None:
    """Start the pipeline on free ports, classify the files by every head that is there, print a table, stop.

    Raises:
        SetupError: the pipeline did not come up, or a file could not be classified.
    """
    with passing_pipeline(models) as pipeline:
        heads = [ALL_HEADS] if len(find_chain(models).heads) > 1 else []
        results = classify_files(files, pipeline.gateway.url, top_k=3, heads=heads)
    print_table(results)
    if any(result.failed for result in results):
        raise SetupError("not every file could be classified")
