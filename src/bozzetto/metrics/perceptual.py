"""LPIPS, where the user has it: its networks are downloads, so the library neither ships nor fetches them."""

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

BACKBONE = "alexnet-owt-7be5be79.pth"


def lpips_missing() -> str | None:
    """What LPIPS lacks on this machine, in one sentence; None if it can be computed."""
    if find_spec("lpips") is None:
        return "LPIPS is not available: the package lpips is not installed (pip install lpips)"
    if not (Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE).is_file():
        return f"LPIPS is not available: its backbone {BACKBONE} has not been downloaded by torchvision"
    return None


def lpips_distance(prediction: Float[Tensor, "H W"], truth: Float[Tensor, "H W"]) -> float | None:
    """LPIPS v0.1 with AlexNet (Zhang et al. 2018) of two maps in [0, 1], grey in all three channels.

    Source: Zhang et al. 2018, LPIPS v0.1 with AlexNet.

    Returns:
        The distance, or None where `lpips_missing` says why.
    """
    if lpips_missing() is not None:
        return None
    import lpips  # pyright: ignore[reportMissingImports] (optional)

    network = lpips.LPIPS(net="alex", version="0.1", verbose=False)
    pair = [(m.float() * 2 - 1).cpu().expand(1, 3, -1, -1) for m in (prediction, truth)]
    with torch.no_grad():
        return float(network(*pair))
