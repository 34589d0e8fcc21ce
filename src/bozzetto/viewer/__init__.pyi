from .demonstration import demo as demo
from .gallery import Gallery as Gallery
from .gallery import packed_mesh as packed_mesh
from .gallery import unpacked_mesh as unpacked_mesh
