"""Coverage-guided fuzzing: `scripts/fuzz` runs it, docs/RELIABILITY.md says what must hold.

`targets` holds what is fuzzed, `oracle` and `house` what must hold, `engine` one process that
fuzzes, `run` the command line, `corpus/` what the fuzzer begins with, and `faults` what it must
find when it is planted.
"""
