"""Processes of ours: how a child is started, which libraries are there, how far a step is."""
