"""The command that watches: top."""
