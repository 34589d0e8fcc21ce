import torch

from bozzetto.runs import fingerprint


def test_content_decides(tmp_path):
    (tmp_path / "a.txt").write_text("same")
    (tmp_path / "b.txt").write_text("same")
    (tmp_path / "c.txt").write_text("other")
    a, b, c = (fingerprint(tmp_path / name) for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b != c
    x = torch.arange(6.0)
    assert fingerprint(x.reshape(2, 3).T.contiguous()) == fingerprint(x.reshape(2, 3).T)
    assert (
        len({fingerprint(x), fingerprint(x.reshape(2, 3)), fingerprint(x.double()), fingerprint(x + 1)}) == 4
    )
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint(torch.tensor(True)) != fingerprint(torch.tensor(False))
