"""Telemetry of live programs: spans in, while they end."""
