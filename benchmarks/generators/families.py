"""All families; importing this registers their kinds."""

from . import binary_clouds, corrupted, far, gltf, obj, off_stl, packed, ply, text_clouds, values

__all__ = [
    "binary_clouds",
    "corrupted",
    "far",
    "gltf",
    "obj",
    "off_stl",
    "packed",
    "ply",
    "text_clouds",
    "values",
]
