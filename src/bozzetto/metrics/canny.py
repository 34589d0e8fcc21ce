"""Edge maps for comparing heights: Canny's detector twice, as two communities know it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import canny

TAN_22 = np.tan(np.pi / 8)
EIGHT = np.ones((3, 3), bool)


def canny_8bit(image: NDArray[np.uint8], low: float = 100, high: float = 200) -> NDArray[np.bool_]:
    """Edges as OpenCV's Canny finds them with its defaults: no blur, Sobel 3x3, |gx| + |gy|, two thresholds.

    Written from its documentation, so that the published scores need no OpenCV; of equal neighbours along the
    gradient the one on the left or on top is kept.

    Source: Height study 2025, its edge measure. Differs: thresholds were not published, these are OpenCV's
    usual ones.

    Source: Canny 1986, as OpenCV has it.
    """
    values = image.astype(np.int32)
    gx = np.asarray(ndimage.sobel(values, axis=1, mode="nearest"))
    gy = np.asarray(ndimage.sobel(values, axis=0, mode="nearest"))
    size = np.abs(gx) + np.abs(gy)
    padded = np.pad(size, 1)
    height, width = size.shape

    def at(row: int, column: int) -> NDArray[Any]:
        return padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]

    across = np.abs(gy) < np.abs(gx) * TAN_22
    along = np.abs(gy) > np.abs(gx) / TAN_22
    falling = (gx >= 0) == (gy >= 0)  # the gradient points to the lower right or the upper left
    diagonal = np.where(falling, np.maximum(at(-1, -1), at(1, 1)), np.maximum(at(-1, 1), at(1, -1)))
    ridge = np.where(
        across,
        (size > at(0, -1)) & (size >= at(0, 1)),
        np.where(along, (size > at(-1, 0)) & (size >= at(1, 0)), size > diagonal),
    )
    weak = ridge & (size > low)
    labels = np.zeros(weak.shape, np.int32)
    ndimage.label(weak, structure=EIGHT, output=labels)
    kept = np.unique(labels[weak & (size > high)])
    return np.isin(labels, kept[kept > 0])


def canny_like(
    image: NDArray[Any], truth: NDArray[Any], sigma: float = 1.0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Edges of two maps under the same thresholds, which come from the second.

    The upper threshold is the 90th percentile of the gradient of `truth` (Sobel after a Gaussian), the lower
    0.4 of it (scikit-image's Canny). So flat maps have no edges, and weak ones lose theirs.

    Source: Canny 1986, the detector.
    """
    smooth = ndimage.gaussian_filter(truth, sigma, mode="nearest")
    size = np.hypot(ndimage.sobel(smooth, axis=0), ndimage.sobel(smooth, axis=1))
    high = max(float(np.percentile(size, 90)), 1e-9)
    options = {"sigma": sigma, "low_threshold": 0.4 * high, "high_threshold": high, "mode": "nearest"}
    return canny(image, **options), canny(truth, **options)


def edge_scores(
    found: NDArray[np.bool_], truth: NDArray[np.bool_], tolerance: float = 0.0
) -> tuple[float, float, float]:
    """Precision, recall and F1 of edge pixels that have one of the other map within `tolerance` pixels.

    All are 0 where either map has no edges.
    """
    if not found.any() or not truth.any():
        return 0.0, 0.0, 0.0
    to_truth = ndimage.distance_transform_edt(~truth)
    to_found = ndimage.distance_transform_edt(~found)
    assert isinstance(to_truth, np.ndarray) and isinstance(to_found, np.ndarray)
    precision = float((to_truth[found] <= tolerance).mean())
    recall = float((to_found[truth] <= tolerance).mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else 0.0
