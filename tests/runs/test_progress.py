import io

from rich.console import Console

from bozzetto.runs import Progress
from bozzetto.runs.progress import show_progress
from bozzetto.steps import counted, stage


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
        assert progress.seconds_left == (50 - done) / 2
    return out.getvalue()


def test_plain_lines_have_loss_speed_and_time_left():
    lines = progress_text(terminal=False).splitlines()
    assert len(lines) == 3  # after 10 s, after 20 s, and at the end
    assert lines[0] == "optimise  20 %  loss 0.125  2.0 steps/s  0:40 left"


def test_resumed_work_counts_but_not_for_the_speed():
    assert "optimise  60 %  loss 0.125  2.0 steps/s  0:20 left" in progress_text(terminal=False, done=40.0)


def test_a_terminal_gets_a_bar():
    text = progress_text(terminal=True)
    assert "\x1b[" in text
    assert "loss 0.125" in text


def test_quiet_is_quiet():
    assert progress_text(terminal=False, quiet=True) == ""
    assert progress_text(terminal=True, quiet=True) == ""


def test_preparation_does_not_count_and_slow_steps_are_told_as_seconds_per_step():
    out, clock = io.StringIO(), Clock()
    with Progress(4.0, "hull", console=Console(file=out), clock=clock) as progress:
        clock.now = 500.0
        progress.advance()
        assert progress.seconds_left is None
        clock.now = 520.0
        progress.advance()
    assert out.getvalue().splitlines()[1] == "hull  50 %  20.0 s/step  0:40 left"


def test_steps_may_weigh_more_than_others():
    out, clock = io.StringIO(), Clock()
    with Progress(2.0 + 8.0, "refine", console=Console(file=out), clock=clock) as progress:
        for weight in (1.0, 1.0, 4.0):
            clock.now += weight
            progress.advance(weight)
        assert progress.seconds_left == 4.0
    assert "60 %  1.7 s/step" not in out.getvalue()
    assert "60 %  2.5 s/step" in out.getvalue()


def test_with_a_real_clock_from_the_first_step_on():
    out = io.StringIO()
    with Progress(3.0, "quick", interval=0.0, console=Console(file=out)) as progress:
        for _ in range(3):
            progress.advance(loss=1.0)
    lines = out.getvalue().splitlines()
    assert lines[0] == "quick  33 %  loss 1"
    assert lines[-1].startswith("quick  100 %")


def test_steps_are_shown_only_when_they_take_long():
    clock, lines = Clock(), io.StringIO()
    with show_progress(console=Console(file=lines, width=100), clock=clock):
        for _ in counted(range(10), "quick"):
            clock.now += 0.1
        for _ in counted(range(10), "slow"):
            clock.now += 1.0
    assert [line.split() for line in lines.getvalue().splitlines()] == [
        ["slow", "20", "%", "0:08", "left"],
        ["slow", "100", "%"],
    ]
    with show_progress(quiet=True, console=Console(file=lines), clock=clock):
        for _ in counted(range(10), "silent"):
            clock.now += 10.0
    assert "silent" not in lines.getvalue()


def test_a_progress_of_its_own_is_shown_alone():
    lines = io.StringIO()
    console = Console(file=lines, width=100, force_terminal=True)
    with show_progress(console=console), stage("around"):
        with Progress(2, "own", console=console) as progress:
            for _ in counted(range(2), "within"):
                progress.advance()
        for _ in counted(range(2), "after"):
            pass
    text = lines.getvalue()
    assert "around" in text and "own" in text and "within" not in text
