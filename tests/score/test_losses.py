import torch

from bozzetto.score import ModelConfig, build_model, denoising_score_matching


def test_the_published_weight_gives_equation_4_of_the_paper():
    torch.manual_seed(0)
    model = build_model(ModelConfig(architecture="residual", dimensions=3, code_size=8, hidden=16)).eval()
    codes, clean = torch.randn(2, 8), torch.rand(2, 3, 5, 3)
    sigma = torch.tensor([[0.1, 0.5, 1.0], [0.2, 0.3, 0.7]])
    noisy = clean + sigma[..., None, None] * torch.randn(2, 3, 5, 3)
    published = torch.zeros(())
    for shape in range(2):
        for level in range(3):
            s = sigma[shape, level]
            target = (clean[shape, level] - noisy[shape, level]) / s**2
            found = model.score(codes[shape : shape + 1], noisy[shape, level][None], s[None])[0]
            published = published + s**3 / 2 * (found - target).square().sum(dim=-1).mean() / 6
    loss = denoising_score_matching(model, codes, noisy, sigma, clean)
    torch.testing.assert_close(loss, published, rtol=1e-4, atol=1e-5)

