"""What is known of the replicas: where they are, what they serve, which is asked."""
