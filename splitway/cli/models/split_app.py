"""`splitway split`: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from splitway.api.before import SplitPlan, check_split
from splitway.api.given import Given, PixelOptions, Preset
from splitway.api.wanted import Wanted, check_wanted, one_ending
from splitway.cli.console import Json, Out, emit, if_interrupted, steps_with_tensorflow
from splitway.cli.folders import print_next_of_version, warn_before_version
from splitway.cli.models.options import (
    AllowLegacy,
    CustomObjects,
    Force,
    Model,
    Samples,
    Size,
    UnsureBelow,
    Version,
    parse_range,
    parse_size,
    reading,
)
from splitway.names import DEFAULT_HEAD


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
    out: Out = Path("models"),
    labels: Annotated[
        Path | None, typer.Option(help="Text file with one label per line, in the model's order.")
    ] = None,
    pixel_range: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW:HIGH",
            help="The model's own values for pixels 0 and 255: 0:255 as they are, 0:1 divided by 255, -1:1 divided by "
            "127.5 less 1. A model that scales by itself tells it, and needs none.",
        ),
    ] = None,
    preprocess: Annotated[
        Preset | None,
        typer.Option(
            help="In place of --range, what preprocess_input in keras.applications does: tf (-1:1; MobileNet, "
            "Inception), torch (mean and deviation of ImageNet; DenseNet), caffe (BGR less the means; ResNet50, VGG)."
        ),
    ] = None,
    force_range: Annotated[
        bool,
        typer.Option("--force-range", help="Take --range or --preprocess though the model's own layers tell another."),
    ] = False,
    crop: Annotated[float, typer.Option(min=0.01, max=1.0, help="Share of the centred window to keep.")] = 1.0,
    resample: Annotated[Literal["bilinear", "bicubic", "box"], typer.Option(help="Filter of the resize.")] = "bilinear",
    softmax: Annotated[
        bool,
        typer.Option("--softmax", help="Append a softmax: the model gives logits, of which one label is right."),
    ] = False,
    sigmoid: Annotated[
        bool,
        typer.Option("--sigmoid", help="Append a sigmoid: the model gives logits, and several labels can be right."),
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Serve the numbers as they are, without labels.")] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Least probability of a label that a head with several right ones gives. Default: 0.5.",
            min=0.0,
            max=1.0,
            show_default=False,
        ),
    ] = None,
    unsure_below: UnsureBelow = None,
    samples: Samples = None,
    version: Version = "1",
    head: Annotated[str, typer.Option(help="Name of the last bundle.")] = DEFAULT_HEAD,
    force: Force = False,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
    size: Size = "224x224",
    as_json: Json = False,
) -> None:
    """Cut a Keras model after one layer or several, prove the cuts and write a bundle for each stage.

    A model with one RGB picture as input is served with pictures: crop, resize and range become part of the feature
    space. The range is read from the layers behind the input (Rescaling, Normalization, the arithmetic of a
    preprocess_input); where there are none, --range or --preprocess must say it. Any other model takes its own tensors.
    TensorFlow serves a stage that LiteRT cannot run, or not as exactly.

    Labels need probabilities. A model that ends in a softmax has one right label; of one that ends in a sigmoid every
    label from --threshold on is given, and one number with two labels is two classes. A model that ends without
    activation needs --softmax, --sigmoid or --raw.

    Examples: splitway split flowers.keras --labels flowers.txt; splitway split unet.keras --at mid,up_2
    """
    layers = tuple(name.strip() for name in at.split(",")) if at else ()
    scaled = None if pixel_range is None else parse_range(pixel_range)
    pixels = PixelOptions(scaled, preprocess, force_range=force_range, crop=crop, resample=resample)
    parse_size(size)
    ending = one_ending(softmax=softmax, sigmoid=sigmoid, raw=raw)
    check_wanted(Wanted(None, ending, threshold, unsure_below), Given.of(context))
    check_split(
        SplitPlan(
            model, out, layers, labels, samples, version, head, force=force, allow_legacy=allow_legacy, ending=ending
        )
    )
    warn_before_version(out, version)
    with if_interrupted(), steps_with_tensorflow() as steps:
        from splitway.api.splitting import SplitOptions, split_model
        from splitway.cli.models.build import report

        source = reading(context, allow_legacy, custom_objects, size)
        answers: dict[str, Any] = {"ending": ending, "threshold": threshold, "unsure_below": unsure_below}
        options = SplitOptions(
            out, layers, labels, pixels, samples, version, head, force=force, source=source, **answers
        )
        emit(as_json, report(out, split_model(model, options, steps.say), samples))
        print_next_of_version(out, version)
