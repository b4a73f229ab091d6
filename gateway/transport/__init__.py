"""Bytes to a replica, and back."""
