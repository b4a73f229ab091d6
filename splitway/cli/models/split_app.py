"""`splitway inspect` and `splitway split`: their options and their help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splitway.api.given import Given
from splitway.cli.console import ERR, Steps, one_line_errors, tensorflow_hushed
from splitway.errors import SetupError
from splitway.names import DEFAULT_HEAD

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
Version = Annotated[str, typer.Option(help="Version to write: a whole number from 1 up.")]
Force = Annotated[bool, typer.Option("--force", help="Replace existing bundles.")]


def default_samples(samples: Path | None) -> Path | None:
    """The given samples, or else those that come with the project."""
    return samples or (Path("samples") if Path("samples").is_dir() else None)


def inspect(
    context: typer.Context,
    model: Model,
    every: Annotated[
        bool, typer.Option("--all", help="List every layer in order, with the reason if it cannot be cut.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="SVG file for a chart of the cuts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
    size: Size = "224x224",
) -> None:
    """List the possible cuts of a model: the tensors that cross, the work on either side, and the best cut.

    At the best cut a further head on the same features costs least: the tensors are sent, and the layers after the cut
    are computed again. FLOPs and times are estimates; `splitway bench --explain` measures.

    Examples: splitway inspect flowers.keras; splitway inspect flowers.keras --json | jq -r .best
    """
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.api.inspection import inspect_model
        from splitway.cli.models import inspect as command

        if as_json:
            Given.of(context).refuse("every", because="--json names every layer anyway")
        options = reading(context, allow_legacy, custom_objects, size)
        found = inspect_model(model, options, steps.say)
        steps.stop()
        if plot is not None:
            command.write_plot(found, plot)
        if as_json:
            command.print_json(found)
        else:
            command.print_table(found, every=every)


def split(
    context: typer.Context,
    model: Model,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER[,LAYER...]",
            help="Layers after which to cut, one less than stages; by default the best one, as inspect ranks them.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the bundles into.", envvar="SPLITWAY_MODELS")] = Path(
        "models"
    ),
    labels: Annotated[
        Path | None, typer.Option(help="Text file with one label per line, in the model's order.")
    ] = None,
    pixel_range: Annotated[
        str, typer.Option("--range", help="The model's own values for pixels 0 and 255, as LOW:HIGH.")
    ] = "0:255",
    crop: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the centred window to keep.")] = 1.0,
    resample: Annotated[Literal["bilinear", "bicubic", "box"], typer.Option(help="Filter of the resize.")] = "bilinear",
    samples: Samples = None,
    version: Version = "1",
    head: Annotated[str, typer.Option(help="Name of the last bundle.")] = DEFAULT_HEAD,
    force: Force = False,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
    size: Size = "224x224",
) -> None:
    """Cut a functional Keras model after one layer or several, prove the cuts and write a bundle for each stage.

    A model with one RGB picture as input is served with pictures: crop, resize and --range become part of the feature
    space. Any other model takes its own tensors. TensorFlow serves a stage that LiteRT cannot run, or not as exactly.

    Examples: splitway split flowers.keras --labels flowers.txt --range=-1:1; splitway split unet.keras --at mid,up_2
    """
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.api.splitting import SplitOptions
        from splitway.cli.models import build as command

        layers = tuple(name.strip() for name in at.split(",")) if at else ()
        pixels, source = parse_range(pixel_range), reading(context, allow_legacy, custom_objects, size)
        options = SplitOptions(
            out, layers, labels, pixels, crop, resample, samples, version, head, force=force, source=source
        )
        command.split(model, options, say=steps.say)


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
