import pytest
import torch

from bozzetto.geometry import face_areas, intersecting_faces
from bozzetto.geometry.shells import cut_faces
from bozzetto.shapes import box, icosphere, join

BALL = icosphere(2, 0.6)
CUBE = box(1.0)
SLAB = box([0.7, 1.4, 0.7])


def moved(mesh, shift):
    return mesh.with_vertices(mesh.vertices + torch.tensor(shift))


@pytest.mark.parametrize(
    ("first", "second", "inside"),
    [
        (
            CUBE,
            moved(CUBE, (0.3, 0.4, 0.2)),
            lambda p: (p - torch.tensor([0.3, 0.4, 0.2])).abs().amax(-1) - 0.5,
        ),
        (CUBE, SLAB, lambda p: (p.abs() - torch.tensor([0.35, 0.7, 0.35])).amax(-1)),
        (
            CUBE,
            moved(CUBE, (1.0, 0.2, 0.1)),
            lambda p: (p - torch.tensor([1.0, 0.2, 0.1])).abs().amax(-1) - 0.5,
        ),
    ],
    ids=["corner", "crossed", "side to side"],
)
def test_no_piece_reaches_from_the_outside_of_another_shell_to_its_inside(first, second, inside):
    mesh = join([first, second])
    corners = mesh.corners().double()
    pairs = intersecting_faces(mesh)
    pieces, owner = cut_faces(corners, pairs)
    assert torch.equal(owner.unique(), pairs.unique())
    own = owner < len(first.faces)
    middle = pieces.mean(dim=1, keepdim=True)
    near_corners = inside(middle + 0.99 * (pieces - middle))[own]
    assert ((near_corners > -1e-6).all(dim=1) | (near_corners < 1e-6).all(dim=1)).all()


@pytest.mark.parametrize(
    "other", [CUBE, moved(BALL, (0.5, 0.1, 0.0)), BALL], ids=["cube", "ball", "the same"]
)
def test_pieces_cover_their_faces(other):
    mesh = join([BALL, other])
    corners = mesh.corners().double()
    pairs = intersecting_faces(mesh)
    pieces, owner = cut_faces(corners, pairs)
    areas = face_areas(pieces.reshape(-1, 3), torch.arange(3 * len(pieces)).view(-1, 3))
    found = torch.zeros(len(corners), dtype=torch.float64).index_add_(0, owner, areas)
    whole = face_areas(mesh.vertices.double(), mesh.faces)
    torch.testing.assert_close(found[pairs.unique()], whole[pairs.unique()])
    weights = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inner = (pieces * (weights[0] / weights[0].sum())[:, None]).sum(dim=1)
    normal = torch.linalg.cross(*(corners[owner][:, k] - corners[owner][:, 0] for k in (1, 2)))
    assert ((inner - corners[owner][:, 0]) * normal).sum(
        dim=1
    ).abs().max() < 1e-12  # in the plane of the face
