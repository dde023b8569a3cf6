"""Secrets: what they look like, where they are, and texts without them."""
