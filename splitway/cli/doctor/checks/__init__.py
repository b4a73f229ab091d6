"""The checks of `splitway doctor`, one noun per file; each takes facts and gives results."""
