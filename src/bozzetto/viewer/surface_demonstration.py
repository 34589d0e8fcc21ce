"""Procedural surfaces are photographed, and their heights are predicted from the photographs."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.synthetic.materials import make_sample
from ..geometry.heightfield import normals_from_height, relief_mesh
from ..heightmap import MapOptions, open_predictor, predict_height
from ..heightmap.run import preview
from ..images import save_image, srgb_to_linear
from ..metrics import height_scores
from ..runs import RunFolder
from ..shapes import HeightField, Mesh, save_height
from .gallery import Gallery

SUBJECTS = (("bricks", 2), ("cobbles", 5), ("weave", 3), ("debris", 7))
SIDE, FACES = 384, 12_000
SEED = 1_000_003  # none of the trainings draws from it


def demonstrate_surfaces(
    run: RunFolder, page: Gallery, device: torch.device | str = "cpu"
) -> dict[str, dict[str, float | None]]:
    """Photograph surfaces of our own making and predict their heights with the best of the shipped weights.

    Writes under `heightmap/`: the photos, the true and the predicted heights and pictures of them.

    Returns:
        Per surface: how well predicted and true height agree.
    """
    predictor = open_predictor().to(device)
    page.text(
        "Photographs of surfaces that a program invented, seen from above, and the height that is read from "
        "each. Their colours have little to do with the height. Left to right: photo, predicted height, the "
        "predicted relief in grey, and how much the network trusts it.",
        heading="From one photo to a height map",
    )
    figures: dict[str, dict[str, float | None]] = {}
    with run.stage("surfaces"):
        for name, number in SUBJECTS:
            photo, truth = subject(name, number)
            result = predict_height(photo, predictor, tiles=True)
            field = MapOptions(depth_mm=40.0).field(result.height, tiles=True)
            save_image(run.file(f"heightmap/{name}/photo.png"), photo)
            save_height(
                HeightField(truth, depth_mm=40.0, tiles=True), run.file(f"heightmap/{name}/truth.png")
            )
            save_height(field, run.file(f"heightmap/{name}/height.png"))
            strip = preview(
                photo, field, normals_from_height(field.in_pixels(), "periodic"), result.confidence
            )
            save_image(run.file(f"heightmap/{name}/preview.png"), strip)
            page.picture(strip, f"{name.capitalize()}: photo, height, relief, confidence", wide=True)
            page.mesh(colored_relief(HeightField(truth, depth_mm=40.0, tiles=True), photo), "True", link=name)
            page.mesh(colored_relief(field, photo), "Predicted", link=name)
            scores = height_scores(result.height, truth)
            figures[name] = {
                "correlation": scores.correlation,
                "RMS error after an affine fit (share of the range)": scores.rmse_affine,
                "F1 of edges within 2 pixels": scores.edge_f1_2,
            }
    page.figures(figures)
    return figures


def subject(name: str, number: int) -> tuple[Float[Tensor, "S S 3"], Float[Tensor, "S S"]]:
    """Photo and true height of a procedural surface."""
    sample = make_sample(SEED, number, SIDE, name)
    photo = torch.from_numpy(sample.color.copy()).float() / 255
    return photo, torch.from_numpy(sample.height.astype("float32") / 65535)


def colored_relief(field: HeightField, photo: Float[Tensor, "H W 3"]) -> Mesh:
    """The relief as a mesh in metres with the photo as colours of its vertices."""
    relief = relief_mesh(field, max_faces=FACES)
    height, width = photo.shape[:2]
    column = (relief.uv[:, 0] * width).long().clamp(0, width - 1)
    row = ((1 - relief.uv[:, 1]) * height).long().clamp(0, height - 1)
    return Mesh(relief.mesh.vertices / 1000, relief.mesh.faces, srgb_to_linear(photo[row, column]))
