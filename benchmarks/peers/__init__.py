"""Other frameworks doing the same work, each in a venv of its own under .peers; never a dependency of the product."""
