"""Protocols over what a service does: each a thin layer of routes."""
