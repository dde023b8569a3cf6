"""Postgres → Polars: the columns of every frame, filters pushed to SQL, and SQL of your own."""
