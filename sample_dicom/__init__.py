"""Samples for the demonstration and the tests: what our script draws, and a scanner that does not exist."""
