"""The command that finds out what is wrong: doctor."""
