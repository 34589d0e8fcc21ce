"""Reading and writing picture files of all common formats and bit depths, in sRGB or linear light."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
