"""Real replicas behind proxies that fail, and steady load on them, for the chaos tests and `benchmarks.resilience`."""
