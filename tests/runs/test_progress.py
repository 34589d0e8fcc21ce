import io

from rich.console import Console

from bozzetto.runs import Progress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def progress_text(terminal: bool, quiet: bool = False, done: float = 0.0) -> str:
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=100)
    with Progress(100.0, "optimise", quiet, done=done, console=console, clock=clock) as progress:
        for _ in range(50):
            clock.now += 0.5
            progress.advance(1.0, loss=0.125)
        assert quiet or progress.speed == 2.0
    return out.getvalue()


def test_plain_lines_have_loss_speed_and_time_left():
    lines = progress_text(terminal=False).splitlines()
    assert len(lines) == 3  # after 10 s, after 20 s, and at the end
    assert lines[0] == "optimise  20/100  loss 0.125  2.0 steps/s  0:40 left"


def test_resumed_work_counts_but_not_for_the_speed():
    assert "optimise  60/100" in progress_text(terminal=False, done=40.0)


def test_a_terminal_gets_a_bar():
    text = progress_text(terminal=True)
    assert "\x1b[" in text
    assert "loss 0.125" in text


def test_quiet_is_quiet():
    assert progress_text(terminal=False, quiet=True) == ""
    assert progress_text(terminal=True, quiet=True) == ""


def test_slow_steps_are_told_as_seconds_per_step():
    out, clock = io.StringIO(), Clock()
    with Progress(2.0, "hull", console=Console(file=out), clock=clock) as progress:
        clock.now = 20.0
        progress.advance()
    assert "20.0 s/step  0:20 left" in out.getvalue()
