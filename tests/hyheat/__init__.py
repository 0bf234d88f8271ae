"""Tests of the library hyheat."""
