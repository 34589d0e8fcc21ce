"""Options of all verbs with values that cannot be meant: none may end in a traceback or in endless work."""

import functools
from dataclasses import dataclass

import numpy as np

from .captures import capture, files_of
from .heights import grey_png, rough
from .inputs import Input, kind
from .obj import lines_of
from .pictures import png
from .solids import ball
from .text_clouds import rows_of
from .values import even_sphere


@functools.cache
def good_files() -> dict[str, bytes]:
    """A small cloud, mesh, photo, height map, capture and set for each verb."""
    rng = np.random.default_rng(0)
    points, _, _ = even_sphere(rng, 300)
    cloud = "\n".join(rows_of([points.tolist()], ["{:.9f}"])).encode()
    mesh = "\n".join(lines_of(ball(level=2))).encode()
    height = rough(rng, 64, 64)
    photo = png(
        np.round((height[..., None] * np.array([0.5, 0.4, 0.3]) + 0.2) * 255).astype(np.uint32), 8, "rgb"
    )
    sets = {f"set/{i}.xyz": cloud for i in range(3)} | {f"meshes/{i}.obj": mesh for i in range(3)}
    pairs = {"pairs/a/color.png": photo, "pairs/a/height.png": grey_png(height)}
    views = files_of(capture(rng, 6, 48, 36))
    return {
        "a.xyz": cloud,
        "a.obj": mesh,
        "a.png": photo,
        "h.png": grey_png(height),
        **sets,
        **pairs,
        **views,
    }


VERBS: dict[str, list[str]] = {
    "evaluate surface": ["evaluate", "surface", "@/a.obj", "@/a.obj"],
    "evaluate points": ["evaluate", "points", "@/a.xyz", "@/a.xyz"],
    "evaluate heightmap": ["evaluate", "heightmap", "@/h.png", "@/h.png"],
    "evaluate generation": ["evaluate", "generation", "@/set", "@/set"],
    "surface": ["surface", "@/a.xyz"],
    "denoise": ["denoise", "@/a.xyz"],
    "autoencode": ["autoencode", "@/a.xyz"],
    "sample": ["sample"],
    "heightmap": ["heightmap", "@/a.png"],
    "complete": ["complete", "@/a.xyz"],
    "interpolate": ["interpolate", "body001", "body319"],
    "reconstruct": ["reconstruct", "@/c"],
    "doctor": ["doctor", "@/c"],
    "prepare": ["prepare", "sdf", "@/meshes"],
    "train sdf": ["train", "sdf", "@/meshes"],
    "train score": ["train", "score", "@/set"],
    "train heightmap": ["train", "heightmap", "@/pairs"],
    "data get": ["data", "get", "dino"],
}
"""Each verb with what it needs, as its `--help` says."""


@dataclass(frozen=True)
class Option:
    """An option of some verbs, and values that must be refused."""

    name: str
    verbs: tuple[str, ...]
    bad: tuple[str, ...]


