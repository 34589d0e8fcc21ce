from .mesh_quality import FlippedFaces as FlippedFaces
from .mesh_quality import MeshReport as MeshReport
from .mesh_quality import flipped_faces as flipped_faces
from .mesh_quality import mesh_report as mesh_report
from .surface import SurfaceDistance as SurfaceDistance
from .surface import surface_distance as surface_distance
from .surface import vertex_rms as vertex_rms
