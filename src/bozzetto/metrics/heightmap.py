"""Metrics of height maps against measured ones: the published ones, and more informative ones.

A height map from one photo has neither scale nor offset, and its sign may be wrong, so most metrics are
computed after the best affine map a h + b. The published metrics are included only for comparison: the photo's
own luminance has a GLCM cosine of 0.98, and a perfect map with half the contrast loses half of the published
edge score. Edges are those of Canny, in the two versions that are in use.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import canny, graycomatrix, graycoprops
from skimage.metrics import structural_similarity
from torch import Tensor

from ..errors import InputError

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


GLCM_FEATURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
GLCM_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROTOCOL_SIDE = 256


@dataclass(frozen=True)
class HeightScores:
    """Metrics of one height map against the true one, without resizing.

    If the truth is flat, all metrics are None. If the prediction is flat, its correlations are 0.

    Attributes:
        rmse_affine: RMS difference after the best a h + b, in units of the true range; 0 is perfect.
        rmse_positive: The same with a >= 0, which penalises a wrong sign.
        correlation: Pearson correlation of the heights; its sign is that of a.
        gradient_correlation: Pearson correlation of the central differences, both directions together.
        sign_error: Whether hills became hollows: a < 0.
        ssim: Structural similarity (Gaussian window, sigma 1.5, 11 taps, no sample covariance, data range 1),
            each map stretched from its 1st to its 99th percentile.
        ssim_min_max: The same, each map stretched from its smallest to its largest value (see `stretch`).
        edge_f1_0, edge_f1_2: F1 of edges after the affine map with tolerance 0 and 2 pixels (`canny_like`).
        edge_f1_15: The same with 1.5 pixels.
        glcm_z: Cosine of co-occurrence features (32 levels), each z-scored over a reference set; None without.
        glcm_published: Cosine of raw co-occurrence features (256 levels, distance 1, four angles, symmetric,
            normed), 8 bits. Hardly informative.
        edge_precision_published, edge_recall_published, edge_f1_published: Canny 100 / 200 on the same 8 bits,
            coinciding pixels only. Depends on contrast.
    """

    rmse_affine: float | None
    rmse_positive: float | None
    correlation: float | None
    gradient_correlation: float | None
    sign_error: bool | None
    ssim: float | None
    ssim_min_max: float | None
    edge_f1_0: float | None
    edge_f1_15: float | None
    edge_f1_2: float | None
    glcm_z: float | None
    glcm_published: float | None
    edge_precision_published: float | None
    edge_recall_published: float | None
    edge_f1_published: float | None


def height_scores(
    prediction: Float[Tensor, "H W"],
    truth: Float[Tensor, "Ht Wt"],
    reference: "GlcmReference | None" = None,
    stretch: bool = True,
) -> HeightScores:
    """Compute all metrics of one height map against the true one.

    The protocol is HM-256: both maps are averaged over areas to 256 x 256 first (`at_protocol_size`), and
    metrics are averaged over materials, not pixels. This function does not resize the maps.

    Args:
        prediction: Heights of any scale; white is high.
        truth: Measured heights.
        reference: Statistics for z-scores of features, usually of all true maps of the test; None leaves out
            `glcm_z`.
        stretch: Whether the prediction is stretched from its smallest to its largest value for `ssim_min_max`
            and the published metrics, or only clipped to [0, 1]. The truth is always stretched.

    Raises:
        InputError: The sizes differ, are below 16 pixels, or a value is not finite.
    """
    p, t = _checked(prediction, truth)
    if is_flat(t):
        return HeightScores(**dict.fromkeys((field.name for field in fields(HeightScores)), None))
    t = to_unit_interval(t)
    slope, aligned = affine_fit(p, t)
    positive = aligned if slope > 0 else np.full_like(t, t.mean())
    found, edges = canny_like(aligned, t)
    shown = to_unit_interval(p) if stretch else p.clip(0, 1)
    p8, t8 = _levels(shown, 256), _levels(t, 256)
    published = edge_scores(canny_8bit(p8), canny_8bit(t8))
    return HeightScores(
        rmse_affine=_rms(aligned - t),
        rmse_positive=_rms(positive - t),
        correlation=_pearson(p, t),
        gradient_correlation=_pearson(_slopes(p), _slopes(t)),
        sign_error=slope < 0,
        ssim=_ssim(_percentiles(p), _percentiles(t)),
        ssim_min_max=_ssim(shown, t),
        edge_f1_0=edge_scores(found, edges, 0)[2],
        edge_f1_15=edge_scores(found, edges, 1.5)[2],
        edge_f1_2=edge_scores(found, edges, 2)[2],
        glcm_z=None if reference is None else reference.cosine(p, t),
        glcm_published=_cosine(glcm_features(shown, 256), glcm_features(t, 256)),
        edge_precision_published=published[0],
        edge_recall_published=published[1],
        edge_f1_published=published[2],
    )


def mean_scores(scores: Sequence[HeightScores]) -> dict[str, float | None]:
    """Means of all metrics over materials; `sign_error` becomes a rate. A mean is None if a value is missing.

    Materials whose truth is flat, which have no metrics, are left out.

    Raises:
        InputError: There are no scores.
    """
    if not scores:
        raise InputError("there are no scores to average; evaluate at least one material")
    rows = [asdict(score) for score in scores if score.rmse_affine is not None]
    rows = rows or [asdict(scores[0])]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: None if None in values else float(np.mean(values)) for name, values in columns.items()}


class GlcmReference:
    """Mean and standard deviation of co-occurrence features (32 levels) over a set of true maps.

    Args:
        maps: At least two height maps.

    Raises:
        InputError: There are fewer than two maps.
    """

    def __init__(self, maps: Sequence[Float[Tensor, "H W"]]) -> None:
        if len(maps) < 2:
            raise InputError(f"z-scores need at least two reference maps, got {len(maps)}")
        features = np.stack([glcm_features(to_unit_interval(_array(m)), 32) for m in maps])
        self._mean, self._spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)

    def cosine(self, prediction: NDArray[Any], truth: NDArray[Any]) -> float:
        """Cosine of the z-scored features of two maps: 1 for the same, about 0 for unrelated ones."""
        a, b = (
            (glcm_features(to_unit_interval(m), 32) - self._mean) / self._spread for m in (prediction, truth)
        )
        return _cosine(a, b)


def seam_ratio(height: Float[Tensor, "H W"]) -> tuple[float, float]:
    """Mean difference across opposite borders (left and right, top and bottom) relative to that of neighbours.

    About 1 for a periodic map; above 1.5 the seam is visible. 0 for a constant map.
    """
    values = _array(height)
    ratios = []
    for axis in (1, 0):
        inner = np.abs(np.diff(values, axis=axis)).mean() if values.shape[axis] > 1 else 0.0
        seam = np.abs(values.take(0, axis) - values.take(-1, axis)).mean()
        ratios.append(float(seam / inner) if inner > 0 else 0.0)
    return ratios[0], ratios[1]


def at_protocol_size(
    image: Float[Tensor, "*batch H W"], side: int = PROTOCOL_SIDE
) -> Float[Tensor, "*batch S S"]:
    """Reduce a map by area averages to `side` x `side`, as in the protocol HM-256."""
    flat = image.reshape(1, -1, *image.shape[-2:])
    pooled = torch.nn.functional.adaptive_avg_pool2d(flat, side)
    return pooled.reshape(*image.shape[:-2], side, side)


def is_flat(heights: NDArray[Any]) -> bool:
    """Whether heights are constant up to rounding to float32."""
    return float(np.ptp(heights)) <= 1e-6 * max(float(np.abs(heights).max()), 1e-30)


def affine_fit(prediction: NDArray[Any], truth: NDArray[Any]) -> tuple[float, NDArray[Any]]:
    """Fit a h + b by least squares: a, and the fitted map; a is 0 for a constant prediction."""
    centred = prediction - prediction.mean()
    square = float((centred**2).sum())
    if square <= 1e-18 * prediction.size:
        return 0.0, np.full_like(truth, truth.mean())
    slope = float((centred * truth).sum()) / square
    return slope, slope * centred + truth.mean()


def to_unit_interval(values: NDArray[Any]) -> NDArray[Any]:
    """Scale values to [0, 1]; zeros for a constant."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def glcm_features(height: NDArray[Any], levels: int) -> NDArray[Any]:
    """Six co-occurrence features at four angles, 24 numbers of a map in [0, 1] (Haralick et al. 1973).

    Source: Height study 2025, its co-occurrence measure. Differs: levels and distances were not published.

    Source: Haralick et al. 1973, the features.
    """
    matrix = graycomatrix(_levels(height, levels), [1], GLCM_ANGLES, levels, symmetric=True, normed=True)
    return np.concatenate([graycoprops(matrix, name).ravel() for name in GLCM_FEATURES])


