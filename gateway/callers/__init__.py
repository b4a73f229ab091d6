"""Authentication and limits of callers: keys, tokens, limits and their use."""
