"""Brokers: the port that an adapter fills, the simulated one, and the client's side of any."""
