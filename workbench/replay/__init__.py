"""A run over again: record it, compare it, patch its states."""
