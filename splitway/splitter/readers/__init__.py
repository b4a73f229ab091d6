"""Reading a model, whatever file it is in, into a graph of steps."""
