"""Tests of the integration and of what it is made of."""
