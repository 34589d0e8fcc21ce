"""The command line: `bozzetto VERB ...`. A verb imports what is heavy when it runs."""

import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from .. import __version__
from .autoencode import Autoencode
from .cameras import CamerasVerb
from .cite import Cite
from .common import Options, carry_out, verb_first
from .complete import Complete
from .data import Data
from .demo import Demo
from .denoise import Denoise
from .doctor import Doctor
from .evaluate import Evaluate
from .heightmap import Heightmap
from .interpolate import Interpolate
from .prepare import Prepare
from .reconstruct import Reconstruct
from .sample import Sample
from .surface import Surface
from .train import Train

Verb = (
    Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
    | Annotated[Heightmap, tyro.conf.subcommand("heightmap")]
    | Annotated[Complete, tyro.conf.subcommand("complete")]
    | Annotated[Interpolate, tyro.conf.subcommand("interpolate")]
    | Annotated[Sample, tyro.conf.subcommand("sample")]
    | Annotated[Autoencode, tyro.conf.subcommand("autoencode")]
    | Annotated[Denoise, tyro.conf.subcommand("denoise")]
    | Annotated[Surface, tyro.conf.subcommand("surface")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Prepare, tyro.conf.subcommand("prepare")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Data, tyro.conf.subcommand("data")]
    | Annotated[CamerasVerb, tyro.conf.subcommand("cameras")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Cite, tyro.conf.subcommand("cite")]
)
VERBS = (
    "reconstruct",
    "heightmap",
    "complete",
    "interpolate",
    "sample",
    "autoencode",
    "denoise",
    "surface",
    "demo",
    "train",
    "prepare",
    "evaluate",
    "data",
    "cameras",
    "doctor",
    "cite",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 130 interrupted.

    Args:
        arguments: Words after the name of the program; those of the process if None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        sys.stdout.write(f"bozzetto {__version__}\n")
        return 0
    if not words:
        words = ["--help"]
    options: Options = tyro.cli(  # type: ignore[assignment]  # a union of Annotated types is not a type
        Verb,  # type: ignore[arg-type]
        prog="bozzetto",
        description="Turn photographs, scans and collections of shapes into 3D shapes.",
        args=verb_first(words, VERBS),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
    )
    return carry_out(options)
