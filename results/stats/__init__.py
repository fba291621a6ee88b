"""Statistics of paired blocks: pairing, verdicts, noise, crossovers, change points, and the scaling model."""
