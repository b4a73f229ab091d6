"""The best classes of a row of probabilities."""
