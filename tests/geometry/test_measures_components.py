import torch

from bozzetto import Mesh
from bozzetto.geometry import is_watertight, largest_component
from bozzetto.shapes import box, icosphere, join


def test_the_largest_piece_is_kept_with_its_order_and_colours():
    crumbs = [icosphere(3, radius=0.1), icosphere(2, radius=0.2)]  # more faces, less area
    mesh = join([crumbs[0], box(2.0), crumbs[1]])
    colored = Mesh(mesh.vertices, mesh.faces, torch.rand(mesh.vertices.shape))
    result = largest_component(colored)
    torch.testing.assert_close(result.vertices, box(2.0).vertices)
    torch.testing.assert_close(result.faces, box(2.0).faces)
    start = len(crumbs[0].vertices)
    assert result.colors is not None and colored.colors is not None
    torch.testing.assert_close(result.colors, colored.colors[start : start + 8])
    assert is_watertight(result.faces)
