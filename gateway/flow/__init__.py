"""One request's way: the door, its release, the stages in their order, what is kept."""
