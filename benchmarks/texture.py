"""Texture reconstruction: every step sees 1 % of the texels of a 1024 x 1024 texture, chosen at random.

    python -m benchmarks.texture
    python -m benchmarks.texture --steps 300 --textures procedural rock028

The question: after how many steps does preconditioned descent reach the PSNR that plain Adam ends with? Adam
takes all the steps and has the best step size of a scan, each texture for itself; preconditioned descent
takes a third of the steps and has no setting to tune. All methods start from grey and see the same texels in
the same order. For comparison, also over a third of the steps: gradient descent on the texels (each is exact
once it was seen), and AdamUniform and Adam on u with one fixed lambda, as for meshes.

The procedural texture is always there; photographs come from textures/ in BOZZETTO_DATA if that is set.
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.helpers.common import RESULTS, data_folder, save_results
from bozzetto.inverse import Preconditioner, TextureFit, make_optimizer

SHARE = 0.01  # of the texels, in every step
ADAM_STEP_SIZES = (0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024)
FIXED_SMOOTHNESS = 1.0
FIXED_STEP_SIZES = {"adam_uniform": 0.1, "adam": 0.01}  # best of 0.01, 0.03, 0.1, 0.3 and 0.003, 0.01, 0.03
PHOTOGRAPHS = ("rock028", "hterrain_leaves", "metal053c", "grass004")


def procedural(size: int) -> Tensor:
    """Our own texture: rough tiles of several colours with dark joints, under stains and fine grain."""
    generator = torch.Generator().manual_seed(1)
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cloud, grain = noise(size, 1.5, generator), noise(size, 0.6, generator)
    row = ((y + 0.01 * cloud) * 8).floor()
    across = (x + 0.01 * noise(size, 1.5, generator)) * 5 + 0.5 * (row % 2)
    down = (y + 0.01 * cloud) * 8
    joint = torch.minimum((across % 1 - 0.5).abs() * -2 + 1, ((down % 1) - 0.5).abs() * -1.25 + 0.625)
    shade = torch.sin(12.9898 * across.floor() + 78.233 * row)  # one number per tile
    warm, cold = torch.tensor([0.62, 0.36, 0.26]), torch.tensor([0.45, 0.42, 0.40])
    color = warm + (cold - warm) * (0.5 + 0.5 * shade)[..., None]
    color = color * (1 + 0.12 * cloud + 0.08 * grain)[..., None]
    mortar = 0.24 + 0.03 * grain
    weight = ((joint - 0.05) / 0.02).clamp(0, 1)[..., None]
    return (weight * color + (1 - weight) * mortar[..., None]).clamp(0, 1)


def noise(size: int, roughness: float, generator: torch.Generator) -> Tensor:
    """Random field of mean 0 and deviation 1 whose waves fall as 1 / frequency**roughness; it tiles."""
    waves = torch.fft.rfft2(torch.randn(size, size, generator=generator))
    frequency = (torch.fft.fftfreq(size)[:, None].square() + torch.fft.rfftfreq(size).square()).sqrt()
    frequency[0, 0] = float("inf")
    field = torch.fft.irfft2(waves / frequency**roughness, s=(size, size))
    return field / field.std()


def photograph(name: str, size: int) -> Tensor:
    """A colour photograph of the benchmark data, cropped; values as in the file, 0 to 1."""
    with Image.open(data_folder("textures") / "A" / name / "color.jpg") as image:
        pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        pixels = pixels.reshape(image.height, image.width, 3)
    return pixels[:size, :size].float() / 255


class Observer:
    """The same random texels for every method: those of step t depend on t alone."""

    def __init__(self, target: Tensor) -> None:
        self.flat = target.reshape(-1, 3)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step)
        texels = torch.randint(len(self.flat), (round(SHARE * len(self.flat)),), generator=generator)
        return texels, self.flat[texels]

    def psnr(self, texture: Tensor) -> float:
        """Peak signal-to-noise ratio in dB of the whole texture, peak 1."""
        return -10 * math.log10(float((texture.reshape(-1, 3).clamp(0, 1) - self.flat).square().mean()))


class Curve:
    """PSNR against steps of one run, its time and its last texture."""

    def __init__(self, observer: Observer, every: int = 10) -> None:
        self.observer, self.every = observer, every
        self.steps: list[int] = []
        self.psnr: list[float] = []
        self.seconds = 0.0
        self.texture = torch.zeros(0)

    def record(self, step: int, texture: Tensor) -> None:
        if (step + 1) % self.every == 0:
            self.steps.append(step + 1)
            self.psnr.append(self.observer.psnr(texture))
            self.texture = texture.detach().clone()

    def reaches(self, psnr: float) -> int | None:
        """The first recorded step with at least this PSNR."""
        return next((step for step, value in zip(self.steps, self.psnr, strict=True) if value >= psnr), None)

    def row(self) -> dict:
        return {
            "steps": self.steps,
            "psnr": [round(v, 3) for v in self.psnr],
            "seconds": round(self.seconds, 1),
        }


def preconditioned(observer: Observer, size: int, steps: int) -> Curve:
    """The method of the library."""
    curve, fit, started = Curve(observer), TextureFit(size, size), time.perf_counter()
    for step in range(steps):
        fit.update(*observer(step))
        curve.record(step, fit.texture)
    curve.seconds = time.perf_counter() - started
    return curve


def descend(
    observer: Observer, size: int, steps: int, optimizer: str, step_size: float, smoothness: float = 0.0
) -> Curve:
    """An optimiser on the texels (smoothness 0) or on u = (I + lambda L) x with one lambda."""
    curve, started = Curve(observer), time.perf_counter()
    latent = torch.full((size, size, 3), 0.5, requires_grad=True)
    preconditioner = Preconditioner.from_grid(size, size, smoothness) if smoothness else None
    if optimizer == "adam":  # the same rule, several times faster
        rule = torch.optim.Adam([latent], step_size, fused=True)
    else:
        rule = make_optimizer(optimizer, [latent], step_size)
    for step in range(steps):
        texture = preconditioner.from_latent(latent) if preconditioner else latent
        if step:
            curve.record(step - 1, texture.detach())
        texels, values = observer(step)
        rule.zero_grad()
        (0.5 * (texture.reshape(-1, 3)[texels] - values).square().sum()).backward()
        rule.step()
    with torch.no_grad():
        curve.record(steps - 1, preconditioner.from_latent(latent) if preconditioner else latent)
    curve.seconds = time.perf_counter() - started
    return curve


def compare(target: Tensor, steps: int, step_sizes: list[float]) -> tuple[dict, dict[str, Curve]]:
    """All methods on one texture, Adam with each of these step sizes."""
    observer, size, third = Observer(target), len(target), steps // 3
    scan = {s: descend(observer, size, steps, "adam", s) for s in step_sizes}
    best = max(scan, key=lambda s: scan[s].psnr[-1])
    curves = {
        f"Adam (step size {best:g})": scan[best],
        "preconditioned descent": preconditioned(observer, size, third),
        "gradient descent": descend(observer, size, third, "gradient_descent", 1.0),
        **{
            f"{name} on u, fixed lambda": descend(observer, size, third, name, step_size, FIXED_SMOOTHNESS)
            for name, step_size in FIXED_STEP_SIZES.items()
        },
    }
    adam, ours = scan[best], curves["preconditioned descent"]
    reached = ours.reaches(adam.psnr[-1])
    summary = {
        "adam_step_size": best,
        "adam_step_size_inside_scan": min(step_sizes) < best < max(step_sizes),
        "adam_scan": {f"{s:g}": round(curve.psnr[-1], 3) for s, curve in scan.items()},
        "adam_psnr": round(adam.psnr[-1], 3),
        "adam_psnr_at_a_third": round(adam.psnr[adam.steps.index(ours.steps[-1])], 3),
        "our_psnr_at_a_third": round(ours.psnr[-1], 3),
        "our_steps_to_adam_psnr": reached,
        "steps_ratio": None if reached is None else round(reached / steps, 4),
        "our_seconds_to_adam_psnr": None if reached is None else round(ours.seconds * reached / third, 1),
        "adam_seconds": round(adam.seconds, 1),
        "holds": reached is not None and reached <= steps / 3,
        "curves": {name: curve.row() for name, curve in curves.items()},
    }
    return summary, curves


def plot(name: str, curves: dict[str, Curve], folder: Path) -> None:
    """PSNR against steps, if matplotlib is installed (extra `plots`)."""
    try:
        import matplotlib
    except ImportError:
        print('no plots: run `pip install "bozzetto[plots]"` to have them')
        return
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for label, curve in curves.items():
        axes.plot(curve.steps, curve.psnr, label=label)
    final = next(iter(curves.values())).psnr[-1]
    axes.axhline(final, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel="steps, each sees 1 % of the texels", ylabel="PSNR (dB)", title=name)
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(folder / f"texture-{name}.png", dpi=130)
    pyplot.close(figure)


def picture(name: str, target: Tensor, curves: dict[str, Curve], folder: Path) -> None:
    """Target, preconditioned descent after a third of the steps, Adam at its end; corners below."""
    names = list(curves)
    textures = [target, curves[names[1]].texture, curves[names[0]].texture]
    size = len(target)
    whole = torch.cat([t[:: max(size // 512, 1), :: max(size // 512, 1)] for t in textures], dim=1)
    part = max(size // 8, 1)
    corner = torch.cat([t[:part, :part] for t in textures], dim=1)
    enlarge = whole.shape[1] // corner.shape[1]
    corner = corner.repeat_interleave(enlarge, 0).repeat_interleave(enlarge, 1)
    pixels = torch.cat([whole, corner]).clamp(0, 1).mul(255).round().to(torch.uint8)
    Image.fromarray(pixels.numpy()).save(folder / f"texture-{name}-pictures.png")


def main() -> None:
    """Run, print a table, write texture.json and the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=1000, help="steps of Adam")
    parser.add_argument("--size", type=int, default=1024, help="side of the texture in texels")
    parser.add_argument("--textures", nargs="+", help="procedural, or names in textures/A")
    parser.add_argument("--adam-step-sizes", type=float, nargs="+", default=ADAM_STEP_SIZES)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    names = options.textures or ["procedural", *(PHOTOGRAPHS if os.environ.get("BOZZETTO_DATA") else ())]
    options.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for name in names:
        target = procedural(options.size) if name == "procedural" else photograph(name, options.size)
        rows[name], curves = compare(target, options.steps, options.adam_step_sizes)
        row = rows[name]
        print(
            f"{name:16s} Adam {row['adam_psnr']:.2f} dB after {options.steps} steps (step size "
            f"{row['adam_step_size']:g}); preconditioned descent there after {row['our_steps_to_adam_psnr']} "
            f"steps, {row['our_psnr_at_a_third']:.2f} dB after a third",
            flush=True,
        )
        plot(name, curves, options.out)
        picture(name, target, curves, options.out)
    result = {"steps": options.steps, "size": options.size, "share": SHARE, "textures": rows}
    save_results(f"texture-{options.steps}-steps", result, options.out)


if __name__ == "__main__":
    main()
