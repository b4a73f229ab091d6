"""Who may call, who is who between services, and what may be run: keys, identities, signatures."""
