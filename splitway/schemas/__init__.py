"""Requests and answers as pydantic models: API descriptions are made from them, the command line reads with them."""
