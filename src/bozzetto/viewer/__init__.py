"""Results on a page: a gallery of pictures and turnable meshes that opens from disk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
