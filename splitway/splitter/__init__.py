"""Offline: cut a Keras model into bundles and prove the cut."""
