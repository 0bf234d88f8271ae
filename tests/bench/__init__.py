"""Tests of the benchmark itself: what it works out and how it tells it."""
