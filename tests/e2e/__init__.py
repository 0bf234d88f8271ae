"""Tests against real processes: brokers, Home Assistant, a browser."""
