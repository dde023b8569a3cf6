"""Postgres and everything that fills or reads it: store, frames, ingest."""
