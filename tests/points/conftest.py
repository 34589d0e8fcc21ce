import torch

BAD_CLOUDS = [
    (torch.zeros(0, 3), "empty"),
    (torch.zeros(1, 3), "1 points"),
    (torch.full((20, 3), torch.nan), "NaN"),
    (torch.ones(20, 3), "equal"),
    (torch.rand(5, 3), "8 or more"),
]
"""Points that no surface can be found in, and a word of what is said about them."""
