"""Which bundles lie there, which versions are served, and who may change that."""
