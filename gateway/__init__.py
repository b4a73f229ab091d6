"""The edge: one HTTP interface in front of a chain of stages."""
