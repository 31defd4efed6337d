"""What is known of a run beside its blocks: whether it is complete, and what people call it."""