NO_LENGTH = ("nan", "inf", "-inf", "-1", "abc", "1e400", "")
NO_COUNT = ("-1", "0", "1.5", "nan", "abc", "", "99999999999999999999999999")
OPTIONS = [
    Option("--device", tuple(VERBS), ("tpu", "", "cuda")),
    Option(
        "--seed",
        tuple(VERBS),
        ("x", "1.5", "nan", "99999999999999999999999999", "-99999999999999999999999999"),
    ),
    Option("--noise", ("surface", "denoise", "complete"), NO_LENGTH),
    Option("--resolution", ("surface", "complete", "interpolate"), (*NO_COUNT, "1", "100000000")),
    Option("--iterations", ("denoise",), (*NO_COUNT, "1000000000")),
    Option(
        "--points",
        ("denoise", "autoencode", "sample", "evaluate points", "evaluate generation"),
        (*NO_COUNT, "10000000000000"),
    ),
    Option("--samples", ("evaluate surface", "prepare", "train sdf"), (*NO_COUNT, "1000000000000000")),
    Option("--threshold", ("evaluate surface",), ("nan", "-1", "abc", "inf")),
    Option("--resolution", ("evaluate heightmap",), ("-1", "1", "abc", "nan", "100000000")),
    Option("--protocol", ("evaluate generation", "prepare"), ("x", "")),
    Option("--train", ("evaluate generation",), ("@/nothing", "@/a.xyz", "")),
    Option("--count", ("sample", "interpolate"), (*NO_COUNT, "1000000000000")),
    Option("--truncation", ("sample",), ("nan", "-1", "0", "2", "inf", "abc")),
    Option("--evaluations", ("sample", "autoencode"), (*NO_COUNT, "1000000000")),
    Option("--hypotheses", ("autoencode", "complete"), ("-1", "nan", "1.5", "1000000000000")),
    Option("--model", ("sample", "autoencode"), ("nothing", "@/a.xyz", "@/nothing.safetensors", "", "@/set")),
    Option("--size-mm", ("heightmap",), (*NO_LENGTH, "0")),
    Option("--depth-mm", ("heightmap",), (*NO_LENGTH, "0")),
    Option("--strength", ("heightmap",), (*NO_LENGTH, "0")),
    Option("--faces", ("heightmap",), ("-1", "1", "nan", "abc", "1.5")),
    Option("--weights", ("heightmap",), ("nothing", "@/a.xyz", "@/nothing.safetensors", "@/set")),
    Option("--lights", ("heightmap",), ("@/a.xyz", "@/nothing")),
    Option("--wrap", ("heightmap",), ("sphere",)),
    Option(
        "--prior",
        ("complete", "interpolate"),
        ("nothing", "@/a.xyz", "@/nothing.safetensors", "@/set", "heights"),
    ),
    Option("--yaw-starts", ("complete",), (*NO_COUNT, "1000000000")),
    Option("--up", ("complete", "interpolate"), ("w", "")),
    Option("--viewpoint", ("complete",), ("nan nan nan", "1 2", "inf 0 0", "a b c")),
    Option("--preset", ("reconstruct", "train sdf", "train score", "train heightmap"), ("x", "")),
    Option("--masks", ("reconstruct", "doctor"), ("@/nothing", "@/a.xyz", "none", "@/set", "alpha")),
    Option("--init", ("reconstruct",), ("@/nothing.ply", "@/a.xyz", "cube", "@/set")),
    Option("--hold-out", ("reconstruct",), ("nothing", "0", "6", "5", "100", "-1", "1.5")),
    Option("--light", ("reconstruct",), ("@/nothing.npy", "@/a.xyz", "@/set")),
    Option("--minutes", ("train sdf", "train score", "train heightmap"), ("nan", "-1", "0", "abc", "-inf")),
    Option("--epochs", ("train sdf", "train score"), ("-1", "0", "nan", "abc", "1.5")),
    Option("--steps", ("train heightmap",), ("-1", "0", "nan", "abc", "1.5")),
    Option("--held-out", ("train heightmap",), ("-1", "1000", "nan")),
    Option("--procedural-samples", ("train heightmap",), ("-1", "nan", "abc")),
    Option("--split", ("train sdf", "prepare"), ("@/nothing.json", "@/a.xyz", "@/set")),
    Option("--variants", ("prepare",), ("-1", "nan", "1000000000000")),
    Option("--from", ("data get",), ("@/nothing.zip", "@/a.xyz", "@/set")),
    Option("--out", tuple(VERBS), ("@/a.xyz", "@/a.xyz/below", "/proc/nothing/here", "")),
]
LIMITS = {
    "train sdf": ["--epochs", "1", "--samples", "2000"],
    "train score": ["--epochs", "1"],
    "train heightmap": ["--steps", "1", "--procedural-samples", "0"],
}


@kind("options", "values that cannot be meant", 12)
def _(rng: np.random.Generator, index: int) -> Input:
    every = [(o, v, b) for o in OPTIONS for v in o.verbs for b in o.bad]
    order = np.random.default_rng(1).permutation(len(every))
    option, verb, bad = every[order[index % len(every)]]
    words = [*VERBS[verb], *LIMITS.get(verb, []), option.name, *(bad.split(" ") if " " in bad else [bad])]
    if option.name != "--out":
        words += ["--out", "@/out"]
    say = None if (option.name, bad) in (("--out", ""), ("--weights", "@/set")) else "."
    return Input(
        f"{verb} {option.name} {bad!r}",
        "cli until it optimises",
        words,
        good_files(),
        None,
        say=say,
        seconds=20,
        megabytes=1500,
    )


