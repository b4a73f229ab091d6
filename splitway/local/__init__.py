"""A pipeline on this machine: starting it, and finding the one that runs."""
