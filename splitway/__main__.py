"""`python -m splitway` is the command `splitway`."""

from splitway.cli.main import app

app(prog_name="splitway")
