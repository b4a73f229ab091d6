"""Commands that ask: classify, by a gateway or in this process."""
