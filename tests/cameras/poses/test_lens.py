"""Which lenses are kept after the last adjustment; stand-ins take the place of models of pycolmap."""

from types import SimpleNamespace

import pytest

from bozzetto.cameras.poses.colmap_program.mapping import is_plausible


def model(focal, x=500.0, y=375.0):
    camera = SimpleNamespace(
        width=1000, height=750, focal_length=focal, principal_point_x=x, principal_point_y=y
    )
    return SimpleNamespace(camera=lambda key: camera)


@pytest.mark.parametrize(
    "after, kept",
    [
        (model(760.0, 505.0, 370.0), True),
        (model(760.0, 530.0), False),
        (model(760.0, y=350.0), False),
        (model(830.0), False),
    ],
)
def test_a_principal_point_far_off_and_another_focal_length_are_not_kept(after, kept):
    assert is_plausible(model(750.0), after, 1) == kept
