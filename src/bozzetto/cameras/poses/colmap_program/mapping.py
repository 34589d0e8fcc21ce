"""Mapping: poses of the pictures of a database of matches, and adjustment of their lens models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FEWEST_PICTURES, FEWEST_SEEN = 10, 2000
"""Smallest numbers of pictures with a camera, and of observed points, at which its principal point and a second
coefficient of distortion are estimated."""
CLOSE = 2.0
"""Largest reprojection error in pixels of an observation that is kept at the end."""
CERTAIN = 0.001
"""Largest standard deviation of an accepted principal point, as a fraction of the longer side."""
OFF_AXIS = 0.02
"""Largest distance of an accepted principal point from the centre, as a fraction of the longer side; phones
have much less."""
SAME_FOCAL = 0.05
"""Largest relative change of the focal length when the principal point is estimated."""
LEFT = 0.5
"""Smallest fraction of the points that has to remain; otherwise the model is not changed."""
ROUNDS = 2


def refine_lens(pycolmap: Any, model: Any) -> Any:
    """Refine the model by a last bundle adjustment, with more lens parameters if there are enough observations.

    For cameras of many pictures, a second coefficient of radial distortion and the principal point are
    estimated. They are kept if they are plausible and certain.
    """
    rich = [key for key in model.cameras if _seen(model, key)[0] >= FEWEST_PICTURES]
    rich = [key for key in rich if _seen(model, key)[1] >= FEWEST_SEEN]
    plain = pycolmap.Reconstruction(model)
    _adjust(pycolmap, plain, ())
    if plain.num_points3D() < LEFT * model.num_points3D():
        return model
    if not rich:
        return plain
    bent = pycolmap.Reconstruction(plain)
    for key in rich:
        camera = bent.camera(key)
        if camera.model.name == "SIMPLE_RADIAL":
            values = [*camera.params, 0.0]
            camera.model = pycolmap.CameraModelId.RADIAL
            camera.params = values
    _adjust(pycolmap, bent, ())
    shifted = pycolmap.Reconstruction(bent)
    if _free_centers(pycolmap, shifted, rich):
        return shifted
    return bent if all(is_plausible(plain, bent, key) for key in rich) else plain


def _free_centers(pycolmap: Any, model: Any, rich: list[int]) -> bool:
    """Estimate the principal points of these cameras; return whether the result is plausible and certain."""
    before = pycolmap.Reconstruction(model)
    deviations = _adjust(pycolmap, model, rich)
    for key in rich:
        camera = model.camera(key)
        longer = max(camera.width, camera.height)
        if deviations.get(key, np.inf) > CERTAIN * longer or not is_plausible(before, model, key):
            return False
    _adjust(pycolmap, model, ())
    return True


def _seen(model: Any, key: int) -> tuple[int, int]:
    """Number of pictures with a camera, and number of points observed in them."""
    images = [model.image(i) for i in model.reg_image_ids() if model.image(i).camera_id == key]
    return len(images), sum(image.num_points3D for image in images)


def is_plausible(before: Any, after: Any, key: int) -> bool:
    """Whether the focal length hardly changed and the principal point is near the centre."""
    old, new = before.camera(key), after.camera(key)
    middle = np.array([new.width / 2, new.height / 2])
    far = np.abs(np.array([new.principal_point_x, new.principal_point_y]) - middle).max()
    changed = abs(new.focal_length / old.focal_length - 1)
    return bool(far < OFF_AXIS * max(new.width, new.height) and changed < SAME_FOCAL)


def _adjust(pycolmap: Any, model: Any, centers: Any) -> dict[int, float]:
    """Bundle adjustment, followed by removing observations with large errors.

    Args:
        pycolmap: The library.
        model: The model, which is changed in place.
        centers: Cameras whose principal points are estimated; the lens parameters of the others are fixed. If
            empty, all lens parameters except principal points are estimated.

    Returns:
        Standard deviations of the estimated principal points, in pixels.
    """
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_principal_point = bool(centers)
    deviations: dict[int, float] = {}
    for _ in range(ROUNDS):
        config = pycolmap.BundleAdjustmentConfig()
        for identifier in model.reg_image_ids():
            config.add_image(identifier)
        config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
        for key in model.cameras:
            if centers and key not in centers:
                config.set_constant_cam_intrinsics(key)
        adjuster = pycolmap.create_default_ceres_bundle_adjuster(options, config, model)
        adjuster.solve()
        if centers:
            deviations = _deviations(pycolmap, model, adjuster, centers)
        pycolmap.ObservationManager(model).filter_all_points3D(CLOSE, 1.5)
    return deviations


def _deviations(pycolmap: Any, model: Any, adjuster: Any, centers: Any) -> dict[int, float]:
    options = pycolmap.BACovarianceOptions()
    options.params = pycolmap.BACovarianceOptionsParams.ALL
    found = pycolmap.estimate_ba_covariance(options, model, adjuster)
    if found is None:
        return {}
    model.update_point_3d_errors()
    noise = model.compute_mean_reprojection_error() ** 2
    result = {}
    for key in centers:
        camera = model.camera(key)
        covariance = found.get_other_params_cov(camera.params)
        if covariance is not None:
            place = list(camera.principal_point_idxs())
            result[key] = float(np.sqrt(noise * np.diag(covariance)[place].max()))
    return result


def place(pycolmap: Any, job: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Estimate the poses of the pictures; every model is written as text to its own folder.

    If `hold` is set in the job, lens parameters with known focal length are fixed until all pictures are
    placed.
    """
    placed = most = 0  # models are started several times, but progress never decreases

    def count(number: int) -> None:
        nonlocal placed, most
        placed, most = number, max(most, number)
        say({"stage": "mapping", "share": min(0.99, most / len(job["pictures"]))})

    say({"stage": "mapping", "share": 0.0})
    target = Path(job["models"])
    target.mkdir(parents=True, exist_ok=True)
    options = _options(pycolmap, job)
    if job["hold"]:
        options.constant_cameras = _known_cameras(pycolmap, job)
    models = pycolmap.incremental_mapping(
        job["database"],
        job["folder"],
        str(target),
        options,
        initial_image_pair_callback=lambda: count(2),
        next_image_callback=lambda: count(placed + 1),
    )
    largest = max(models, key=lambda n: (models[n].num_reg_images(), models[n].num_points3D()), default=None)
    found = []
    for number, model in models.items():
        if number == largest:
            model = refine_lens(pycolmap, _released(pycolmap, job, model) if job["hold"] else model)
        folder = target / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.bin"):
            old.unlink()
        model.write_text(str(folder))
        names = sorted(model.image(i).name for i in model.reg_image_ids())
        found.append(
            {
                "folder": str(folder),
                "pictures": names,
                "points": model.num_points3D(),
                "error": model.compute_mean_reprojection_error(),
            }
        )
    return {"models": found}


