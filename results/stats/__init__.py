"""Statistics on blocks: pairing, verdicts, noise, change points."""
