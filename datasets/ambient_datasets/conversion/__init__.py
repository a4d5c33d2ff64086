"""Demonstrations of others into a store of ours: what is done to them, and by how many workers."""
