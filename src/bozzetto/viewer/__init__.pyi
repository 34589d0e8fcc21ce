from .demonstration import demo as demo
from .gallery import Gallery as Gallery
from .packing import pack as pack
from .packing import unpack as unpack
