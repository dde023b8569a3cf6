"""The hot paths beside the peers a user would pick. ``python -m benchmarks [name …] [--quick]``."""
