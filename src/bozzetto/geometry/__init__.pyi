from .closest import ClosestPoints as ClosestPoints
from .closest import SurfaceIndex as SurfaceIndex
from .closest import closest_points as closest_points
from .isosurface import isosurface as isosurface
