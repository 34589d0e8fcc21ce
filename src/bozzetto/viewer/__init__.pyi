from .demonstration import demo as demo
from .gallery import Gallery as Gallery
from .gallery import pack as pack
from .gallery import unpack as unpack
