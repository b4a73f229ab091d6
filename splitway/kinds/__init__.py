"""Kinds of input, a folder each: what gateway and stages both read of it, and the stages' half, which decodes it."""
