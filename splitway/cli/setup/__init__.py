"""The commands that set the command line up: settings, completion, help."""
