"""A bust and a vase, modelled by signed distance functions.

The bust resembles a classical marble. Its frame: X to the subject's left, Y up, Z to the front of the face. The
origin lies between the eyes, and the head is two units tall, from chin to crown. Numbers are positions and
sizes in that unit, from the canon of facial proportions, adjusted by eye.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ...errors import InputError
from ...geometry import largest_component
from ...geometry.implicit import (
    Field,
    Vector,
    bounded,
    capsule,
    displace,
    ellipsoid,
    field_values,
    mirror,
    plane,
    revolution,
    rotate,
    rounded_box,
    rounded_cone,
    smooth_difference,
    smooth_intersection,
    smooth_union,
    sphere,
    torus,
    translate,
    union,
    zero_set,
)
from ...shapes import Mesh

LOW, HIGH = (-1.55, -3.35, -1.40), (1.55, 1.30, 1.05)  # a box around everything


def bust_parts() -> dict[str, Field]:
    """The parts by material: skin, hair, cloth, gold and stone. They overlap inside."""
    body = translate(_body(), (0, 0.15, 0))
    return {
        "skin": smooth_union(body, _turned(_head()), radius=0.16),
        "hair": _turned(smooth_union(_hair(), _bun(), radius=0.04)),
        "cloth": translate(_drapery(), (0, 0.15, 0)),
        "gold": union(_turned(_braid()), translate(mirror(_brooch()), (0, 0.15, 0))),
        "stone": _socle(),
    }


def bust_field(parts: dict[str, Field]) -> Field:
    """The union of all parts, with narrow fillets where they meet."""
    return union(
        smooth_union(parts["skin"], parts["hair"], parts["cloth"], parts["gold"], radius=0.04), parts["stone"]
    )


def _turned(head: Field) -> Field:
    return rotate(rotate(head, (1, 0, 0), 4.0), (0, 1, 0), 14.0)


def polyline(points: list[Vector], radii: list[float], blend: float) -> Field:
    """A tube through several points, with a radius at each."""
    ends = list(zip(points, radii, strict=True))
    return smooth_union(
        *(rounded_cone(a, b, ra, rb) for (a, ra), (b, rb) in zip(ends, ends[1:], strict=False)), radius=blend
    )


def _head() -> Field:
    """Skull, jaw and features, without the hair."""
    skull = smooth_union(
        ellipsoid((0.65, 0.70, 0.80), (0, 0.28, -0.12)),
        ellipsoid((0.49, 0.66, 0.54), (0, -0.12, 0.18)),
        radius=0.3,
    )
    jaw = rounded_cone((0.30, -0.46, 0.0), (0.08, -0.82, 0.50), 0.17, 0.14)
    cheek = ellipsoid((0.23, 0.27, 0.27), (0.29, -0.30, 0.38))
    chin = ellipsoid((0.15, 0.14, 0.15), (0, -0.85, 0.62))
    muzzle = ellipsoid((0.27, 0.27, 0.28), (0, -0.53, 0.53))
    face = smooth_union(skull, mirror(jaw), mirror(cheek), radius=0.25)
    face = smooth_union(face, muzzle, chin, radius=0.16)
    face = smooth_difference(face, mirror(ellipsoid((0.17, 0.11, 0.15), (0.30, 0.03, 0.79))), radius=0.14)
    brow = polyline(
        [(0.08, 0.19, 0.68), (0.27, 0.245, 0.665), (0.45, 0.175, 0.50)], [0.02, 0.038, 0.03], 0.05
    )
    face = smooth_union(face, mirror(brow), radius=0.14)
    return smooth_union(_eyes(_mouth(_nose(face))), mirror(_ear()), radius=0.04)


def _eyes(face: Field) -> Field:
    """Lids are a shell around the eyeball with an almond cut out: the lens between two circles."""
    wide, tall = 0.168, 0.078
    arc = (wide**2 + tall**2) / (2 * tall)

    def almond(p: Tensor) -> Tensor:
        x, y = p[:, 0], p[:, 1]
        return torch.maximum(torch.hypot(x, y - tall + arc), torch.hypot(x, y + tall - arc)) - arc

    def place(f: Field) -> Field:
        f = mirror(translate(rotate(rotate(f, (0, 0, 1), 5), (0, 1, 0), 9), (0.285, -0.01, 0.47)))
        return bounded(f, (-0.55, -0.25, 0.25), (0.55, 0.25, 0.75), 0.1)

    lids = smooth_difference(sphere(0.213), almond, radius=0.02)
    iris = rotate(torus(0.086, 0.010), (1, 0, 0), 90)
    pupil = union(sphere(0.034, (0, 0.026, 0.18)), translate(iris, (0, 0.022, 0.158)))
    ball = smooth_difference(sphere(0.18), pupil, radius=0.012)
    return smooth_union(smooth_union(face, place(lids), radius=0.05), place(ball), radius=0.008)


def _nose(face: Field) -> Field:
    bridge = polyline([(0, 0.16, 0.66), (0, -0.06, 0.768), (0, -0.305, 0.905)], [0.070, 0.056, 0.062], 0.04)
    wing = ellipsoid((0.056, 0.055, 0.085), (0.082, -0.352, 0.80))
    base = rounded_cone((0, -0.335, 0.88), (0, -0.40, 0.78), 0.042, 0.04)
    flank = rounded_cone((0, 0.05, 0.64), (0, -0.32, 0.775), 0.07, 0.075)
    nose = smooth_union(bridge, flank, base, mirror(wing), radius=0.07)
    face = smooth_union(face, nose, radius=0.08)
    nostril = ellipsoid((0.026, 0.036, 0.042), (0.058, -0.424, 0.83))
    return smooth_difference(face, mirror(nostril), radius=0.02)


def _mouth(face: Field) -> Field:
    upper = polyline(
        [(0, -0.553, 0.795), (0.055, -0.542, 0.79), (0.18, -0.588, 0.70)], [0.036, 0.04, 0.012], 0.02
    )
    lower = polyline(
        [(0, -0.642, 0.768), (0.07, -0.636, 0.765), (0.16, -0.60, 0.70)], [0.054, 0.05, 0.02], 0.03
    )
    line = polyline(
        [(0, -0.594, 0.84), (0.06, -0.588, 0.83), (0.12, -0.596, 0.785), (0.165, -0.592, 0.742)],
        [0.010, 0.010, 0.009, 0.006],
        0.01,
    )
    face = smooth_difference(face, ellipsoid((0.13, 0.04, 0.06), (0, -0.725, 0.815)), radius=0.1)
    face = smooth_difference(face, capsule((0, -0.44, 0.84), (0, -0.51, 0.845), 0.014), radius=0.04)
    lips = smooth_union(mirror(upper), mirror(lower), radius=0.012)
    face = smooth_union(face, lips, radius=0.04)
    return smooth_difference(face, mirror(line), radius=0.025)


def _ear() -> Field:
    shell = ellipsoid((0.05, 0.20, 0.125))

    def rim(p: Tensor) -> Tensor:
        return torch.hypot(torch.hypot(p[:, 1] / 1.6, p[:, 2]) - 0.108, p[:, 0] - 0.035) - 0.024

    bowl = ellipsoid((0.06, 0.11, 0.06), (0.06, -0.03, 0.015))
    lobe = ellipsoid((0.035, 0.06, 0.05), (0.02, -0.19, 0.045))
    ear = smooth_union(smooth_difference(shell, bowl, radius=0.03), rim, lobe, radius=0.03)
    ear = translate(rotate(rotate(ear, (1, 0, 0), -12), (0, 1, 0), -22), (0.625, -0.14, -0.10))
    return bounded(ear, (0.5, -0.4, -0.35), (0.85, 0.15, 0.1), 0.1)


def _hair() -> Field:
    """Wavy strands swept back: meridians from the forehead to the bun, swaying as they go."""
    mass = ellipsoid((0.76, 0.80, 0.92), (0, 0.33, -0.16))
    nape = ellipsoid((0.47, 0.42, 0.42), (0, -0.20, -0.48))
    mass = smooth_union(mass, nape, radius=0.25)
    opening = ellipsoid((0.60, 0.76, 0.75), (0, -0.10, 0.80))

    def strands(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        around = torch.atan2(x, y - 0.1)
        along = torch.atan2(torch.hypot(x, y - 0.1), z + 0.1)
        wave = 0.20 * torch.sin(7.0 * along + 1.5 * torch.sin(3 * around))
        coarse = torch.cos(11 * (around + wave))
        fine = torch.cos(33 * (around + wave) + 1.0)
        fade = (torch.hypot(x, y - 0.1) / 0.3).clamp(0, 1)
        return fade * (0.030 * coarse + 0.013 * fine)

    hair = smooth_difference(displace(mass, strands), opening, radius=0.05)
    hair = smooth_intersection(hair, plane((0, -1, 0.5), 0.22), radius=0.3)
    hair = smooth_difference(hair, mirror(ellipsoid((0.3, 0.22, 0.19), (0.82, -0.22, -0.03))), radius=0.06)
    return hair


def _bun() -> Field:
    def spiral(p: Tensor) -> Tensor:
        x, y = p[:, 0], p[:, 1]
        return 0.022 * torch.cos(2 * math.pi * torch.hypot(x, y) / 0.11 - torch.atan2(y, x))

    bun = displace(ellipsoid((0.34, 0.31, 0.26)), spiral)
    return bounded(translate(bun, (0, 0.0, -1.02)), (-0.36, -0.36, -1.32), (0.36, 0.36, -0.7), 0.1)


def _braid() -> Field:
    """A crown of three strands: two sines in the plane across it, a third of a turn apart."""

    def field(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        around = torch.atan2(x, z)
        flat = torch.hypot(x, z * 0.86)
        u, v = flat - 0.70, y
        value = torch.hypot(u, v * 0.6) - 0.055  # a core, so that no gaps stay between the strands
        for k in range(3):
            phase = 12 * around + 2 * math.pi * k / 3
            du, dv = u - 0.035 * torch.sin(2 * phase), v - 0.075 * torch.sin(phase)
            strand = torch.hypot(du, dv) - 0.062
            strand = strand + 0.006 * torch.cos(torch.atan2(du, dv) * 3 + 3 * phase)
            value = torch.minimum(value, strand)
        return value * 0.75

    return translate(rotate(field, (1, 0, 0), -28), (0, 0.55, -0.17))


def _body() -> Field:
    """Neck, shoulders and chest, rounded off below as busts are."""
    neck = rounded_cone((0, -0.50, -0.20), (0, -1.50, -0.24), 0.34, 0.40)
    muscle = capsule((0.44, -0.42, -0.18), (0.07, -1.60, 0.16), 0.06)
    shoulder = rounded_cone((0.20, -1.62, -0.24), (1.02, -1.86, -0.28), 0.30, 0.33)
    trapezius = rounded_cone((0.15, -1.05, -0.38), (0.75, -1.68, -0.34), 0.16, 0.16)
    chest = ellipsoid((0.95, 0.75, 0.55), (0, -2.15, -0.10))
    clavicle = capsule((0.11, -1.66, 0.20), (0.85, -1.52, -0.08), 0.04)
    body = smooth_union(mirror(shoulder), chest, radius=0.35)
    body = smooth_intersection(body, ellipsoid((1.33, 1.15, 0.95), (0, -1.55, -0.18)), radius=0.05)
    body = smooth_union(body, mirror(trapezius), neck, radius=0.3)
    return smooth_union(body, mirror(muscle), mirror(clavicle), radius=0.12)


def _drapery() -> Field:
    """Cloth hanging between two brooches in folds that are circles through both.

    Bipolar coordinates in the frontal plane give the folds: `swag`, the angle under which a point sees the
    brooches, is constant on such circles and numbers the folds; `along`, the logarithm of the ratio of its
    distances, runs along them.
    """
    reach, height = 0.80, -1.42

    def bipolar(p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        right, left, up = -reach - p[:, 0], reach - p[:, 0], height - p[:, 1]
        swag = torch.atan2((left - right) * up, left * right + up * up)
        near, far = torch.hypot(left, up), torch.hypot(right, up)
        return swag, torch.log(near / far.clamp_min(1e-6)), torch.minimum(near, far)

    def folds(p: Tensor) -> Tensor:
        swag, along, near = bipolar(p)
        ridge = torch.cos(13 * swag + 0.8 * torch.sin(2.1 * p[:, 0] + 1.0)).abs()
        hem = torch.exp(-(((swag - 1.60) / 0.09) ** 2))
        beads = 0.018 + 0.018 * torch.cos(30 * along)
        gather = ((near - 0.05) / 0.28).clamp(0, 1)
        return gather * (0.055 + 0.055 * ridge * (1 - hem) + hem * beads)

    cloth = displace(_body(), folds)

    def bare(p: Tensor) -> Tensor:
        swag, _, near = bipolar(p)
        return ((swag - 0.5).abs() - 1.25) * near.clamp_max(0.4)  # about a distance: swag turns like 1 / near

    return smooth_intersection(cloth, bare, radius=0.05)


def _brooch() -> Field:
    """A rosette of eight petals."""

    def petals(p: Tensor) -> Tensor:
        x, y = p[:, 0], p[:, 1]
        return 0.03 * torch.cos(4 * torch.atan2(y, x)).abs() * (torch.hypot(x, y) / 0.1).clamp(0, 1)

    disc = displace(ellipsoid((0.13, 0.13, 0.045)), petals)
    brooch = smooth_union(disc, sphere(0.045, (0, 0, 0.03)), sphere(0.12, (0, 0, -0.10)), radius=0.01)
    brooch = translate(rotate(rotate(brooch, (1, 0, 0), -42), (0, 1, 0), 22), (0.79, -1.44, 0.045))
    return bounded(brooch, (0.6, -1.65, -0.1), (1.0, -1.2, 0.25), 0.1)


def _socle() -> Field:
    """A round foot with a beaded ring and flutes, on a square plinth."""
    profile = torch.tensor(
        [(0, 0.70), (0.42, 0.70), (0.42, 0.60), (0.36, 0.57), (0.31, 0.45), (0.33, 0.30), (0.44, 0.18),
         (0.56, 0.14), (0.58, 0.08), (0.56, 0.02), (0.60, 0.0), (0, 0)]
    )  # fmt: skip

    def flutes(p: Tensor) -> Tensor:
        around = torch.atan2(p[:, 0], p[:, 2])
        waist = torch.exp(-(((p[:, 1] - 0.36) / 0.11) ** 4))
        beads = torch.exp(-(((p[:, 1] - 0.08) / 0.05) ** 4))
        return waist * -0.022 * torch.cos(12 * around).abs() + beads * 0.016 * torch.cos(18 * around)

    turned = displace(revolution(profile), flutes)
    plinth = union(
        smooth_union(rounded_box((1.24, 0.06, 1.24), 0.02, (0, -0.02, 0)), turned, radius=0.02),
        rounded_box((1.32, 0.16, 1.32), 0.025, (0, -0.12, 0)),
    )
    return translate(plinth, (0, -3.05, -0.18))


_METRES = 0.115  # per unit of the bust's model, so that the head has the size of a head

# Linear albedo of the bust's materials: tinted marble, as the ancients had it.
_TINTS = {
    "skin": (0.74, 0.63, 0.53),
    "hair": (0.30, 0.17, 0.10),
    "cloth": (0.22, 0.33, 0.46),
    "gold": (0.72, 0.48, 0.14),
    "stone": (0.55, 0.54, 0.52),
}


def bust(detail: float = 1.0) -> Mesh:
    """A woman's bust with braided crown, wavy hair, draped cloth and a fluted foot.

    Modelled by signed distances (`bust_parts`), extracted with marching cubes. Watertight, one component.

    Args:
        detail: Samples per length relative to the default, which gives about 85 thousand faces; the number
            of faces grows with its square. Below 0.6 the finest relief is lost, and handles may appear.

    Returns:
        The mesh in metres, life size (0.52 high), Y up, facing +Z, with its base on the plane y = 0, with
        linear
        albedo as colours.

    Raises:
        InputError: `detail` is not between 0.2 and 4.
    """
    check_detail(detail)
    parts = bust_parts()
    mesh = largest_component(zero_set(bust_field(parts), LOW, HIGH, 0.032 / detail))
    colors = _tinted(parts, mesh.vertices)
    base = mesh.vertices.new_tensor([0.0, float(mesh.vertices[:, 1].min()), 0.0])
    return Mesh((mesh.vertices - base) * _METRES, mesh.faces, colors)


def _tinted(parts: dict[str, Field], points: Float[Tensor, "V 3"]) -> Float[Tensor, "V 3"]:
    """Albedo of points on the bust: that of the nearest part, with blended borders and a faint marbling."""
    distance = torch.stack([field_values(parts[name], points) for name in _TINTS], dim=-1)
    weights = torch.softmax(-distance / 0.008, dim=-1)
    colors = weights @ torch.tensor(list(_TINTS.values())).to(points)
    x, y, z = (points * 3).unbind(dim=-1)
    veins = torch.sin(x + 2.1 * torch.sin(y + 1.3 * z) + 1.7 * torch.sin(0.8 * z - 1.1 * x)) ** 8
    return colors * (1 - 0.22 * veins[:, None])


def check_detail(detail: float) -> None:
    """Raise an InputError where the density of a mesh is out of range."""
    if not 0.2 <= detail <= 4:
        raise InputError(f"detail must be between 0.2 and 4, got {detail:g}; 1 is the default")


def vase(detail: float = 1.0) -> Mesh:
    """An amphora with spiral flutes: smaller and smoother than the bust, and hollow.

    Args:
        detail: Samples per length relative to the default (about 40 thousand faces).

    Returns:
        The mesh in metres, 0.3 high, Y up, with its base on the plane y = 0.

    Raises:
        InputError: `detail` is not between 0.2 and 4.
    """
    check_detail(detail)
    height = torch.linspace(0, 1, 48)
    radius = 0.11 + 0.21 * torch.sin(torch.pi * height**0.85).clamp_min(0) ** 1.5 + 0.09 * height**9
    outline = torch.stack((radius, height), dim=-1)
    ends = torch.tensor([[0.0, 1.0], [0.0, 0.0]])

    def flutes(p: Tensor) -> Tensor:
        belly = torch.exp(-(((p[:, 1] - 0.42) / 0.22) ** 4))
        return 0.012 * belly * torch.cos(14 * torch.atan2(p[:, 0], p[:, 2]) + 9 * p[:, 1])

    inside = revolution(
        torch.cat(
            (outline[4:] - torch.tensor([0.045, 0.0]), torch.tensor([[0.155, 1.1], [0, 1.1], [0, 0.09]]))
        )
    )
    field: Field = smooth_difference(
        displace(revolution(torch.cat((outline, ends))), flutes), inside, radius=0.03
    )
    mesh = largest_component(zero_set(field, (-0.42, -0.05, -0.42), (0.42, 1.05, 0.42), 0.0095 / detail))
    return mesh.with_vertices(mesh.vertices * 0.3)
