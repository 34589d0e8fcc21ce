from .estimate import estimate_cameras as estimate_cameras
from .photo_files import find_photographs as find_photographs
from .report import PoseReport as PoseReport
from .stored import EstimatedViews as EstimatedViews
