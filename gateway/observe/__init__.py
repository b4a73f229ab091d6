"""Metrics, events and traces of the gateway."""
