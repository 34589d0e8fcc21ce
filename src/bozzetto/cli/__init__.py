"""The command line: `bozzetto VERB ...`. A verb imports what is heavy when it runs."""

import re
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from functools import reduce
from io import StringIO
from itertools import dropwhile, takewhile
from operator import or_
from typing import Annotated, Any

import tyro

from .. import __version__
from ..errors import InputError
from .autoencode import Autoencode
from .cameras import CamerasVerb
from .checks import checked_words, options_of, positional_names
from .common import Options, carry_out, complain
from .complete import Complete
from .data import DataGet, DataList
from .denoise import Denoise
from .doctor import Doctor
from .evaluate import EvaluateGeneration, EvaluateHeightmap, EvaluatePoints, EvaluateSurface
from .heightmap import Heightmap
from .interpolate import Interpolate
from .introduction import Cite, Demo
from .prepare import Prepare
from .reconstruct import Reconstruct
from .sample import Sample
from .surface import Surface
from .train import TrainHeightmap, TrainScore, TrainSdf

VERBS: dict[str, type[Options]] = {
    "reconstruct": Reconstruct,
    "heightmap": Heightmap,
    "complete": Complete,
    "interpolate": Interpolate,
    "sample": Sample,
    "autoencode": Autoencode,
    "denoise": Denoise,
    "surface": Surface,
    "demo": Demo,
    "train sdf": TrainSdf,
    "train score": TrainScore,
    "train heightmap": TrainHeightmap,
    "prepare": Prepare,
    "evaluate surface": EvaluateSurface,
    "evaluate points": EvaluatePoints,
    "evaluate heightmap": EvaluateHeightmap,
    "evaluate generation": EvaluateGeneration,
    "data list": DataList,
    "data get": DataGet,
    "cameras": CamerasVerb,
    "doctor": Doctor,
    "cite": Cite,
}
FAMILIES = {
    "train": "Train a model on a collection: sdf, score or heightmap.",
    "evaluate": "Compare results with references: surface, points, heightmap or generation.",
    "data": "List public sample sets, or download one.",
}
DESCRIPTION = """Turn photographs, scans and collections of shapes into 3D shapes.

  photographs of an object   reconstruct PHOTOS      textured mesh
  photograph of a texture    heightmap IMAGE         height map, normals, relief
  partial scan               complete SCAN           whole mesh, with a prior over shapes
  point cloud                denoise | surface       clean cloud | mesh
  collection of shapes       train sdf, score DATA   model for complete, interpolate, sample, autoencode
  results and references     evaluate WHAT           metrics of the literature
  nothing yet                demo | data get         gallery | public sample set

bozzetto VERB --help explains a verb; bozzetto --completion bash|zsh prints a script for tab completion."""
SHELLS = ("bash", "zsh")
_FRAME = re.compile(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]|-{3,}")
"""Colour codes, and the characters of tyro's boxes, in Unicode and in ASCII."""
_STYLE = (tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 130 interrupted.

    Args:
        arguments: Arguments after the name of the program; None takes those of the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words == ["--version"]:
        sys.stdout.write(f"bozzetto {__version__}\n")
        return 0
    try:
        if words[:1] == ["--completion"]:
            return _print_completion(words[1:])
        options = parse(words)
    except InputError as error:
        return complain(str(error))
    return carry_out(options)


def parse(words: Sequence[str]) -> Options:
    """Parse the verb and its options.

    Raises:
        InputError: There is no such verb, option or choice, or a word is missing or of the wrong kind.
        SystemExit: Help was requested and printed.
    """
    name, rest = split_words(words)
    if name in VERBS:
        rest = checked_words(rest, name, VERBS)
        return _read_options(name, rest)
    prog, tasks = f"bozzetto {name}".strip(), _below(name)
    if words and not {"-h", "--help"} & set(rest):
        raise InputError(_unknown(name, rest, tasks))
    about = FAMILIES.get(name, DESCRIPTION)
    return tyro.cli(_subcommands(name), prog=prog, description=about, args=["--help"], config=_STYLE)


def split_words(words: Sequence[str]) -> tuple[str, list[str]]:
    """Split arguments into the name of the verb, of one or two words, and the rest in its order.

    Options may be in front of the verb. The name is incomplete if words are missing or unknown.
    """
    first, rest = _taken(words, _below(""))
    if not first or first in VERBS:
        return first, rest
    task, rest = _taken(rest, _below(first))
    if not task and first == "data" and all(word in _flags() for word in rest):
        task = "list"
    return f"{first} {task}".strip(), rest


def _read_options(name: str, words: Sequence[str]) -> Options:
    """Parse the verb and its options by tyro, whose error box is turned into a sentence."""
    box = StringIO()
    try:
        with redirect_stderr(box):
            return tyro.cli(VERBS[name], prog=f"bozzetto {name}", args=words, config=_STYLE)
    except SystemExit as leave:
        if not leave.code:
            raise  # help was printed
    title, *lines = [_FRAME.sub("", line).strip() for line in box.getvalue().splitlines()]
    if "Required" in title:
        needed = " and ".join(positional_names(VERBS[name]))
        raise InputError(f"{name} needs {needed}; see bozzetto {name} --help")
    # The first part of the box between two horizontal lines.
    sentence = " ".join(takewhile(bool, dropwhile(lambda line: not line, lines))).rstrip(".")
    raise InputError(f"{sentence}; see bozzetto {name} --help")


def _taken(words: Sequence[str], names: Collection[str]) -> tuple[str, list[str]]:
    """The first word that is neither an option nor its value, if it is among the names, and the other words."""
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        is_value = before.startswith("--") and "=" not in before and before not in _flags()
        if not is_value and word in names:
            return word, [*words[:index], *words[index + 1 :]]
        if not is_value and not word.startswith("-"):
            break
    return "", list(words)


def _flags() -> set[str]:
    """Options of all verbs that take no value."""
    return {option.name for verb in VERBS.values() for option in options_of(verb) if option.is_flag}


def _below(name: str) -> list[str]:
    """The words that may follow in the name of a verb."""
    depth = len(name.split())
    return list(dict.fromkeys(verb.split()[depth] for verb in VERBS if verb.split()[:depth] == name.split()))


def _unknown(name: str, rest: Sequence[str], known: Sequence[str]) -> str:
    """The error message for a missing or unknown word."""
    prog = f"bozzetto {name}".strip()
    word = next((word for word in rest if not word.startswith("-")), None)
    close = get_close_matches(word or "", known, 1)
    if close:
        return f"{prog} has no {word}; did you mean {close[0]}?"
    found = "is missing" if word is None else f"is {word}"
    return f"the word after {prog} {found}; it must be one of {', '.join(known)}"


def _subcommands(name: str) -> Any:
    """Verbs as subcommands for tyro: all, or those of a family."""
    parts = []
    for word in _below(name):
        path = f"{name} {word}".strip()
        verb: Any = VERBS[path] if path in VERBS else _subcommands(path)
        about = FAMILIES.get(path) or (verb.__doc__ or "").split("\n")[0]
        parts.append(Annotated[verb, tyro.conf.subcommand(word, description=about)])
    return reduce(or_, parts)


def _print_completion(words: Sequence[str]) -> int:
    """Write the script for tab completion in a shell to stdout."""
    if len(words) != 1 or words[0] not in SHELLS:
        raise InputError(f"--completion needs the name of a shell: {', '.join(SHELLS)}")
    script = StringIO()
    with suppress(SystemExit), redirect_stdout(script):
        command = ["--tyro-write-completion", words[0], "-"]
        tyro.cli(_subcommands(""), prog="bozzetto", args=command, config=_STYLE)
    # Scripts of tyro 1.0.0 look for the second word of a verb among the first ones.
    first, second = (f'if word in {spec}.get("subcommands", {{}})' for spec in ("spec", "current_spec"))
    sys.stdout.write(script.getvalue().replace(first, second))
    return 0
