"""Maze layouts as data: axis-aligned wall boxes in the arena [0, 5]^2 m, readable without MuJoCo.

A layout is drawn by the centre lines of its interior walls; ``layout_walls`` gives them their
thickness and adds the four outer walls, whose inner faces are the borders of the arena.
"""

import numpy as np
from numpy.typing import NDArray

from ambient_policy.errors import unknown

ARENA = 5.0  # side of the square arena [m]
THICKNESS = 0.15  # of every wall [m]

Line = tuple[float, float, float, float]  # x0, y0, x1, y1 of a centre line [m], axis-aligned

# Three free-standing walls to pass on either side, passages 0.85 m wide, two pockets top right.
#   +----+----+----+----+----+
#   |                        |
#   +    +----+    +    +    +
#   |    |         |    |    |
#   +    +    +    +----+----+
#   |         |              |
#   +    +----+    +----+    +
#   |    |         |         |
#   +    +    +    +    +    +
#   |         |         |    |
#   +----+----+----+----+----+
_CORRIDORS: tuple[Line, ...] = (
    (1, 1, 1, 2),
    (1, 2, 2, 2),
    (2, 2, 2, 3),
    (2, 0, 2, 1),
    (1, 3, 1, 4),
    (1, 4, 2, 4),
    (3, 1, 3, 2),
    (3, 2, 4, 2),
    (3, 3, 3, 4),
    (3, 3, 5, 3),
    (4, 0, 4, 1),
    (4, 3, 4, 4),
)

# Four rooms joined by five doors, 0.8 m wide, with a stub or a pillar in each.
_ROOMS: tuple[Line, ...] = (
    (2.5, 0.0, 2.5, 0.9),
    (2.5, 1.7, 2.5, 3.4),
    (2.5, 4.2, 2.5, 5.0),
    (0.0, 2.5, 0.3, 2.5),
    (1.1, 2.5, 1.4, 2.5),
    (2.2, 2.5, 3.8, 2.5),
    (4.6, 2.5, 5.0, 2.5),
    (1.2, 0.9, 1.2, 1.7),
    (1.0, 3.4, 1.0, 4.2),
    (3.3, 0.8, 4.2, 0.8),
    (3.4, 3.4, 3.4, 5.0),
)

LAYOUTS: dict[str, tuple[Line, ...]] = {"corridors": _CORRIDORS, "rooms": _ROOMS}


def layout_walls(name: str) -> NDArray[np.float64]:
    """The walls of a layout, the four outer ones first.

    Returns:
        (walls, 4) boxes x_low, y_low, x_high, y_high [m].

    Raises:
        SettingsError: for a layout that does not exist, listing those that do.
    """
    if name not in LAYOUTS:
        raise unknown("layout", name, LAYOUTS)
    low, high = -THICKNESS / 2, ARENA + THICKNESS / 2
    outer = [(low, low, low, high), (high, low, high, high)]
    outer += [(low, low, high, low), (low, high, high, high)]
    lines = np.array([*outer, *LAYOUTS[name]], dtype=np.float64)
    return lines + THICKNESS / 2 * np.array([-1.0, -1.0, 1.0, 1.0])
