"""What the sampler itself costs: points drawn with the exact field, from several starts.

    python -m benchmarks.studies.score_start

The field is that of 4,000 points of the contour of each of twelve MNIST digits, so nothing is learned and all
that is measured is the sampler. Chamfer (times 10^4) and exact earth mover's distance (times 10^2) to a sample
of 800 points, mean of two seeds; `oracle` is another sample of 800 points.
"""

import math

import numpy as np
import torch

from benchmarks.helpers.common import data_folder, save_results
from benchmarks.helpers.score_common import distances
from bozzetto.score import ModelConfig, ScoreModel, contour_points, denoised, draw_points
from bozzetto.score.solvers import noise_levels, solve_ode, start_noise

DIGITS, POINTS, LOW = 12, 800, 0.01


class ExactField(ScoreModel):
    """The field of known clouds; codes are their numbers."""

    def __init__(self, clouds: torch.Tensor) -> None:
        super().__init__(ModelConfig(dimensions=2, low=LOW))
        self.clouds = clouds

    def encode(self, points: torch.Tensor) -> torch.Tensor:
        """Not needed."""
        raise NotImplementedError

    def prepare(self, codes: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The clouds."""
        return (self.clouds[codes[:, 0].long()],)

    def denoise(
        self, prepared: tuple[torch.Tensor, ...], x: torch.Tensor, sigma: torch.Tensor
    ) -> torch.Tensor:
        """The mean of the points that could have been moved to x."""
        return denoised(prepared[0][:, None], x, sigma[..., None].expand(x.shape[:-1]))

    def weight(self, sigma: torch.Tensor) -> torch.Tensor:
        """Not needed."""
        return sigma


def isotropic(model: ExactField, codes: torch.Tensor, seed: int) -> torch.Tensor:
    """From a Gaussian that fits no shape in particular, at a noise level far above their size."""
    x = start_noise(len(codes), POINTS, 2, seed) * math.sqrt(3.0**2 + 0.5**2)
    return solve_ode(model, model.prepare(codes), x, noise_levels(3.0, LOW, 10))


def main() -> None:
    """Draw and compare."""
    content = np.load(data_folder("points") / "mnist.npz")
    pictures = torch.from_numpy(content["test_images"][:DIGITS]).float() / 255
    field, first, truth = (
        contour_points(pictures, count, generator=torch.Generator().manual_seed(seed))
        for seed, count in ((1, 4000), (2, POINTS), (3, POINTS))
    )
    model, codes = ExactField(field), torch.arange(DIGITS)[:, None].float()
    ways: dict[str, dict] = {
        "fitted at 1": {},
        "fitted at 1, independent": {"stratified": False},
        "fitted at 0.7": {"begin": 0.7},
        "fitted at 1.5": {"begin": 1.5},
        "fitted at 3": {"begin": 3.0},
        "fitted at 1, 7 evaluations": {"evaluations": 7},
        "fitted at 1, 16 evaluations": {"evaluations": 16},
    }
    rows = {"oracle": distances(first, truth)}
    made = {"isotropic at 3": [isotropic(model, codes, seed) for seed in (0, 1)]}
    for name, how in ways.items():
        made[name] = [draw_points(model, codes, POINTS, seed, **how) for seed in (0, 1)]
    for name, clouds in made.items():
        found = [distances(some, truth) for some in clouds]
        rows[name] = {key: sum(row[key] for row in found) / len(found) for key in found[0]}
    for name, row in rows.items():
        print(f"{name:36} chamfer {row['chamfer']:.3f}  earth mover {row['earth_mover']:.3f}")
    save_results("score_start", {"digits": DIGITS, "points": POINTS, "rows": rows})


if __name__ == "__main__":
    main()
