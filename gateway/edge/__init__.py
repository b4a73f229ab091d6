"""What callers speak: the routes, reading what is sent, and the answers."""
