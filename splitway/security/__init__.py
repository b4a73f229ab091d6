"""Authentication of callers and services, and trust in bundles: keys, identities, signatures."""
