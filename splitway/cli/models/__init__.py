"""Commands that make models: build, split, inspect, sign, train-head."""