FOREIGN = {
    "train sdf": [
        "--frame principal",
        "--held-out 1",
        "--init @/a.xyz",
        "--constant-lr",
        "--redistributable-only",
        "--preset imagenet",
        "--steps 5",
        "--cache-dir @/s",
    ],
    "train score": [
        "--split @/a.xyz",
        "--held-out 1",
        "--init @/a.xyz",
        "--constant-lr",
        "--redistributable-only",
        "--preset imagenet",
        "--steps 5",
        "--preset single",
        "--samples 7",
        "--cache-dir @/s",
    ],
    "train heightmap": [
        "--split @/a.xyz",
        "--epochs 3",
        "--frame principal",
        "--samples 7",
        "--preset single",
    ],
    "evaluate surface": ["--protocol shapegf", "--resolution 64", "--train @/set"],
    "evaluate points": [
        "--protocol shapegf",
        "--resolution 64",
        "--threshold 3",
        "--samples 100",
        "--train @/set",
    ],
    "evaluate heightmap": ["--protocol shapegf", "--points 100", "--threshold 3", "--samples 100"],
    "evaluate generation": ["--resolution 64", "--threshold 3", "--samples 100"],
    "surface": ["--shape 3"],
    "heightmap": ["--lights @/a.xyz"],
    "data get": ["--seed"],
    "interpolate": [
        "--prior cloud-bodies --resolution 32",
        "--prior cloud-bodies --up z",
        "--prior cloud-bodies --path spherical",
    ],
}
"""Options that mean nothing for the verb, by what its `--help` says of them."""


@kind("options", "that do not apply", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    every = [(verb, words) for verb, several in FOREIGN.items() for words in several]
    verb, words = every[index % len(every)]
    line = [*VERBS[verb], *LIMITS.get(verb, []), *words.split(" "), "--out", "@/out"]
    return Input(f"{verb} {words}", "cli", line, good_files(), None, say=".", seconds=30, megabytes=1500)


@kind("options", "words in wrong places", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    lines = [
        ["surfaec", "@/a.xyz"],
        ["surface"],
        ["evaluate", "surface", "@/a.obj"],
        ["evaluate", "meshes", "@/a.obj", "@/a.obj"],
        ["data", "get"],
        ["data", "get", "nothing"],
        ["data", "list", "dino"],
        ["train", "sdf"],
        ["heightmap"],
        ["surface", "@/a.xyz", "@/a.xyz"],
        ["--out"],
        ["surface", "@/a.xyz", "--nothing"],
        ["evaluate", "surface", "@/a.obj", "@/set"],
        ["evaluate", "points", "@/set", "@/a.xyz"],
        ["interpolate", "body001"],
        ["interpolate", "body001", "nobody"],
        ["surface", "nothing"],
        ["surface", "@/nothing.xyz"],
        ["heightmap", "@/nothing.png"],
        ["reconstruct", "@/nothing"],
        ["doctor", "@/nothing"],
        ["complete", "@/nothing.ply"],
        ["prepare", "sdf", "@/nothing"],
        ["train", "score", "@/nothing"],
        ["train", "heightmap", "@/nothing"],
        ["sample", "--resume"],
        ["denoise", "@/a.png"],
        ["heightmap", "@/a.xyz"],
        ["reconstruct", "@/a.png"],
        ["complete", "@/a.png"],
        ["evaluate", "heightmap", "@/a.xyz", "@/a.png"],
        ["evaluate", "generation", "@/a.xyz", "@/set"],
        ["prepare", "sdf", "@/set"],
        ["train", "sdf", "@/a.png"],
        ["train", "score", "@/pairs"],
        ["train", "heightmap", "@/set"],
        ["surface", "bodies"],
        ["sample", "--model", "bodies"],
    ]
    line = lines[index % len(lines)]
    return Input(
        " ".join(line),
        "cli",
        [*line, *(["--out", "@/out"] if line != ["--out"] else [])],
        good_files(),
        None,
        say=".",
        seconds=30,
        megabytes=1500,
    )
