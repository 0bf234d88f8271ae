"""Tests of the connections to brokers."""
