"""Releases in service: choice of a request's release, comparison, and automatic end of a trial."""
