"""`splitway inspect` and `splitway split`: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from splitway.cli.console import Steps, one_line_errors, tensorflow_hushed
from splitway.cli.given import Given
from splitway.names import DEFAULT_HEAD

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
    """The samples that come with the project, where none are named."""
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
    """List the possible cuts of a model, best first: crossing tensors, and the work on either side.

    At the best cut a further head on the same features costs least: the tensors that cross it have to travel, and the
    layers behind it have to be computed again. FLOPs and times are estimates; `splitway bench --explain` measures.

    Examples: splitway inspect flowers.keras; splitway inspect flowers.keras --json | jq -r .best
    """
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.cli.models import inspect as command
        from splitway.cli.models.source import SourceOptions, joined, parse_size

        given = Given.of(context)
        if as_json:
            given.refuse("every", because="--json names every layer anyway")
        options = SourceOptions(allow_legacy, joined(custom_objects), parse_size(size), given=given)
        found = command.inspect(model, options, say=steps.say)
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
            help="Layers to cut after, one less than stages. Default: the best one in inspect's ranking.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the bundles into.", envvar="SPLITWAY_MODELS")] = Path(
        "models"
    ),
    labels: Annotated[
        Path | None, typer.Option(help="Text file with one label per line, in the model's order.")
    ] = None,
    pixel_range: Annotated[
        str, typer.Option("--range", help="The model's values for pixels 0 and 255, as LOW:HIGH.")
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

    A model of one RGB picture is served as one: crop, resize and --range become part of the feature space. Any other
    model takes its tensors unchanged. If LiteRT cannot run a stage exactly enough, TensorFlow serves it.

    Examples: splitway split flowers.keras --labels flowers.txt --range=-1:1; splitway split unet.keras --at mid,up_2
    """
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.cli.models import build as command
        from splitway.cli.models.source import SourceOptions, joined, parse_size

        source = SourceOptions(allow_legacy, joined(custom_objects), parse_size(size), given=Given.of(context))
        options = command.SplitOptions(
            at, out, labels, pixel_range, crop, resample, samples, version, head, source, default_samples(None)
        )
        command.split(model, options, force=force, say=steps.say)
