"""Turn what people have (photographs, scans, collections of shapes) into 3D shapes they can use.

load_mesh, save_mesh     files of meshes; load_points, save_points of clouds
reconstruct(photos)      photographs -> mesh, light and cameras
height_map(photo)        one photo of a surface -> heights
denoise(cloud)           noisy points -> points on their surface
surface(cloud)           points -> mesh
complete(scan, prior)    part of a shape -> the whole shape
fit(shape, prior)        shape -> code: the few numbers that stand for it
sample(prior, shapes)    new shapes of a family
remesh(mesh)             the same surface in triangles of one size
render(mesh)             mesh -> picture, differentiable
evaluate(mesh, truth)    mesh and reference -> distances, F-score, IoU

Rooms hold the rest, such as bozzetto.geometry or bozzetto.sdf: help(bozzetto.sdf). Each loads at first use.
"""

import lazy_loader

__version__ = "0.1.0"

# Sub-packages and names load at first use, so that `import bozzetto` does not import torch. There is no
# `__all__`: with it, `help(bozzetto)` would print every class below this docstring.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
