"""What a process says of its work: logs, traces, metrics, and who may read them."""
