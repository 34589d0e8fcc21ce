"""Turn photographs, scans and collections of shapes into 3D shapes.

load_mesh, save_mesh     files of meshes; load_points, save_points for clouds
reconstruct(photos)      photographs -> mesh, light and cameras
height_map(photo)        one photo of a surface -> heights
denoise(cloud)           noisy points -> points on their surface
surface(cloud)           points -> mesh
complete(scan, prior)    part of a shape -> the whole shape
fit(shape, prior)        shape -> its code in the latent space of a prior
sample(prior, shapes)    new shapes of a family
remesh(mesh)             the same surface with triangles of equal size
render(mesh)             mesh -> picture, differentiable
evaluate(mesh, truth)    mesh and reference -> distances, F-score, IoU

Sub-packages contain the rest, such as bozzetto.geometry or bozzetto.sdf: help(bozzetto.sdf). Each is imported
at first use.
"""

import lazy_loader

__version__ = "0.1.0"

# Sub-packages and names are imported at first use, so that `import bozzetto` does not import torch. There is no
# `__all__`: with it, `help(bozzetto)` would print every class below this docstring.
__getattr__, __dir__, _ = lazy_loader.attach_stub(__name__, __file__)
