"""Measurements: what is said in the README and docs is made by these."""
