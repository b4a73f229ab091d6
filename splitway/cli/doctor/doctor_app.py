"""`splitway doctor`: its options and its help."""

from __future__ import annotations

from pathlib import Path

import typer

from splitway.api.given import Given
from splitway.cli.console import Json, Models, RunName, Url


def doctor(
    context: typer.Context,
    url: Url = None,
    name: RunName = None,
    models: Models = Path("models"),
    as_json: Json = False,
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
    from splitway.cli.credentials import chosen_gateway
    from splitway.cli.doctor.doctor import doctor as check
    from splitway.cli.doctor.variables import variables_of

    asked = chosen_gateway(Given.of(context), url, name)
    options = variables_of(context.find_root().command)
    raise typer.Exit(check(None if name else url, asked.name, models, options, as_json=as_json))
