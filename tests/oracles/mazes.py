"""A slow maze: walls as line segments, rays and distances in float64, one at a time."""

import math

import numpy as np


def segments(text):
    """`[N, 4]`: x0, y0, x1, y1 of every wall of a maze's text, blocks as four of them."""
    lines = text.strip("\n").split("\n")
    found = set()
    for r, line in enumerate(lines):
        for c, letter in enumerate(line):
            if letter != "*":
                continue
            x, y = c // 2, r // 2
            if r % 2 and c % 2:
                found |= {
                    (x, y, x + 1, y), (x, y + 1, x + 1, y + 1),
                    (x, y, x, y + 1), (x + 1, y, x + 1, y + 1),
                }  # fmt: skip
            elif r % 2:
                found.add((x, y, x, y + 1))
            elif c % 2:
                found.add((x, y, x + 1, y))
    return np.array(sorted(found), float)


def planar_depth(walls, x, y, heading, slope):
    """Depth along the heading of the first wall on the ray with that slope to the right."""
    dx = math.cos(heading) - slope * math.sin(heading)
    dy = math.sin(heading) + slope * math.cos(heading)
    best = math.inf
    for x0, y0, x1, y1 in walls:
        ex, ey = x1 - x0, y1 - y0
        cross = dx * ey - dy * ex
        if cross == 0.0:
            continue
        depth = ((x0 - x) * ey - (y0 - y) * ex) / cross
        along = ((x0 - x) * dy - (y0 - y) * dx) / cross
        if depth > 0.0 and -1e-12 <= along <= 1 + 1e-12:
            best = min(best, depth)
    return best


def image_depth(walls, pose, size):
    """`[S, S]` of the walls, the floor and the ceiling, no items."""
    x, y, heading = pose
    depth = np.empty((size, size))
    for column in range(size):
        wall = planar_depth(walls, x, y, heading, 2 * (column + 0.5) / size - 1)
        for row in range(size):
            up = abs(1 - 2 * (row + 0.5) / size)
            depth[row, column] = min(wall, 0.5 / up)
    return depth


def clearance(walls, points):
    """`[P]`, the distance of each point to the nearest wall."""
    best = np.full(len(points), np.inf)
    for x0, y0, x1, y1 in walls:
        start, along = np.array([x0, y0]), np.array([x1 - x0, y1 - y0])
        share = np.clip(((points - start) @ along) / (along @ along), 0, 1)
        nearest = start + share[:, None] * along
        best = np.minimum(best, np.sqrt(((points - nearest) ** 2).sum(1)))
    return best


def loop_labels(path, near=1.0, far=2.0):
    """For each place: whether the path was near it, and then far from it, before."""
    labels = []
    for t, place in enumerate(path):
        was = [math.dist(place, other) for other in path[:t]]
        labels.append(
            any(
                was[i] <= near and any(d >= far for d in was[i + 1 :])
                for i in range(len(was))
            )
        )
    return labels
