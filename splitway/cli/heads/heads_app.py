"""`splitway train-head`: its options and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.before import check_train_head
from splitway.api.given import Given
from splitway.cli.console import Json, Models, Steps, emit, if_interrupted, tensorflow_hushed
from splitway.cli.models.options import UnsureBelow
from splitway.cli.setup import complete
from splitway.errors import SetupError
from splitway.process.extras import require


def train_head(
    context: typer.Context,
    images: Annotated[Path, typer.Option(help="Folder with one folder of pictures per class, named by its label.")],
    name: Annotated[str, typer.Option(help="Name of the head, for requests with heads=NAME.")],
    models: Models = Path("models"),
    extractor: Annotated[
        str | None, typer.Option(help="Address of a feature extractor. Default: that of the running pipeline.")
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option(
            help="Name of the running pipeline, as given to splitway up --name.", autocompletion=complete.run_names
        ),
    ] = None,
    body: Annotated[
        list[str] | None,
        typer.Option(help="With --extractor: NAME=ADDRESS of each stage after it, in order."),
    ] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run the extractor among --models here, without a server.")
    ] = False,
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
    unsure_below: UnsureBelow = None,
    confusion: Annotated[
        Path | None,
        typer.Option(help="SVG file for the confusion matrix. Default: VERSION-confusion.svg beside the bundle."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Let a new version replace the default head, if --name names that.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a new head on the features of a running extractor, from a folder of pictures for each class.

    Pictures are recognised as JPEG, PNG or WebP by their bytes, not by their names, also in folders inside a class's
    folder. Files that are left out are listed.

    The extractor is not trained: each picture goes through it once, and a linear classifier is trained on the
    features. Prints the accuracy on held-out pictures, proves the head in LiteRT, and writes its bundle; a running
    pipeline loads it automatically.

    If the stages require authentication, set SPLITWAY_SERVICE_TOKEN (or its _FILE), or SPLITWAY_IDENTITY to the folder
    of the gateway's certificate: .splitway/certs/gateway after splitway up --mtls.

    With --in-process no pipeline need run here: the extractor's bundle gives the same features in this process, bit
    for bit. So a head for containers is trained beside them, in the folder that they serve.

    The bundle goes into --models or SPLITWAY_MODELS; without them into the folder that the running pipeline serves.

    Examples: splitway train-head --images flowers/ --name flowers; splitway classify rose.jpg --heads flowers
    """
    given = Given.of(context)
    if strict and skip_bad:
        raise SetupError("--strict and --skip-bad contradict each other: leave one of them out")
    if extractor is None:
        given.refuse("body", because="without --extractor the running pipeline determines it")
    else:
        given.refuse("pipeline", because="--extractor names the address")
    if in_process:
        given.refuse("extractor", "pipeline", because="--in-process asks no extractor")
    check_train_head(images, name, version)
    require("split")
    with if_interrupted(), tensorflow_hushed(), Steps() as steps:
        from splitway.cli.folders import folder_meant, print_next_of_head
        from splitway.cli.heads.train_head import HeadJob, check_keeps_default_head, claimed, prepare

        if extractor is None and not in_process:
            models = folder_meant(context, models, pipeline, option="--pipeline")
        job = HeadJob(
            images,
            name,
            models,
            version,
            extractor,
            tuple(body or ()),
            held_out,
            seed,
            strict,
            confusion,
            unsure_below,
            pipeline,
            in_process=in_process,
        )
        if not force:
            check_keeps_default_head(models / name)
        with claimed(models / name, version) as target:
            lesson = prepare(job, target, steps)
            steps.say("loading TensorFlow")
            from splitway.cli.heads.make_head import make_head, print_trained

            trained = make_head(lesson, steps)
        steps.stop()
        emit(as_json, print_trained(trained))
        print_next_of_head(models, name, lesson.target.name, lesson.extracted.origin.versions[0])
