"""Where engines meet: subjects of our own, the demo, and chains of engines."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
