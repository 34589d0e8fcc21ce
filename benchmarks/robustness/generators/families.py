"""All families; importing this registers their kinds."""

from . import (
    binary_clouds,
    captures,
    corrupted,
    far,
    gltf,
    heights,
    obj,
    oddities,
    off_stl,
    options,
    packed,
    pictures,
    ply,
    text_clouds,
    values,
)

__all__ = [
    "binary_clouds",
    "captures",
    "corrupted",
    "far",
    "gltf",
    "heights",
    "obj",
    "oddities",
    "off_stl",
    "options",
    "packed",
    "pictures",
    "ply",
    "text_clouds",
    "values",
]
