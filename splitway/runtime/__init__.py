"""Online: serve one bundle as one stage."""
