"""Evaluation: roll a policy out, measure what it does, compare arms with intervals.

``worlds`` builds the worlds, ``rollout`` drives them, ``metrics`` and ``records`` measure and
store, ``statistics`` and ``comparison`` compare, ``report`` shows, ``video`` films.
"""
