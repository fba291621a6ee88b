"""A worker process and its parent: messages, environment, probes, memory and orphan cleanup."""
