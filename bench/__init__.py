"""The benchmark: what this integration costs, beside what else a person could use."""
