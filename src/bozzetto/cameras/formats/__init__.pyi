from .camera_files import PosedViews as PosedViews
from .camera_files import View as View
from .colmap import save_colmap as save_colmap
from .projection_matrices import save_middlebury as save_middlebury
from .reading import NoCameras as NoCameras
from .reading import read_cameras as read_cameras
from .transforms_json import save_transforms as save_transforms
