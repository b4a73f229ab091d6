"""The Python API, and the work behind it that the command line does with the same functions."""
