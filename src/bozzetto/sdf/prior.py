"""What a collection leaves behind: a decoder, the codes of its shapes, and how codes are distributed."""

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import InputError
from ..runs import read_checkpoint, write_checkpoint
from ..weights import find
from .config import DecoderConfig
from .model import Decoder, build_decoder


@dataclass(frozen=True)
class ShapePrior:
    """A trained decoder with the codes of the shapes it has learned.

    Attributes:
        decoder: In evaluation mode.
        codes: One row per training shape.
        names: Of the training shapes.
        about: What it was trained on and how: name, licence, command, seed, figures.
        clamp: delta of the training (equation 4): distances beyond it are not to be relied on; infinite if none
            was clamped.
        width: Of the family, see `family_width`; None where a file does not have it.
    """

    decoder: Decoder
    codes: Float[Tensor, "S K"]
    names: tuple[str, ...]
    about: dict = field(default_factory=dict)
    clamp: float = 0.1
    width: float | None = None

    def check_code(self, code: Tensor, name: str = "the code") -> Float[Tensor, " K"]:
        """The code itself, if it is one of this prior.

        Raises:
            InputError: It has another length or values that are not finite.
        """
        size = self.decoder.config.code_size
        if code.shape != (size,):
            raise InputError(
                f"{name} has shape {tuple(code.shape)}, but this prior's codes have {size} numbers; "
                "use the prior that the code was made with"
            )
        if not torch.isfinite(code).all():
            raise InputError(f"{name} has NaN or infinite numbers; make it anew")
        return code

    def to(self, device: torch.device | str) -> "ShapePrior":
        """The prior on another device."""
        return replace(self, decoder=self.decoder.to(device), codes=self.codes.to(device))


def save_prior(prior: ShapePrior, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a prior as safetensors, with a checksum; `dtype` float16 halves its size."""
    weights = {f"decoder.{name}": value.to(dtype) for name, value in prior.decoder.state_dict().items()}
    meta = {
        "kind": "sdf prior",
        "decoder": asdict(prior.decoder.config),
        "names": list(prior.names),
        "about": prior.about,
        "clamp": prior.clamp if math.isfinite(prior.clamp) else None,
        "width": prior.width,
    }
    write_checkpoint(Path(path), {**weights, "codes": prior.codes.to(dtype)}, meta)


def load_prior(path: str | Path) -> ShapePrior:
    """Read a prior.

    Raises:
        InputError: The file is missing, damaged, changed, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no prior at {path}; train one with: bozzetto train sdf DATA")
    tensors, meta = read_checkpoint(path, "give the prior.safetensors of: bozzetto train sdf DATA")
    if meta.get("kind") != "sdf prior":
        raise InputError(f"{path} holds {meta.get('kind', 'a training state')!r}, not a prior over shapes")
    decoder = build_decoder(DecoderConfig(**meta["decoder"]))
    weights = {n.removeprefix("decoder."): v.float() for n, v in tensors.items() if n.startswith("decoder.")}
    decoder.load_state_dict(weights)
    clamp = meta.get("clamp", 0.1)  # files of the first version hold none, and were trained with this one
    return ShapePrior(
        decoder.eval().requires_grad_(False),
        tensors["codes"].float(),
        tuple(meta["names"]),
        meta["about"],
        math.inf if clamp is None else clamp,
        meta.get("width"),
    )


def open_prior(name: str) -> ShapePrior:
    """A prior from a file, or one that comes with the package, by its name.

    Raises:
        InputError: There is none of this name, or the file holds something else.
    """
    path = Path(name)
    return load_prior(path if path.suffix or path.is_file() else find(name))
