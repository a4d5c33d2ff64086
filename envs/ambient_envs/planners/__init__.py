"""Planners: from start to goal in free space, as a path over time. Extra ``[planners]``."""
