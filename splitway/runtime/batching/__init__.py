"""Gathering what waits, running it, and answering each for itself."""
