"""Points as text: XYZ, PTS, CSV, TXT, ASC as CloudCompare, MeshLab, Leica, Excel and people write them."""

import numpy as np

from .inputs import CloudTruth, Input, kind, pick
from .solids import linear, sphere_cloud


def rows_of(columns: list[np.ndarray], formats: list[str], separator: str = " ") -> list[str]:
    """Lines of numbers; a format per array of columns."""
    return [
        separator.join(
            f.format(x)
            for part, f in zip(parts, formats, strict=True)
            for x in (part if isinstance(part, list) else [part])
        )
        for parts in zip(*columns, strict=True)
    ]


def file(
    about: str, lines: list[str] | bytes, truth: CloudTruth | None, ending: str = ".xyz", **more
) -> Input:
    """An input of one text file."""
    end = more.pop("end", "\n")
    data = lines if isinstance(lines, bytes) else (end.join(lines) + end).encode()
    return Input(about, "load_points", "a" + ending, {"a" + ending: data}, truth, **more)


@kind("text clouds", "three columns, all separators", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    separator = (" ", "\t", ",", ";", ", ", "  ", " \t", "; ")[index % 8]
    number = ("{:.9f}", "{:.9g}", "{:.8e}", "{:+.9f}", "{:14.9f}", "{!r}")[index % 6]
    ending = pick(
        rng,
        [".xyz", ".xyz", ".txt", ".asc", ".csv"]
        if "," in separator or ";" in separator
        else [".xyz", ".xyz", ".txt", ".asc"],
    )
    lines = rows_of([points.tolist()], [number], separator)
    return file(
        f"{separator!r} between, {number}, {ending}",
        lines,
        CloudTruth(points),
        ending,
        end="\r\n" if index % 5 == 4 else "\n",
    )


@kind("text clouds", "blanks, comments, trailing separators, byte order marks", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    lines = rows_of([points.tolist()], ["{:.9f}"], (" ", ",")[index % 2])
    style = index % 6
    if style == 0:
        lines = [line + ("  " if index % 2 == 0 else ",") for line in lines]
    if style == 1:
        lines = ["", *lines[:50], "", "   ", *lines[50:], "", ""]
    if style == 2:
        lines = (
            ["# x y z", "// by hand", *lines]
            if index % 12 == 2
            else ["# by hand", *lines[:9], "# 1 2 3", *lines[9:]]
        )
    if style == 3:
        lines = ["\ufeff" + lines[0], *lines[1:]]
    if style == 4:
        lines = [" " + line for line in lines]
    if style == 5:
        return file(
            "UTF-16", "\n".join(lines).encode("utf-16"), CloudTruth(points), say="UTF|encod|text|byte"
        )
    return file(f"style {style}", lines, CloudTruth(points))


@kind("text clouds", "headers that name the columns", 4)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, colors = sphere_cloud(rng)
    intensity = rng.integers(0, 2000, len(points))
    parts = [("x y z", points.tolist(), "{:.9f}")]
    with_normals, with_colors = index % 3 == 0, index % 2 == 0
    if index % 5 == 1:
        parts.append(("intensity", intensity.tolist(), "{}"))
    if with_colors:
        parts.append(
            (pick(rng, ["r g b", "R G B", "red green blue", "Red Green Blue"]), colors.tolist(), "{}")
        )
    if with_normals:
        parts.append((pick(rng, ["nx ny nz", "Nx Ny Nz"]), normals.tolist(), "{:.6f}"))
    order = [0, *(1 + rng.permutation(len(parts) - 1))]
    parts = [parts[i] for i in order]
    separator, ending = ((" ", ".xyz"), (",", ".csv"), ("\t", ".txt"), (";", ".csv"), (",", ".xyz"))[
        index % 5
    ]
    names = " ".join(p[0] for p in parts).split(" ")
    mark = pick(rng, ["", "# ", "//", "#"])
    words = names if rng.random() < 0.5 else [n.upper() for n in names]
    words = [f'"{w}"' for w in words] if rng.random() < 0.2 and ending == ".csv" else words
    lines = [mark + separator.join(words), *rows_of([p[1] for p in parts], [p[2] for p in parts], separator)]
    if rng.random() < 0.3:
        lines.insert(1, str(len(points)))  # CloudCompare may write the count below the names
    truth = CloudTruth(
        points, normals if with_normals else None, linear(colors / 255) if with_colors else None
    )
    return file(
        f"header {lines[0]!r}{' and count' if lines[1] == str(len(points)) else ''}, {ending}",
        lines,
        truth,
        ending,
    )


@kind("text clouds", "six columns without names: colours", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, colors = sphere_cloud(rng)
    style = index % 3
    values = colors if style == 0 else colors / 255 if style == 1 else np.minimum(colors, 1)
    lines = rows_of([points.tolist(), values.tolist()], ["{:.9f}", "{}" if style != 1 else "{:.5f}"])
    truth = CloudTruth(points, None, linear(colors / 255) if style < 2 else None, no_normals=True)
    name = ("0..255", "0..1", "0 or 1")[style]
    return file(f"x y z r g b, colours {name}", lines, truth, say="colo|normal|column")


@kind("text clouds", "six columns without names: normals", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, _ = sphere_cloud(rng)
    digits = (8, 6, 3)[index % 3]
    lines = rows_of([points.tolist(), normals.round(digits).tolist()], ["{:.9f}", "{:." + str(digits) + "f}"])
    return file(
        f"x y z nx ny nz, normals of {digits} digits",
        lines,
        CloudTruth(points, normals),
        (".xyz", ".xyz", ".xyzn")[index % 3],
    )


@kind("text clouds", "nine columns without names")
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, colors = sphere_cloud(rng)
    both = [normals.round(6).tolist(), colors.tolist()]
    both = both if index % 2 else both[::-1]
    formats = ["{:.6f}", "{}"] if index % 2 else ["{}", "{:.6f}"]
    lines = rows_of([points.tolist(), *both], ["{:.9f}", *formats])
    truth = CloudTruth(points, normals, linear(colors / 255))
    return file(
        "x y z normal colour" if index % 2 else "x y z colour normal",
        lines,
        truth,
        say=None if index % 2 else "column|colo|normal",
    )


@kind("text clouds", "four, five, seven, eight columns, one, two", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, colors = sphere_cloud(rng)
    intensity = rng.integers(-2047, 2048, len(points)).tolist()
    style = index % 6
    if style == 0:
        lines = rows_of([points.tolist(), intensity], ["{:.9f}", "{}"])
        return file("x y z intensity", lines, CloudTruth(points), say="column|intensity")
    if style in (1, 2):  # Leica PTS: count, then x y z i r g b
        lines = rows_of([points.tolist(), intensity, colors.tolist()], ["{:.9f}", "{}", "{}"])
        lines = [str(len(points)), *lines] if style == 1 else lines
        return file(
            "PTS: x y z i r g b",
            lines,
            CloudTruth(points, None, linear(colors / 255)),
            ".pts",
            say="column|pts|ending",
        )
    if style == 3:
        lines = rows_of([points[:, :2].tolist()], ["{:.9f}"])
        return file("two columns", lines, None, say="column|number|2")
    if style == 4:
        lines = rows_of([points.tolist(), rng.random((len(points), 5)).tolist()], ["{:.9f}", "{:.4f}"])
        return file("eight columns", lines, None, say="column|number|8")
    lines = ["3", "water", "O 0.0 0.0 0.1", "H 0.0 0.7 -0.4", "H 0.0 -0.7 -0.4"]
    return file("a molecule", lines, None, say=".")


@kind("text clouds", "decimal commas", 2)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    separator = (" ", ";", "\t", "; ")[index % 4]
    digits = int(rng.integers(1, 8))
    points = points.round(digits)
    number = "{:." + str(digits) + "f}"
    lines = [line.replace(".", ",") for line in rows_of([points.tolist()], [number], separator)]
    return file(
        f"decimal commas, {digits} digits, {separator!r} between",
        lines,
        CloudTruth(points),
        say="comma|separator|column|number",
    )


@kind("text clouds", "lines that do not fit", 3)
def _(rng: np.random.Generator, index: int) -> Input:
    points, _, _ = sphere_cloud(rng)
    lines = rows_of([points.tolist()], ["{:.9f}"])
    bad = (
        "1 2",
        "1 2 3 4",
        "nan nan nan",
        "inf 0 0",
        "1 2 x",
        "1e400 0 0",
        "- - -",
        "1 2 3;4",
        "\x00",
        "NULL NULL NULL",
        "1 2 3 4 5 6",
    )
    bad = bad[index % len(bad)]
    lines.insert(int(rng.integers(1, len(lines))), bad)
    return file(f"a line {bad!r}", lines, None, say="line|column|number|NaN|finite|infinit|zero bytes")


@kind("text clouds", "only a header, nothing, one point")
def _(rng: np.random.Generator, index: int) -> Input:
    data = (b"", b"x y z\n", b"\n\n\n", b"# nothing\n", b"\xef\xbb\xbf", b"0\n")[index % 6]
    return file(f"content {data!r}", data, None, say="point|empty|no |line|number")


@kind("text clouds", "normals of other lengths")
def _(rng: np.random.Generator, index: int) -> Input:
    points, normals, _ = sphere_cloud(rng)
    style = index % 4
    values = (normals * 5, normals * rng.uniform(0.2, 2, (len(points), 1)), normals * 0, normals * 127)[style]
    lines = ["x y z nx ny nz", *rows_of([points.tolist(), values.tolist()], ["{:.9f}", "{:.6f}"])]
    truth = CloudTruth(points, None if style == 2 else normals, no_normals=style == 2)
    about = ("five long", "of random length", "all zero", "scaled to 127")[style]
    return file(f"normals {about}", lines, truth, say="normal")
