"""``ambient-policy export`` from a checkout."""

from ambient_policy.cli import script

script(__file__)
