"""One stage's turn in a request: its attempts, and what came of them."""
