from .sparse_isosurface import NoSurfaceError as NoSurfaceError
from .sparse_isosurface import SparseIsosurface as SparseIsosurface
from .sparse_isosurface import sparse_isosurface as sparse_isosurface
