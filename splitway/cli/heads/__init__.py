"""Commands that make heads: train-head, on features that a running extractor gives."""
