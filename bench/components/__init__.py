"""Integrations that only the benchmark has."""
