"""Rolling a policy out, measuring what it did, and saying with intervals which arm was better.

``worlds`` builds them, ``rollout`` drives them, ``metrics`` and ``records`` measure and keep,
``statistics`` and ``comparison`` compare, ``report`` shows, ``video`` films.
"""
