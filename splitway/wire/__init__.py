"""The contract in motion: tensors, the Open Inference Protocol v2, deadlines."""
