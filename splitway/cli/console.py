"""What the commands share at the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Annotated, Any

import typer
from rich.columns import Columns
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.segment import Segment
from rich.text import Text

from splitway.cli.setup import complete
from splitway.errors import SplitwayError, printable
from splitway.process.progress import listening

_WIDE = 10_000


class Terminal(Console):
    """A console that shows text from elsewhere, such as labels and answers, and is moved by none of it.

    Where it is no terminal it is as wide as anything: a pipe gets whole lines, of tables too, unless COLUMNS says
    otherwise.
    """

    @property
    def size(self) -> ConsoleDimensions:
        found = super().size
        if self.is_terminal or self._width is not None or "COLUMNS" in os.environ:
            return found
        return ConsoleDimensions(_WIDE, found.height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give the segments of what is drawn; what is not printable in their text is spelt out."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment(printable(text), segment.style)


Url = Annotated[
    str | None,
    typer.Option(
        help="Address of the gateway, such as gateway:8080. Default: that of the pipeline started in this folder, or "
        "http://127.0.0.1:8080.",
        envvar="SPLITWAY_URL",
    ),
]
"""The gateway that a command asks."""
RunName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="The pipeline that was started with this name from this folder.",
        autocompletion=complete.run_names,
    ),
]
"""The pipeline that a command is about, where several run from this folder."""


def _to_stderr(context: typer.Context, as_json: bool) -> bool:
    OUT.stderr = context.meta[JSON_ASKED] = as_json
    return as_json


JSON_ASKED = "splitway.json"
"""Where a command's context says that its result is to be one JSON object, an error too."""
Json = Annotated[
    bool,
    typer.Option("--json", callback=_to_stderr, help="Print the result as one JSON object; messages go to stderr."),
]
Models = Annotated[Path, typer.Option(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]
Out = Annotated[Path, typer.Option(help="Folder to write the bundles into.", envvar="SPLITWAY_MODELS")]
OUT = Terminal(soft_wrap=True, highlight=False)
ERR = Terminal(stderr=True, soft_wrap=True, highlight=False)
BAR_WIDTH = 20


def emit(as_json: bool, content: Mapping[str, Any]) -> None:
    """Print what a command has made as one JSON object, if that is asked for."""
    if as_json:
        print(json.dumps(content, default=str))


@contextmanager
def one_line_errors(meta: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """End the command with one line, not a traceback, for every failure that has a name.

    `meta` is that of the command's context: where JSON is asked for, stdout gets `{"error": {"code", "detail"}}` too.
    """
    try:
        yield
    except (SplitwayError, OSError) as error:
        named = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        says = error.in_full if isinstance(error, SplitwayError) else f"{named}{error.strerror or error}"
        code = error.code if isinstance(error, SplitwayError) else "os_error"
        if not isinstance(error, BrokenPipeError):  # the reader knows that it has gone
            ERR.print(f"splitway: {says}", style="red", markup=False)
        with _stdout_that_may_be_broken():
            emit(meta.get(JSON_ASKED, False), {"error": {"code": code, "detail": says}})
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        ERR.print(": ".join(["splitway: interrupted", *map(str, error.args)]), markup=False)
        raise typer.Exit(130) from error


@contextmanager
def if_interrupted(says: str = "nothing half-made is left") -> Iterator[None]:
    """Name what an interrupt has left, for the line that the command ends with."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(says) from error


@contextmanager
def _stdout_that_may_be_broken() -> Iterator[None]:
    """Write no more to a stdout that takes nothing, so that Python has nothing to complain of at its end."""
    try:
        yield
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def stop_signal() -> threading.Event:
    """An event that SIGINT and SIGTERM set from now on."""
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked.set())
    return asked


class _Since(ProgressColumn):
    """The time since the command began, whatever step it is at."""

    def __init__(self, elapsed: Callable[[], str]) -> None:
        super().__init__()
        self._elapsed = elapsed

    def render(self, task: Task) -> Text:
        return Text(self._elapsed())


class _KnownBar(BarColumn):
    """A bar with its percentage, for steps of which it is known how far they are."""

    def render(self, task: Task) -> Any:
        if task.total is None:
            return Text()
        return Columns([super().render(task), Text(f"{task.percentage:3.0f} %")])


class Steps:
    """Shows long work step by step: on a terminal with a bar where it is known how far it is, plain lines elsewhere."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._interrupted = False
        self._listening = ExitStack()
        self._shown: Progress | None = None
        if ERR.is_terminal:
            said = TextColumn("{task.description}", markup=False)
            columns = (SpinnerColumn(), _Since(lambda: self._elapsed), said, _KnownBar(BAR_WIDTH))
            self._shown = Progress(*columns, console=ERR, transient=True)
            self._shown.add_task("starting", total=None)

    def __enter__(self) -> Steps:
        self._listening.enter_context(listening(self.progress))
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._interrupt)
            sys.unraisablehook = _quiet_interrupts
        if self._shown:
            self._shown.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the steps. Raises KeyboardInterrupt in place of what foreign code has made of it, such as an import in
        C++, which ends in a SystemError."""
        self.stop()
        if self._interrupted and kind is not None and not issubclass(kind, KeyboardInterrupt):
            raise KeyboardInterrupt from None

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        """End the command in an orderly way, so that what is half-made is cleared away."""
        self._interrupted = True
        raise KeyboardInterrupt

    def stop(self) -> None:
        """Make room for the result."""
        self._listening.close()
        if self._shown:
            self._shown.stop()

    def say(self, step: str) -> None:
        """Name the step that begins now. Raises KeyboardInterrupt if an earlier one was swallowed by foreign code."""
        if self._interrupted:
            raise KeyboardInterrupt
        if self._shown:
            for task in self._shown.task_ids:
                self._shown.remove_task(task)
            self._shown.add_task(step, total=None)
        else:
            print(f"{self._elapsed}  {printable(step)}", file=sys.stderr, flush=True)

    def progress(self, done: float) -> None:
        """Show on a terminal how much of the step that was named last is done, from 0 to 1."""
        if self._shown:
            self._shown.update(self._shown.task_ids[-1], total=1.0, completed=min(done, 1.0))

    @property
    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started_s:5.1f} s"


def _quiet_interrupts(swallowed: sys.UnraisableHookArgs) -> None:
    """Say nothing where Ctrl-C came while an object was cleared away: the next step ends the command."""
    if swallowed.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(swallowed)


def bar(share: float) -> str:
    """Draw a share of 1 as a bar of at most `BAR_WIDTH` characters."""
    return "█" * round(min(max(share, 0.0), 1.0) * BAR_WIDTH)


@contextmanager
def tensorflow_hushed() -> Iterator[None]:
    """Keep TensorFlow to the CPU and its C++ parts, which write to the process's stderr, off the user's screen.

    Python's own stderr goes on; what was hushed is shown if the command fails in a way that has no name.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Keras imports pyplot where it is installed, which takes seconds and leaves files; `new_figure` lets it in again
    sys.modules.setdefault("matplotlib", None)  # type: ignore[arg-type]
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    python_stderr, native_stderr = sys.stderr, os.dup(2)
    with tempfile.TemporaryFile() as hushed, os.fdopen(os.dup(2), "w", buffering=1) as spoken:
        os.dup2(hushed.fileno(), 2)
        sys.stderr = spoken
        try:
            yield
        except (SplitwayError, OSError, typer.Exit, KeyboardInterrupt):
            raise
        except BaseException:
            hushed.seek(0)
            spoken.write(hushed.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr = python_stderr
            os.dup2(native_stderr, 2)
            os.close(native_stderr)


@contextmanager
def steps_with_tensorflow() -> Iterator[Steps]:
    """The steps of a command that imports TensorFlow first, which takes seconds, and says so at once."""
    with tensorflow_hushed(), Steps() as steps:
        steps.say("loading TensorFlow")
        yield steps
