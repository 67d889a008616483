"""Contract suites and builders, shipped for connectors of others."""
