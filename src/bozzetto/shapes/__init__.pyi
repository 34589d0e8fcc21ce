from .mesh import Mesh as Mesh
