"""Point clouds without shape priors: cleaning, noise estimation, normals, denoising, upsampling, surfaces."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
