"""The commands that make bundles and check them, but for `splitway build`: their options and their help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from splitway.api.given import Given, check_head_name, check_version
from splitway.cli.console import ERR, Models, Out, Steps, tensorflow_hushed
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
Folder = Annotated[Path, typer.Argument(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]
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
    with tensorflow_hushed(), Steps() as steps:
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
    out: Out = Path("models"),
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
    with tensorflow_hushed(), Steps() as steps:
        from splitway.api.splitting import SplitOptions, split_model
        from splitway.cli.models.build import report

        layers = tuple(name.strip() for name in at.split(",")) if at else ()
        pixels, source = parse_range(pixel_range), reading(context, allow_legacy, custom_objects, size)
        options = SplitOptions(
            out, layers, labels, pixels, crop, resample, samples, version, head, force=force, source=source
        )
        report(out, split_model(model, options, steps.say))


def sign(
    key: Annotated[Path, typer.Option(help="PEM file of an Ed25519 private key.")],
    models: Folder = Path("models"),
    bundle: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[/VERSION]", help="Bundle to sign, by default its newest version; may be repeated."),
    ] = None,
    new_key: Annotated[
        bool,
        typer.Option("--new-key", help="Create the key first, and the public key beside it. Never overwrites a key."),
    ] = False,
) -> None:
    """Sign every bundle in the folder, or those named, so that stages can tell yours from others.

    Each bundle is checked first. The signature covers the manifest, and through its hashes every served file. It is
    stored beside the manifest as stage.json.sig. Stages with SPLITWAY_BUNDLE_KEY=PUBLIC.pem serve only signed bundles.

    Examples: splitway sign --key release.pem --new-key; splitway sign models --key release.pem --bundle classifier/2
    """
    from splitway.cli.models import bundles

    bundles.sign(models, key, bundle or [], new_key=new_key)


def verify(
    context: typer.Context,
    models: Folder = Path("models"),
    samples: Samples = None,
    version: Annotated[
        str | None, typer.Option(help="Version to verify. Default: the highest, with --key all.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="PEM file of public keys: check the signature and every hash of each bundle, and prove nothing."
        ),
    ] = None,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
) -> None:
    """Prove bundles again: head(backbone(x)) against the uncut model, through the serving engine and the wire's bytes.

    First it prints a line for every version of every bundle: whether its files match its manifest.
    Writes the largest differences into the proved manifests; fails, and changes nothing, if they are over the
    tolerance. With --key it changes nothing, needs no TensorFlow, and fails if a bundle is not signed or not as it was
    signed.

    Examples: splitway verify; splitway verify models --key release.pub.pem
    """
    if key is not None:
        from splitway.cli.models.bundles import check_every
        from splitway.security.signing import read_trusted_keys

        because = "--key checks signatures and proves nothing"
        Given.of(context).refuse("samples", "allow_legacy", "custom_objects", because=because)
        check_every(models, version, read_trusted_keys(key))
        return
    with tensorflow_hushed(), Steps() as steps:
        from splitway.cli.models import build as command
        from splitway.cli.models.bundles import sign_again_if_changed

        allowed = reading(context, allow_legacy, custom_objects)
        with sign_again_if_changed(models):
            command.verify(models, samples, version, allowed, say=steps.say)


def train_head(
    context: typer.Context,
    images: Annotated[Path, typer.Option(help="Folder with one folder of pictures per class, named by its label.")],
    name: Annotated[str, typer.Option(help="Name of the head, for requests with heads=NAME.")],
    models: Models = Path("models"),
    extractor: Annotated[
        str | None, typer.Option(help="Address of a feature extractor. Default: that of the running pipeline.")
    ] = None,
    body: Annotated[
        list[str] | None,
        typer.Option(help="With --extractor: NAME=ADDRESS of each stage after it, in order."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version to write. Default: the next free one.")] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of each class that is kept for testing.", min=0.05, max=0.5)
    ] = 0.2,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.", min=0, max=2**31)] = 1,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Stop if a picture cannot be read, instead of leaving it out."),
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", hidden=True)] = False,
    confusion: Annotated[
        Path | None, typer.Option(help="SVG file for the confusion matrix. Default: NAME-confusion.svg.")
    ] = None,
) -> None:
    """Train a new head on the features of a running extractor, from a folder of pictures for each class.

    Pictures are recognised as JPEG, PNG or WebP by their bytes, not by their names, also in folders inside a class's
    folder. Files that are left out are listed.

    The extractor is not trained: each picture goes through it once, and a linear classifier is trained on the
    features. Prints the accuracy on held-out pictures, proves the head in LiteRT, and writes its bundle; a running
    pipeline loads it automatically.

    If the stages require authentication, set SPLITWAY_SERVICE_TOKEN (or its _FILE), or SPLITWAY_IDENTITY to the folder
    of the gateway's certificate: .splitway/certs/gateway after splitway up --mtls.

    Example: splitway up in one terminal, then splitway train-head --images flowers/ --name flowers
    """
    with tensorflow_hushed(), Steps() as steps:
        from splitway.cli.heads.train_head import HeadJob, claimed, prepare

        if strict and skip_bad:
            raise SetupError("--strict and --skip-bad contradict each other: leave one of them out")
        if extractor is None:
            Given.of(context).refuse("body", because="without --extractor the running pipeline determines it")
        bodies = tuple(body or ())
        job = HeadJob(images, name, models, version, extractor, bodies, held_out, seed, strict, confusion)
        check_head_name(name)
        if version is not None:
            check_version(version)
        with claimed(models / name, version) as target:
            lesson = prepare(job, target, steps)
            steps.say("loading TensorFlow")
            from splitway.cli.heads.make_head import make_head, print_trained

            trained = make_head(lesson, steps)
        steps.stop()
        print_trained(trained)


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
