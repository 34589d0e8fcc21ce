from .estimate import estimate_cameras as estimate_cameras
from .photo_files import find_photos as find_photos
from .report import PoseReport as PoseReport
from .stored import EstimatedViews as EstimatedViews
