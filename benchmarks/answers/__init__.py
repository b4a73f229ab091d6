"""The requests and the pipelines by which `benchmarks.compare_answers` compares two commits."""
