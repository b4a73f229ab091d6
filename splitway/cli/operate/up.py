"""`splitway up` and `splitway demo`."""

from __future__ import annotations

import os
import pkgutil
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event

from rich.markup import escape

from splitway.bundle_graph import find_chain
from splitway.cli.ask.classify import classify_files, print_table
from splitway.cli.console import ERR, OUT, emit, stop_signal
from splitway.cli.launched.banner import banner
from splitway.cli.launched.detach import Report, own_command, start_detached
from splitway.cli.launched.output import LogFile, TerminalOutput, UpOutput
from splitway.cli.launched.pipelines import listed_pipeline
from splitway.environment import read_environment
from splitway.errors import SetupError, SplitwayError, printable
from splitway.local.launch import LaunchPlan, LocalPipeline
from splitway.local.run_file import make_run_folder
from splitway.local.runs import log_path, only_one, run_path
from splitway.local.supervisor import Supervisor
from splitway.names import ALL_HEADS
from splitway.security.networks import is_exposed

_POLL_S, _LOOK_S = 0.05, 0.2
_RENEW_S = 600.0
_READY_WITHIN_S = 120.0
_SETTINGS, _MEANS = "splitway.gateway.settings:GatewaySettings", "splitway.gateway.wiring:means_of"
"""What the gateway asks at its start; by name, for this package must not import it."""
_TEXT_LOGS = {"SPLITWAY_LOG_FORMAT": "text"}


def up(
    plan: LaunchPlan,
    name: str | None = None,
    *,
    detach: bool = False,
    report_fd: int | None = None,
    as_json: bool = False,
) -> None:
    """Start everything, stay until told to stop, stop everything; keep up what ends, if the plan says so.

    Args:
        plan: what is started; its run file is that of `name`.
        name: of this pipeline in this folder.
        detach: go on in another process, and return when everything is ready.
        report_fd: where this process, if it is that other one, tells how it comes along.
        as_json: print the pipeline as `ps --json` has it, once it is ready.

    Raises:
        SetupError: a port is taken, a bundle is missing, other machines would reach a gateway that asks for no key, a
            pipeline of that name runs, or a process ended before the pipeline was ready.
    """
    plan = replace(plan, run_file=run_path(name))
    if report_fd is not None:
        _go_on_detached(replace(plan, log=log_path(name)), name, Report(report_fd))
    elif detach:
        check_is_closed(plan)
        log = log_path(name)
        make_run_folder(log.parent)
        OUT.print(start_detached(lambda fd: own_command("--report-fd", str(fd)), log), markup=False)
        emit(as_json, asdict(listed_pipeline(name)))
    else:
        check_is_closed(plan)
        with only_one(run_path(name)):
            _run(plan, name, TerminalOutput(), Report())


def check_is_closed(plan: LaunchPlan) -> None:
    """Raise SetupError, before anything is started, if other machines would reach a gateway that asks for no key.

    Says so if their keys would travel in the clear.
    """
    if not is_exposed(plan.host):
        return
    settings = read_environment(pkgutil.resolve_name(_SETTINGS))
    asks = pkgutil.resolve_name(_MEANS)(settings, exposed=True) is not None
    if asks and plan.tls is None:
        ERR.print(
            f"keys travel unencrypted to {plan.host}:{plan.port}: add --tls-cert and --tls-key, or put a proxy that "
            "speaks TLS before it",
            style="yellow",
            markup=False,
        )


def _go_on_detached(plan: LaunchPlan, name: str | None, report: Report) -> None:
    """Run what another process started and waits for."""
    assert plan.run_file is not None
    assert plan.log is not None
    try:
        with only_one(plan.run_file):
            _run(plan, name, LogFile(plan.log), report)
    except SplitwayError as error:
        report.failed(error.in_full)
        raise


def _run(plan: LaunchPlan, name: str | None, output: UpOutput, report: Report) -> None:
    """Run the pipeline until told to stop.

    Args:
        plan: what is started.
        name: of the pipeline.
        output: where the log goes.
        report: told how the start comes along.
    """
    stop = stop_signal()
    readable = _TEXT_LOGS if plan.log is not None or OUT.is_terminal else {}
    environment = readable | os.environ | _for_commands(plan.models, name, os.environ)
    try:
        with LocalPipeline(replace(plan, environment=environment), output.of_process) as pipeline:
            seconds = _wait_ready(pipeline, stop, report)
            if seconds is None:
                return
            first, *others = banner(plan, pipeline, name, seconds)
            output.say(first, style="bold")
            for line in others:
                output.say(escape(line))
            report.done([first, *others])
            _watch(pipeline, stop, output, restart=plan.restart)
            output.say("stopping")
        output.say("stopped")
    finally:
        output.close()


def _for_commands(models: Path, name: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """What the page's commands must be told to mean this pipeline, and need not where it goes without saying."""
    is_plain = name is None and models == Path("models")
    follows_file = "SPLITWAY_RELEASES" in environment  # which commands in the same shell follow too
    named = "" if is_plain or follows_file else str(models)
    return {"SPLITWAY_RUN_NAME": name or "", "SPLITWAY_RUN_MODELS": named}


def _wait_ready(pipeline: LocalPipeline, stop: Event, report: Report) -> float | None:
    """Wait until all is ready; return the seconds it took, or None if told to stop before."""
    started_s, said = time.monotonic(), None
    try:
        for reason in pipeline.until_ready(_READY_WITHIN_S):
            if reason != said:
                report.step(f"starting: {reason}")
                said = reason
            if stop.wait(_POLL_S):
                return None
    except SetupError:
        for line in pipeline.last_lines:
            report.line(line)
        raise
    return time.monotonic() - started_s


def _watch(pipeline: LocalPipeline, stop: Event, output: UpOutput, *, restart: bool) -> None:
    """Look after the processes and renew certificates, until told to stop. Raises SetupError if none is left."""
    supervisor = Supervisor(pipeline, output.of_process, pipeline.is_ready, restart=restart)
    renew_at_s = time.monotonic() + _RENEW_S
    while not stop.is_set():
        supervisor.look()
        if supervisor.all_have_ended:
            raise SetupError("every process has ended")
        if time.monotonic() >= renew_at_s:
            renew_at_s += _RENEW_S
            _renew(pipeline, output)
        pipeline.wait_for_an_end(_LOOK_S)


def _renew(pipeline: LocalPipeline, output: UpOutput) -> None:
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
