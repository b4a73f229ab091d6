"""`splitway sign` and `splitway verify`: their options and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from splitway.api.given import Given
from splitway.cli.console import Steps, one_line_errors, tensorflow_hushed
from splitway.cli.models.split_app import Samples, reading

Models = Annotated[Path, typer.Argument(help="Folder of the bundles.", envvar="SPLITWAY_MODELS")]
_MODELS = Path("models")


def sign(
    key: Annotated[Path, typer.Option(help="PEM file of an Ed25519 private key.")],
    models: Models = _MODELS,
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
    with one_line_errors():
        from splitway.cli.models import sign as command

        command.sign(models, key, bundle or [], new_key=new_key)


def verify(
    context: typer.Context,
    models: Models = _MODELS,
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
    allow_legacy: Annotated[
        bool, typer.Option("--allow-legacy", help="Accept .h5 files, an older and less safe format.")
    ] = False,
    custom_objects: Annotated[
        list[str] | None,
        typer.Option(
            help="Module (name or file.py) with the model's own classes; may be repeated. It is imported, so it runs."
        ),
    ] = None,
) -> None:
    """Prove bundles again: head(backbone(x)) against the uncut model, through the serving engine and the wire's bytes.

    First it prints a line for every version of every bundle: whether its files match its manifest.
    Writes the largest differences into the proved manifests; fails, and changes nothing, if they are over the
    tolerance. With --key it changes nothing, needs no TensorFlow, and fails if a bundle is not signed or not as it was
    signed.

    Examples: splitway verify; splitway verify models --key release.pub.pem
    """
    if key is not None:
        with one_line_errors():
            from splitway.cli.models.sign import verify_signatures

            Given.of(context).refuse(
                "samples", "allow_legacy", "custom_objects", because="--key checks signatures and proves nothing"
            )
            verify_signatures(models, key, version)
        return
    with tensorflow_hushed(), one_line_errors(), Steps() as steps:
        from splitway.cli.models import build as command
        from splitway.cli.models.sign import sign_again_if_changed

        allowed = reading(context, allow_legacy, custom_objects)
        with sign_again_if_changed(models):
            command.verify(models, samples, version, allowed, say=steps.say)
