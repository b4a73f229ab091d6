"""Pipelines that `splitway up` launched: what it prints and writes, how it detaches, and `ps`, `logs` and `down`."""
