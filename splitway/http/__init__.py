"""What every app of ours needs over HTTP: bodies within their limits, errors, documents, readiness."""
