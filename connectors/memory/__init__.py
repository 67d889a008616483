"""Connectors without a network, for tests and the demonstration."""
