"""What `splitway doctor` looks at, one noun per file; each check takes facts and gives results."""
