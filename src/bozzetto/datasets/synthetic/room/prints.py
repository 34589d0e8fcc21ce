"""Painted and printed textures: pictures, book spines, newspapers, flowers."""

import math
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ..materials.patterns import Map, Rng, fractal, ramp, to_unit_range

Color = tuple[float, float, float]
Picture = np.ndarray

CUT, DRAWN = 320, 1024
"""Sides in pixels up to which noise is cropped from cached maps, and up to which it is computed in full."""
PIGMENTS: tuple[Color, ...] = (
    *((0.72, 0.55, 0.25), (0.55, 0.30, 0.18), (0.42, 0.43, 0.25), (0.18, 0.27, 0.40), (0.25, 0.34, 0.56)),
    *((0.62, 0.22, 0.17), (0.85, 0.80, 0.68), (0.17, 0.16, 0.17), (0.48, 0.55, 0.50), (0.38, 0.15, 0.19)),
    *((0.76, 0.66, 0.52), (0.30, 0.42, 0.38), (0.60, 0.58, 0.56), (0.80, 0.45, 0.28), (0.45, 0.33, 0.25)),
)
"""Colours of paint, ink and cloth."""


def field(
    rng: Rng, shape: tuple[int, int], slope: float = 2.0, finest: float = 1e9, stretch: float = 1
) -> Map:
    """Noise of mean 0 and standard deviation 1.

    Small maps are cropped from a larger one; large maps are computed at a lower density. `finest` is the
    largest number of cycles over the longer side, and `stretch` is along x.
    """
    longest = max(shape)
    if longest <= CUT and finest > 1e8:
        whole = _noise(int(rng.integers(3)), slope, stretch)
        y, x = rng.integers(0, len(whole) - np.array(shape) + 1)
        return whole[y : y + shape[0], x : x + shape[1]]
    side = min(64 * math.ceil(longest / 64), DRAWN)
    whole = fractal(rng, side, slope, (1.0, finest), stretch)
    fraction = side / longest if longest > side else 1.0
    cut = whole[: math.ceil(shape[0] * fraction), : math.ceil(shape[1] * fraction)]
    if cut.shape == shape:
        return cut
    return np.asarray(Image.fromarray(cut).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


@cache
def _noise(seed: int, slope: float, stretch: float) -> Map:
    return fractal(np.random.default_rng(seed), 2 * CUT, slope, (1.0, 1e9), stretch)


def blended(fraction: Map, first: Color, second: Color) -> Picture:
    """From the first colour (0) to the second (1)."""
    t = fraction.clip(0, 1)[..., None]
    return ((1 - t) * np.array(first, np.float32) + t * np.array(second, np.float32)).astype(np.float32)


def canvas(shape: tuple[int, int], color: Color) -> Image.Image:
    """A picture of the given number of rows and columns in one colour."""
    return Image.new("RGB", (shape[1], shape[0]), ink_of(color))


def pixels(image: Image.Image) -> Picture:
    """The pixels of a drawing, with softened edges."""
    return ndimage.gaussian_filter(np.asarray(image, np.float32) / 255, (0.5, 0.5, 0))


def ink_of(color: Color) -> str:
    """A colour in Pillow's format."""
    return "#" + "".join(f"{round(255 * min(max(c, 0), 1)):02x}" for c in color)


def pigment(rng: Rng, brightness: float = 1.0) -> Color:
    """A colour near one of the pigments."""
    color = np.array(PIGMENTS[rng.integers(len(PIGMENTS))]) * brightness * rng.uniform(0.8, 1.15)
    r, g, b = color.clip(0, 0.95).tolist()
    return r, g, b


_SYLLABLES = "ba ro lin ter mo sa vi no del ka ri um pe to gra fi lo es an cor du me nis qua"


def painting(rng: Rng, shape: tuple[int, int]) -> Picture:
    """A random landscape, still life of shapes, or drawing."""
    kind = rng.integers(3)
    picture = (_landscape, _composition, _drawing)[kind](rng, shape)
    strokes = 1 + 0.07 * field(rng, shape, 0.8, stretch=3.0)
    return (picture * strokes[..., None]).clip(0.02, 0.98).astype(np.float32)


def _landscape(rng: Rng, shape: tuple[int, int]) -> Picture:
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(shape[0])
    clouds = to_unit_range(field(rng, shape, 1.8, stretch=2.5))
    dusk = float(rng.uniform(0, 1))
    picture = blended(rows * 1.4, (0.35, 0.5, 0.75), (0.95, 0.75 + 0.1 * dusk, 0.55 + 0.3 * dusk))
    picture += 0.35 * ramp(clouds, 0.5, 0.85)[..., None]
    for i in range(int(rng.integers(3, 6))):
        ridge = 0.35 + 0.13 * i + 0.10 * field(rng, (1, shape[1]), 1.6)
        land = ramp(rows - ridge, 0, 0.006)[..., None]
        color = np.array([0.42, 0.52, 0.55]) * (1 - 0.16 * i) + 0.05 * rng.standard_normal(3)
        tone = 1 + 0.3 * field(rng, shape, 1.2) * (0.3 + 0.2 * i)
        picture = picture * (1 - land) + land * (color * tone[..., None]).astype(np.float32)
    return picture


def _composition(rng: Rng, shape: tuple[int, int]) -> Picture:
    image = canvas(shape, (0.88, 0.84, 0.76))
    draw = ImageDraw.Draw(image)
    size = min(shape)
    for _ in range(int(rng.integers(14, 26))):
        x, y, r = rng.uniform(0, shape[1]), rng.uniform(0, shape[0]), rng.uniform(0.05, 0.3) * size
        ink = ink_of(pigment(rng))
        if rng.random() < 0.4:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=ink if rng.random() < 0.6 else None, outline=ink)
        elif rng.random() < 0.5:
            corners = [(x + r * rng.normal(), y + r * rng.normal()) for _ in range(4)]
            draw.polygon(corners, fill=ink)
        else:
            end = (x + r * 2 * rng.normal(), y + r * 2 * rng.normal())
            draw.line((x, y, *end), fill=ink, width=max(1, round(0.015 * size)))
    return pixels(image)


