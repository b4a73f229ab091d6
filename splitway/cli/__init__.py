"""The `splitway` command."""
