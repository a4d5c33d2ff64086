"""Layouts and the free space between their walls."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_envs.free_space import FreeSpace, free_space
from ambient_envs.layouts import ARENA, LAYOUTS, layout_walls
from ambient_envs.maze import RADIUS, maze_model

every_layout = pytest.mark.parametrize("layout", sorted(LAYOUTS))
GROW = 0.18


def random_points() -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-0.1, ARENA + 0.1, (2000, 2))


def inside(boxes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,4), (m,2) -> (m,): is the point in one of the boxes?"""
    above = (points[:, None] >= boxes[None, :, :2]).all(axis=2)
    below = (points[:, None] <= boxes[None, :, 2:]).all(axis=2)
    return np.asarray(np.logical_or.reduce(above & below, axis=1))


@every_layout
def test_walls_are_boxes_around_the_arena_and_the_same_in_the_world(layout: str) -> None:
    walls = layout_walls(layout)
    assert (walls[:, :2] < walls[:, 2:]).all()
    assert walls[:4, :2].min() < 0.0 and walls[:4, 2:].max() > ARENA
    corners = np.array([[0.01, 0.01], [ARENA - 0.01, ARENA - 0.01]])
    assert not inside(walls[:4], corners).any()
    model = maze_model(layout)
    for i, wall in enumerate(walls):
        geom = model.geom(f"wall_{i}")
        box = np.concatenate([geom.pos[:2] - geom.size[:2], geom.pos[:2] + geom.size[:2]])
        assert np.allclose(box, wall)


@every_layout
def test_a_point_is_free_outside_all_grown_walls_and_inside_a_rectangle(layout: str) -> None:
    free = free_space(layout, GROW)
    points = random_points()
    free_points = np.array([free.region_at(x, y) >= 0 for x, y in points.tolist()])
    grown = layout_walls(layout) + GROW * np.array([-1, -1, 1, 1])
    assert np.array_equal(free_points, ~inside(grown, points) & inside(_arena(), points))
    assert np.array_equal(free_points, inside(np.array(free.rectangles()), points))


def _arena() -> NDArray[np.float64]:
    return np.array([[0.0, 0.0, ARENA, ARENA]])


@every_layout
def test_rectangles_are_maximal_and_differ(layout: str) -> None:
    boxes = np.array(free_space(layout, GROW).rectangles())
    for i, box in enumerate(boxes):
        others = np.delete(boxes, i, axis=0)
        within = (box[:2] >= others[:, :2]).all(axis=1) & (box[2:] <= others[:, 2:]).all(axis=1)
        assert not within.any()


@every_layout
def test_every_free_place_can_be_reached_from_every_other(layout: str) -> None:
    regions = np.array(free_space(layout, GROW).region)
    assert set(regions.ravel().tolist()) == {-1, 0}


@every_layout
def test_passages_are_wide_enough_and_several(layout: str) -> None:
    """A disc of 0.3 m still gets everywhere, and there is more than one way round."""
    regions = np.array(free_space(layout, 0.3).region)
    assert regions.max() == 0
    free = regions >= 0
    # Euler characteristic of the free cells: one piece less its holes.
    faces, corners = free.sum(), np.pad(free, 1)
    edges = (corners[1:] | corners[:-1])[:, 1:-1].sum() + (corners[:, 1:] | corners[:, :-1])[
        1:-1
    ].sum()
    points = corners[1:, 1:] | corners[:-1, 1:] | corners[1:, :-1] | corners[:-1, :-1]
    holes = 1 - (points.sum() - edges + faces)
    assert holes >= 2


def test_regions_apart_get_different_numbers() -> None:
    free = free_space("rooms", 0.45)  # too big for every door
    assert np.array(free.region).max() > 0
    assert free.region_at(-1.0, 2.0) == -1
    assert RADIUS < 0.45


def test_free_space_is_built_once() -> None:
    assert free_space("rooms", GROW) is free_space("rooms", GROW)
    assert isinstance(free_space("rooms", GROW), FreeSpace)
