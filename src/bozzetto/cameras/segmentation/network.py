"""Masks by a segmentation network that the user provides as an ONNX file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...images.io import linear_to_srgb
from ...images.resizing import area_resize
from ...steps import counted
from ..capture import Capture
from .edges import with_edges

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of sRGB-encoded colours in ImageNet, with which most networks normalise their
input."""
SIZE = 512
"""Height and width of the input of networks with variable input size."""


def network_masks(capture: Capture, path: str | os.PathLike[str]) -> Capture:
    """The capture with masks by a network, for each view independently, with edges by `with_edges`.

    Networks for salient objects or foreground segmentation are supported. The input is one picture (1 x 3 x
    height x width, RGB, normalised as for ImageNet). The output is a map of the object, as probabilities or
    logits; of two channels the second is used. The input size is that of the network, or 512 x 512 if it is
    variable.

    Raises:
        InputError: onnxruntime is not installed, or the file is not such a network.
    """
    path = Path(path)
    session = _opened(path)
    height, width = _input_size(session, path)
    size = (capture.cameras.height, capture.cameras.width)
    found = []
    for image, known in counted(list(zip(capture.images, capture.known, strict=True)), "network"):
        # The network might mistake padding for content.
        rows, columns = (int(known.any(dim=axis).nonzero().max()) + 1 for axis in (1, 0))
        encoded = linear_to_srgb(area_resize(image[None, :rows, :columns].cpu(), width, height).clamp(0, 1))
        normal = (encoded - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
        answer = _probabilities(_run(session, normal.permute(0, 3, 1, 2).numpy(), path), path)
        enlarged = torch.nn.functional.interpolate(answer[None, None], (rows, columns), mode="bilinear")[0, 0]
        inside = torch.zeros(size, dtype=torch.bool)
        inside[:rows, :columns] = enlarged > 0.5
        found.append(inside)
    return with_edges(capture, torch.stack(found), blur=size[1] / width)


def _opened(path: Path) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise InputError(f"{path} needs another package; run: pip install 'bozzetto[onnx]'") from None
    if not path.is_file():
        raise InputError(f"there is no network {path}; give an ONNX file")
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common type
        raise InputError(f"onnxruntime cannot run {path}: {_line(error)}; export it again") from None


def _input_size(session: Any, path: Path) -> tuple[int, int]:
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    wrong = len(shape) != 4 or shape[0] not in (1, None) and isinstance(shape[0], int)
    if wrong or (isinstance(shape[1], int) and shape[1] != 3) or inputs[0].type != "tensor(float)":
        described = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
        raise InputError(
            f"the network {path} takes {described}; expected one picture as float of 1 x 3 x height x width"
        )
    height, width = (side if isinstance(side, int) and side > 0 else SIZE for side in shape[2:])
    return height, width


def _run(session: Any, picture: npt.NDArray[Any], path: Path) -> npt.NDArray[Any]:
    try:
        return np.asarray(session.run(None, {session.get_inputs()[0].name: picture})[0])
    except Exception as error:  # its errors have no common type
        raise InputError(f"the network {path} fails on a picture: {_line(error)}; export it again") from None


def _probabilities(answer: npt.NDArray[Any], path: Path) -> Float[Tensor, "h w"]:
    """The map of the object in the output of a network; values outside of [0, 1] are logits."""
    shape = answer.shape
    if answer.ndim == 4 and shape[0] == 1:
        answer = answer[0]
    if answer.ndim == 3 and answer.shape[0] in (1, 2):
        answer = answer[-1]
    if answer.ndim != 2 or min(answer.shape) < 2 or not np.isfinite(answer).all():
        raise InputError(
            f"the network {path} answers with {' x '.join(map(str, shape))} numbers; expected a map of the "
            "object, 1 x 1 x height x width, all finite"
        )
    found = torch.from_numpy(answer.astype(np.float32))
    return found if float(found.min()) >= -1e-3 and float(found.max()) <= 1.001 else torch.sigmoid(found)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
