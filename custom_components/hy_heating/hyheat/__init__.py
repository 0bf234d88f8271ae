"""CJ/T 188 over HY gateways: a pure library, standard library only (docs/ARCHITECTURE.md)."""
