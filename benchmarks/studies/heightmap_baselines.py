"""What the height map figures say about trivial predictions, per scanned material and averaged.

Class A of BOZZETTO_DATA/textures (scanned or library-quality materials), colour and height averaged over areas
to 256 x 256. A figure that a blurred, shifted or faded copy of the truth, another material or the photo's own
luminance reaches proves nothing; a method has to be read against this table.

    python -m benchmarks.studies.heightmap_baselines
"""

import csv
from pathlib import Path

import torch
from scipy import ndimage
from torch import Tensor

from benchmarks.helpers.common import data_folder, save_results
from bozzetto.images import load_image
from bozzetto.metrics import GlcmReference, at_protocol_size, height_scores, lpips_missing, mean_scores
from bozzetto.shapes import load_height

LUMA = torch.tensor([0.299, 0.587, 0.114])


def luminance(folder: Path) -> Tensor:
    """Luma of the photo as stored."""
    image = load_image(folder / "color.jpg")
    return image[..., 0] if image.shape[-1] < 3 else image[..., :3] @ LUMA


def materials() -> list[tuple[str, Tensor, Tensor]]:
    """Slug, luma and height of every class A material."""
    root = data_folder("textures")
    with (root / "manifest.csv").open(encoding="utf-8") as file:
        slugs = [row["slug"] for row in csv.DictReader(file) if row["class"] == "A"]
    folders = [(slug, root / "A" / slug) for slug in slugs]
    return [
        (slug, at_protocol_size(luminance(f)), at_protocol_size(load_height(f / "height.png").height))
        for slug, f in folders
    ]


def unit(height: Tensor) -> Tensor:
    return (height - height.min()) / (height.max() - height.min())


def blurred(height: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(ndimage.gaussian_filter(height.numpy(), sigma, mode="nearest"))


def main() -> None:
    pairs = [(slug, luma, unit(height)) for slug, luma, height in materials()]
    heights = [height for _, _, height in pairs]
    reference = GlcmReference(heights)
    predictions = {
        "luminance": lambda k: pairs[k][1],
        "luminance, inverted": lambda k: 1 - pairs[k][1],
        "another material": lambda k: heights[(k + 1) % len(heights)],
        "constant": lambda k: torch.full_like(heights[k], 0.5),
        "blurred, sigma 1": lambda k: blurred(heights[k], 1),
        "blurred, sigma 2": lambda k: blurred(heights[k], 2),
        "blurred, sigma 4": lambda k: blurred(heights[k], 4),
        "blurred, sigma 8": lambda k: blurred(heights[k], 8),
        "shifted by a pixel": lambda k: heights[k].roll(1, 1),
        "contrast halved": lambda k: 0.25 + heights[k] / 2,
        "5 bits": lambda k: (heights[k] * 31).round() / 31,
    }
    table, per_material = {}, {}
    for name, predict in predictions.items():
        # Copies of the truth are seen with the contrast that they have, as other predictions would be.
        stretch = name.startswith("luminance")
        scores = [height_scores(predict(k), height, reference, stretch) for k, height in enumerate(heights)]
        table[name] = mean_scores(scores)
        if name == "luminance":
            per_material = {
                slug: {"rmse_affine": s.rmse_affine, "correlation": s.correlation}
                for (slug, _, _), s in zip(pairs, scores, strict=True)
            }
        print(name.ljust(20), {k: round(v, 3) for k, v in table[name].items() if v is not None})
    save_results(
        "heightmap_baselines",
        {
            "protocol": "HM-256 v1",
            "materials": len(pairs),
            "lpips": lpips_missing() or "available",
            "table": table,
            "luminance_per_material": per_material,
        },
    )


if __name__ == "__main__":
    main()
