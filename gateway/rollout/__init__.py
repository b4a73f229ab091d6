"""Releases in service: who gets which, what is compared, and when a trial ends by itself."""
