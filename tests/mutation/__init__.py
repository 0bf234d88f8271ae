"""The result of the mutation run, and tests of what makes and judges it."""
