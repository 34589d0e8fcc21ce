"""Which pairs of pictures are compared in detail, and in what order."""

from itertools import product

BLOCK = 8
"""Pictures are matched in blocks of so many against so many."""


def best_pairs(pairs: list[tuple[int, int]], counts: list[int], partners: int) -> list[tuple[int, int]]:
    """Pairs that are among those with most matches of one of their two pictures, in their old order."""
    of_picture: dict[int, list[tuple[int, int]]] = {}
    for number, pair in enumerate(pairs):
        for picture in pair:
            of_picture.setdefault(picture, []).append((-counts[number], number))
    kept = {number for rows in of_picture.values() for _, number in sorted(rows)[:partners]}
    return [pairs[number] for number in sorted(kept)]


def blocks(pairs: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Pairs in groups that share their pictures, so that each is loaded a few times only."""
    last = max((b for _, b in pairs), default=0) // BLOCK
    found: dict[tuple[int, int], list[tuple[int, int]]] = {
        (a, b): [] for a, b in product(range(last + 1), range(last + 1))
    }
    for a, b in pairs:
        found[a // BLOCK, b // BLOCK].append((a, b))
    return [block for block in found.values() if block]
