"""Commands that run and manage: up, serve, releases, keys, certificates."""
