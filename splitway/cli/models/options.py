"""Options that the commands which read a model or write bundles share."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR
from splitway.errors import SetupError

if TYPE_CHECKING:
    from splitway.api.source import SourceOptions

Model = Annotated[
    Path, typer.Argument(help="A model saved with model.save('name.keras'), or the folder of a SavedModel.")
]
AllowLegacy = Annotated[bool, typer.Option("--allow-legacy", help="Accept .h5 files, an older and less safe format.")]
CustomObjects = Annotated[
    list[str] | None,
    typer.Option(
        help="Module (name or file.py) with the model's own classes; may be repeated. It is imported, so its code runs."
    ),
]
Size = Annotated[
    str, typer.Option(metavar="HEIGHTxWIDTH", help="Size of the pictures, for a model that accepts any size.")
]
Samples = Annotated[
    Path | None,
    typer.Option(
        help="Pictures (a folder) or rows (.npz, .csv, .jsonl) for the proof, beside random inputs. Columns of a "
        ".csv are called name for an input of one number, name[0],name[1],... for one of several."
    ),
]
UnsureBelow = Annotated[
    float | None,
    typer.Option(
        help="Mark of the head: show its answer as not sure where the first label has a lower probability.",
        min=0.0,
        max=1.0,
        show_default=False,
    ),
]
Version = Annotated[str, typer.Option(help="Version to write: a whole number from 1 up.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing bundles.")]


def default_samples(samples: Path | None) -> Path | None:
    """The given samples, or else those that come with the project."""
    return samples or (Path("samples") if Path("samples").is_dir() else None)


def reading(
    context: typer.Context, allow_legacy: bool, custom_objects: list[str] | None, size: str = "224x224"
) -> SourceOptions:
    """Return the options for reading a model. Remarks on the model go to the terminal."""
    from splitway.api.source import SourceOptions

    modules = ",".join(custom_objects or ())
    given, pictures = Given.of(context), default_samples(None)
    return SourceOptions(
        allow_legacy, modules or None, parse_size(size), given, pictures, partial(ERR.print, markup=False)
    )


def parse_size(text: str) -> tuple[int, int]:
    """Read HEIGHTxWIDTH, or one number for both. Raises SetupError."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and 0 < int(part) <= 4096 for part in parts):
        raise SetupError(f"--size must be HEIGHTxWIDTH in pixels, such as 224x224, not {text!r}")
    return int(parts[0]), int(parts[-1])


def parse_range(text: str) -> tuple[float, float]:
    """Read LOW:HIGH. Raises SetupError."""
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise SetupError(f"--range must be LOW:HIGH, such as 0:1 or -1:1, not {text!r}") from error
    return low, high


def repeated(context: typer.Context, *names: str) -> str:
    """What was given of these options, each after a space, for a command that is printed to be copied."""
    words: list[str] = []
    for name, option in Given.of(context).options.items():
        value = context.params[name] if name in names else []
        several = value if isinstance(value, list) else [value]
        words += [option if each is True else f"{option} {shlex.quote(str(each))}" for each in several]
    return "".join(f" {word}" for word in words)
