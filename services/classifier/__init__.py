"""A head as a service: features in, probabilities or the best labels out."""
