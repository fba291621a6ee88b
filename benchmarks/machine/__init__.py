"""The machine: its identity, system load, GPU, measured bandwidth and the roofline."""