def _options(pycolmap: Any, job: dict[str, Any]) -> Any:
    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = job["seed"]
    options.extract_colors = False
    options.min_model_size = 3
    for name, value in job["mapping"].items():
        target: Any = options
        *path, last = name.split(".")
        for part in path:
            target = getattr(target, part)
        setattr(target, last, value)
    return options


def _known_cameras(pycolmap: Any, job: dict[str, Any]) -> set[int]:
    """Cameras whose focal length is known."""
    database = pycolmap.Database.open(job["database"])
    known = {camera.camera_id for camera in database.read_all_cameras() if camera.has_prior_focal_length}
    database.close()
    return known


def _released(pycolmap: Any, job: dict[str, Any], model: Any) -> Any:
    """A model after estimating previously fixed lens parameters, with the points and pictures that fit."""
    adjustment = pycolmap.BundleAdjustmentOptions()
    adjustment.print_summary = False
    pycolmap.bundle_adjustment(model, adjustment)
    start, target = (Path(job["models"]) / name for name in ("held", "released"))
    for folder in (start, target):
        folder.mkdir(parents=True, exist_ok=True)
    model.write_binary(str(start))
    options = _options(pycolmap, job)
    options.multiple_models = False
    models = pycolmap.incremental_mapping(
        job["database"], job["folder"], str(target), options, input_path=str(start)
    )
    return max(models.values(), key=lambda released: released.num_reg_images(), default=model)
