"""``ambient-policy roughness`` from a checkout."""

from ambient_policy.cli import script

script(__file__)
