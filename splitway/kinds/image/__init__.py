"""Pictures: what a file says of itself, which gateway and stages share, and the stages' half, `decode` and `pixels`,
with a decoder."""
