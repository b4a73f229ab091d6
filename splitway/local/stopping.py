"""Stopping a pipeline that another process started: what its run file names is stopped, and nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from splitway.errors import SetupError
from splitway.local.places import RUN_FILE, Place, can_be_told
from splitway.local.run_file import RunFile, read_run
from splitway.local.runs import left_names, run_path
from splitway.state_file import hold, let_go

_PATIENCE_S = 80.0
"""More than gateway and stages take one after the other, if each takes as long as it may."""
_POLL_S = 0.05


def stop_run(path: Path, run: RunFile) -> None:
    """Stop the pipeline of a run file as Ctrl-C would, and wait until all of it has ended.

    What a killed `splitway up` left is stopped process by process.

    Raises:
        SetupError: other users can write the file, a process that it names may be another one, or one has not ended in
            time.
    """
    if run.doubt is not None:
        raise SetupError(f"{run.doubt}; nothing is stopped")
    launcher = None if run.launcher is None else run.launcher.process
    if launcher is not None and launcher.is_alive:
        _check_is_ours(path, launcher)
        _tell_to_stop(launcher)
        _wait([launcher, *run.places])
    else:
        left = [place for place in run.places if place.is_alive]
        if doubt := next((place.doubt for place in left if place.doubt), None):
            raise SetupError(f"{doubt}; nothing is stopped")
        for place in left:
            _tell_to_stop(place)
        _wait(left)
    _clear_away(path)


def _check_is_ours(path: Path, launcher: Place) -> None:
    """Raise SetupError unless a process is what it is taken for; where the system does not tell, by the lock it has."""
    if can_be_told() and launcher.started is not None:
        return
    held = hold(path.with_suffix(".lock"))
    if held is not None:
        let_go(path.with_suffix(".lock"), held)
        raise SetupError(f"{path} is left over: process {launcher.pid}, which it names, is another; remove the file")


def _tell_to_stop(place: Place) -> None:
    """Send SIGTERM to the process that is meant, or to none."""
    if not hasattr(os, "pidfd_open"):
        os.kill(place.pid, signal.SIGTERM)
        return
    try:
        process = os.pidfd_open(place.pid)
    except ProcessLookupError:
        return
    try:
        if place.is_alive:  # looked at once more, now that its number cannot become another's
            signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        pass
    finally:
        os.close(process)


def _wait(places: Sequence[Place]) -> None:
    ends_s = time.monotonic() + _PATIENCE_S
    while left := [place for place in places if place.is_alive]:
        if time.monotonic() >= ends_s:
            pids = " ".join(str(place.pid) for place in left)
            raise SetupError(f"not everything has ended within {_PATIENCE_S:.0f} s; what is left: kill -9 {pids}")
        time.sleep(_POLL_S)


def clear_stale(unnamed: Path = RUN_FILE) -> None:
    """Remove what killed `splitway up` left in a folder of which nothing runs any more. What is in doubt stays."""
    for name in left_names(unnamed):
        with suppress(OSError, SetupError):  # such as in a folder that is not the user's to write
            _clear_away(run_path(name, unnamed))


def _clear_away(path: Path) -> None:
    """Remove the files that a killed `splitway up` left, unless something of it, or another one, runs by now.

    Raises OSError for files that cannot be removed, SetupError for a run file that cannot be read.
    """
    lock = path.with_suffix(".lock")
    if (held := hold(lock)) is None:
        return
    try:
        run = read_run(path)
        if run is not None and run.doubt is None and not run.is_running:
            path.unlink()
    finally:
        let_go(lock, held)
