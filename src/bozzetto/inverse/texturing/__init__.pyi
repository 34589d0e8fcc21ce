from .atlas import Atlas as Atlas
from .atlas import unwrap as unwrap
from .bake import bake_texture as bake_texture
from .bake import color_vertices as color_vertices
