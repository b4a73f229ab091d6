"""Who calls: API keys, and what a caller is known and allowed by."""