def _checked(prediction: Tensor, truth: Tensor) -> tuple[NDArray[Any], NDArray[Any]]:
    if prediction.shape != truth.shape or min(truth.shape) < 16:
        raise InputError(
            f"height maps of {tuple(prediction.shape)} and {tuple(truth.shape)} cannot be compared; "
            "both must have the same size of at least 16 x 16, so resize one"
        )
    p, t = _array(prediction), _array(truth)
    if not (np.isfinite(p).all() and np.isfinite(t).all()):
        raise InputError("a height map to compare holds NaN or infinite values; fill or crop them")
    return p, t


def _array(values: Tensor) -> NDArray[Any]:
    return values.detach().cpu().double().numpy()


def _levels(values: NDArray[Any], count: int) -> NDArray[np.uint8]:
    return np.round(values * (count - 1)).astype(np.uint8)


def _percentiles(values: NDArray[Any]) -> NDArray[Any]:
    low, high = np.percentile(values, [1, 99])
    return ((values - low) / (high - low)).clip(0, 1) if high > low else to_unit_interval(values)


def _ssim(a: NDArray[Any], b: NDArray[Any]) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return float(np.mean(structural_similarity(a, b, **options)))


def _slopes(values: NDArray[Any]) -> NDArray[Any]:
    return np.stack([np.gradient(values, axis=axis) for axis in (0, 1)])


def _rms(values: NDArray[Any]) -> float:
    return float(np.sqrt((values**2).mean()))


def _pearson(a: NDArray[Any], b: NDArray[Any]) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0
