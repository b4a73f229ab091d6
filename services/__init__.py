"""The deployable stages."""
