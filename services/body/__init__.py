"""A middle stage of a model that was cut more than once: features in, features of another space out."""
