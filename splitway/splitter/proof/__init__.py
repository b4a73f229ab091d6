"""Proving that the pieces give what the uncut model gives."""
