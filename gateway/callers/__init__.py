"""Who may call, and how much: keys, tokens, limits and what has been used of them."""
