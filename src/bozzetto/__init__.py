"""Turn what people have (photographs, scans, collections of shapes) into 3D shapes they can use."""

import lazy_loader

__version__ = "0.1.0"

# Sub-packages and names load at first use, so that `import bozzetto` does not import torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