def _drawing(rng: Rng, shape: tuple[int, int]) -> Picture:
    image = canvas(shape, (0.9, 0.86, 0.77))
    draw = ImageDraw.Draw(image)
    size = min(shape)
    for _ in range(int(rng.integers(5, 9))):
        x, y = rng.uniform(0.2, 0.8) * shape[1], rng.uniform(0.5, 0.95) * shape[0]
        inks: list[Color] = [(0.2, 0.17, 0.15), (0.35, 0.4, 0.25), (0.55, 0.25, 0.2), (0.25, 0.3, 0.45)]
        sprig(rng, draw, x, y, rng.uniform(0.4, 0.8) * size, inks)
    line = max(8, round(size * 0.05))
    draw.text((0.1 * shape[1], 0.93 * shape[0]), words(rng, 3), fill="#40372e", font=_font(line))
    return pixels(image)


def spine(rng: Rng, shape: tuple[int, int]) -> Picture:
    """The spine of a book: cloth or paper, bands, and a title along it."""
    ground = pigment(rng)
    along = (shape[1], shape[0])  # drawn lying, then set upright
    image = canvas(along, ground)
    draw = ImageDraw.Draw(image)
    bright = sum(ground) > 1.4
    ink = ink_of(
        pigment(rng, 0.35) if bright else (0.88, 0.78 + rng.uniform(-0.1, 0.1), 0.5 + rng.uniform(-0.2, 0.3))
    )
    for _ in range(int(rng.integers(0, 4))):
        x = rng.choice([rng.uniform(0, 0.15), rng.uniform(0.85, 0.98)]) * along[1]
        draw.rectangle((x, 0, x + rng.uniform(0.005, 0.05) * along[1], along[0]), fill=ink)
    if rng.random() < 0.3:
        box = (0.2 * along[1], 0.15 * along[0], 0.75 * along[1], 0.85 * along[0])
        draw.rectangle(box, fill=ink_of(pigment(rng, 0.4 if not bright else 1.0)))
    size = max(6, round(along[0] * rng.uniform(0.35, 0.6)))
    draw.text(
        (rng.uniform(0.12, 0.3) * along[1], 0.5 * along[0]), words(rng, 3).title(), ink, _font(size), "lm"
    )
    if rng.random() < 0.6:
        draw.text(
            (0.86 * along[1], 0.5 * along[0]), words(rng, 1).title(), ink, _font(max(5, size // 2)), "mm"
        )
    picture = pixels(image).transpose(1, 0, 2)[:, ::-1]
    tone = 1 + 0.05 * field(rng, shape, 1.2) + 0.04 * field(rng, shape, 0.2)
    rub = 1 + 0.12 * (np.abs(np.linspace(-1, 1, shape[1])) ** 6)[None]
    return (picture * (tone * rub)[..., None]).clip(0.02, 1).astype(np.float32)


def newspaper(rng: Rng, shape: tuple[int, int]) -> Picture:
    """A printed page: a heading, columns of words, a picture."""
    image = canvas(shape, (0.86, 0.84, 0.78))
    draw = ImageDraw.Draw(image)
    height, width = shape
    draw.text((width / 2, 0.06 * height), words(rng, 2).upper(), "#222", _font(round(0.07 * height)), "mm")
    columns = 4
    line = max(5, round(height / 75))
    for column in range(columns):
        x = (0.05 + 0.9 * column / columns) * width
        y = 0.13 * height
        while y < 0.95 * height:
            if rng.random() < 0.06:
                draw.text((x, y), words(rng, 2).title(), "#222", _font(round(1.7 * line)))
                y += 2.2 * line
            text = words(rng, 8)
            while len(text) > 3 and draw.textlength(text, _font(line)) > 0.21 * width:
                text = text[:-1]
            draw.text((x, y), text, "#3a3a3a", _font(line))
            y += 1.35 * line
    box = (round(0.3 * width), round(0.25 * height), round(0.68 * width), round(0.52 * height))
    photo = painting(rng, (box[3] - box[1], box[2] - box[0])).mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    image.paste(Image.fromarray((photo * 255).astype(np.uint8)), box[:2])
    return (pixels(image) * (1 + 0.03 * field(rng, shape, 1.0))[..., None]).clip(0.02, 1)


def words(rng: Rng, count: int) -> str:
    """Made-up words."""
    parts = _SYLLABLES.split()
    return " ".join("".join(rng.choice(parts, rng.integers(1, 5))) for _ in range(count))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(4, size))


def sprig(rng: Rng, draw: ImageDraw.ImageDraw, x: float, y: float, size: float, inks: list[Color]) -> None:
    """A bent stem with leaves and a flower."""
    heading, bend = rng.uniform(-math.pi, 0), rng.uniform(-1.2, 1.2)
    ink = ink_of(inks[rng.integers(len(inks))])
    width = max(1, round(size * 0.03))
    for i in range(8):
        ahead = (x + size / 8 * math.cos(heading), y + size / 8 * math.sin(heading))
        draw.line((x, y, *ahead), fill=ink, width=width)
        x, y = ahead
        heading += bend / 8
        if i % 2 and rng.random() < 0.85:
            side = heading + rng.choice([-1, 1]) * rng.uniform(0.5, 1.1)
            printed_leaf(draw, x, y, side, size * rng.uniform(0.2, 0.4), ink)
    if rng.random() < 0.7:
        petals, bloom = int(rng.integers(4, 8)), ink_of(inks[rng.integers(len(inks))])
        for k in range(petals):
            printed_leaf(
                draw, x, y, 2 * math.pi * k / petals + heading, size * rng.uniform(0.15, 0.22), bloom
            )


def printed_leaf(
    draw: ImageDraw.ImageDraw, x: float, y: float, heading: float, length: float, ink: str
) -> None:
    """Draw a pointed leaf that starts at (x, y) and extends along `heading` (radians), all in pixels."""
    t = np.linspace(0, 1, 9)
    half = 0.22 * length * np.sin(np.pi * t) ** 0.8
    along, across = np.concatenate([t, t[::-1]]) * length, np.concatenate([half, -half[::-1]])
    px = x + along * math.cos(heading) - across * math.sin(heading)
    py = y + along * math.sin(heading) + across * math.cos(heading)
    draw.polygon(list(zip(px.tolist(), py.tolist(), strict=True)), fill=ink)
