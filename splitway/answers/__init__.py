"""Kinds of answer, a folder each: what stages write, and how the gateway and an in-process run read it."""
