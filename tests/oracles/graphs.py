"""All shortest paths of a directed graph, by breadth-first search in plain Python."""

from collections import deque


def shortest_paths(edges, start, goal):
    """Every shortest path as a list of nodes, both ends included; [] if there is none."""
    distance = {start: 0}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for a, b in edges:
            if a == node and b not in distance:
                distance[b] = distance[node] + 1
                queue.append(b)
    if goal not in distance:
        return []
    paths = [[goal]]
    for steps in range(distance[goal] - 1, -1, -1):
        paths = [
            [a, *path]
            for path in paths
            for a, b in edges
            if b == path[0] and distance.get(a) == steps
        ]
    return paths
