import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import bozzetto
from bozzetto.cli import SHELLS, VERBS, main, split_words
from bozzetto.cli.common import Options, carry_out
from bozzetto.errors import InputError, warn_input


def exit_code(*words: str) -> int:
    """The exit code, whether tyro leaves by itself or `main` returns."""
    try:
        return main(words)
    except SystemExit as leave:
        return leave.code or 0


@pytest.mark.parametrize("words", [["--help"], ["reconstruct", "--help"], ["data", "list"], ["--version"]])
def test_help_and_list_do_not_import_torch(words):
    script = (
        "import sys\nfrom bozzetto.cli import main\n"
        f"try:\n    main({words})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'warp', 'scipy', 'trimesh', 'skimage'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_the_common_options(verb, capsys):
    assert exit_code(*verb.split(), "--help") == 0
    text = capsys.readouterr().out
    for option in ("--out", "--device", "--seed", "--overwrite", "--quiet", "--json"):
        assert option in text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bozzetto {bozzetto.__version__}\n"


@pytest.mark.parametrize("words", [["sculpt"], ["reconstruct"], ["data", "list", "--colour", "red"]])
def test_words_that_are_not_understood(words, capsys):
    assert exit_code(*words) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Traceback" not in output.err


@pytest.mark.parametrize(
    "words, name, rest",
    [
        ("--quiet --out x doctor --json", "doctor", "--quiet --out x --json"),
        ("doctor --quiet --out x --json", "doctor", "--quiet --out x --json"),
        ("--out demo doctor", "doctor", "--out demo"),
        ("--out=demo doctor", "doctor", "--out=demo"),
        ("reconstruct demo", "reconstruct", "demo"),
        ("--help", "", "--help"),
        ("train sdf sdf", "train sdf", "sdf"),
        ("--out train train --minutes 3 --resume sdf D", "train sdf", "--out train --minutes 3 --resume D"),
        ("train DATA sdf", "train", "DATA sdf"),
        ("train --help", "train", "--help"),
        ("evaluate --overwrite points points surface", "evaluate points", "--overwrite points surface"),
        ("data", "data list", ""),
        ("--json data --quiet", "data list", "--json --quiet"),
        ("data --out x", "data", "--out x"),
    ],
)
def test_options_may_stand_anywhere(words, name, rest):
    assert split_words(words.split()) == (name, rest.split())


@pytest.mark.parametrize("words", ["", "train", "evaluate", "data"])
def test_families_of_verbs_have_help(words, capsys):
    assert exit_code(*words.split(), "--help") == 0
    text = capsys.readouterr().out
    for verb in VERBS:
        if verb.startswith(words):
            assert f"• {verb.split()[len(words.split())]} " in text


def test_help_tells_what_to_do_with_what_one_has(capsys):
    assert exit_code() == 0
    text = capsys.readouterr().out
    assert "reconstruct PHOTOS" in text and "--completion" in text
    with pytest.raises(SystemExit):
        main(["-h"])


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_complete_verbs_and_options(shell, capsys):
    assert exit_code("--completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("reconstruct", "heightmap", "generation", "--redistributable-only", "--boundary"):
        assert word in script


COMPLETE = """
source ./script
function=$(complete -p bozzetto | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(bozzetto "$@")
COMP_CWORD=$#
$function bozzetto "${@: -1}"
echo "${COMPREPLY[*]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path, capsys):
    exit_code("--completion", "bash")
    (tmp_path / "script").write_text(capsys.readouterr().out)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for words, expected in (
        ("surf", "surface"),
        ("train s", "score sdf"),
        ("train sdf --pre", "--preset"),
        ("evaluate points --poi", "--points"),
        ("surface --boundary cl", "closed"),
    ):
        command = ["bash", "-c", COMPLETE, "bash", *words.split()]
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_completion_needs_a_shell(capsys):
    for words in ([], ["cmd"], ["bash", "zsh"]):
        assert main(["--completion", *words]) == 2
        assert "bash, zsh" in capsys.readouterr().err


@dataclass(frozen=True, kw_only=True)
class Failing(Options):
    error: type[BaseException] = InputError
    resume: bool = False

    def run(self) -> dict:
        raise self.error("photo.png is truncated; copy it again")


def test_bad_input_is_one_sentence(capsys):
    assert carry_out(Failing(json=True)) == 2
    output = capsys.readouterr()
    assert output.err == "bozzetto: photo.png is truncated; copy it again\n"
    assert output.out == ""


def test_interruption_tells_how_to_go_on(capsys, tmp_path):
    assert carry_out(Failing(error=KeyboardInterrupt, out=tmp_path)) == 130
    assert "before there was a checkpoint" in capsys.readouterr().err
    (tmp_path / "checkpoint.safetensors").touch()
    assert carry_out(Failing(error=KeyboardInterrupt, out=tmp_path)) == 130
    assert "command with --resume continues" in capsys.readouterr().err
    (tmp_path / ".unfinished").mkdir()
    (tmp_path / "checkpoint.safetensors").rename(tmp_path / ".unfinished" / "checkpoint.safetensors")
    assert carry_out(Failing(error=KeyboardInterrupt, out=tmp_path, overwrite=True)) == 130
    assert "with --resume instead of --overwrite continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError("Unable to allocate 1.2 TiB for an array"), "not enough memory (Unable to allocate 1.2"),
        (MemoryError(), "not enough memory"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
            "not enough memory",
        ),
        (RecursionError("maximum recursion depth exceeded"), "the input is nested too deeply"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left"),
        (OSError(errno.EIO, "Input/output error", "scan.ply"), "scan.ply cannot be used: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "scan.ply"), "scan.ply may not be read"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(error, sentence, capsys):
    class Refused(Failing):
        def run(self) -> dict:
            raise error

    assert carry_out(Refused()) == 2
    assert capsys.readouterr().err.startswith(f"bozzetto: {sentence}")


def test_a_missing_extra_tells_the_command(capsys):
    class Missing(Failing):
        def run(self) -> dict:
            raise ModuleNotFoundError(name="matplotlib.pyplot")

    assert carry_out(Missing()) == 2
    assert "pip install 'bozzetto[plots]'" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        carry_out(Failing(error=ZeroDivisionError))


def test_json_is_all_there_is_on_stdout(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["versions"]["bozzetto"] == bozzetto.__version__
    assert {"cholespy", "DracoPy", "laspy", "matplotlib"} <= set(report["optional"])


def test_quiet_says_nothing(capsys):
    assert main(["--quiet", "doctor"]) == 0
    assert capsys.readouterr() == ("", "")


def test_data_list_shows_terms(capsys):
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    assert "dino" in text and "terms:" in text and "credit:" in text and "MB" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "get"], "data get needs NAME"),
        (["data", "get", "dragon"], "known are dino, temple"),
        (["data", "list", "dino"], "Unrecognized options: dino"),
        (["data", "get", "dino", "--from", "nowhere"], "does not exist"),
    ],
)
def test_data_with_bad_input(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.count("\n") == 1
    assert [p for p in Path().rglob("*") if p.is_file()] == []


@dataclass(frozen=True, kw_only=True)
class _Remarks(Options):
    def run(self) -> dict:
        from bozzetto.runs import RunFolder

        warn_input("the file has 3 columns of no known meaning; they are left out")
        return RunFolder.create(self.out, {}).report({})


def test_warnings_about_input_are_shown_and_stand_in_the_report(tmp_path, capsys):
    sentence = "the file has 3 columns of no known meaning; they are left out"
    assert carry_out(_Remarks(out=tmp_path / "loud", json=True)) == 0
    output = capsys.readouterr()
    assert output.err == f"note: {sentence}\n"
    assert json.loads(output.out)["warnings"] == [sentence]
    assert carry_out(_Remarks(out=tmp_path / "quiet", quiet=True)) == 0
    assert capsys.readouterr().err == ""
    assert json.loads((tmp_path / "quiet" / "report.json").read_text())["warnings"] == [sentence]


def test_where_another_run_is_at_work_it_is_said_before_anything_is_read(tmp_path, capsys):
    script = (
        "import sys, pathlib; from bozzetto.locks import acquire_lock\n"
        "h = acquire_lock(pathlib.Path(sys.argv[1]), 'x'); print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(tmp_path / ".lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert main(["reconstruct", "nowhere", "--out", str(tmp_path)]) == 2
        assert "another run is writing" in capsys.readouterr().err
        other.kill()
    assert main(["reconstruct", "nowhere", "--out", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class _Replacing(Options):
    def run(self) -> dict:
        from bozzetto.runs import RunFolder

        run = RunFolder.create(self.out, {}, self.overwrite)
        run.file("mesh.ply").write_text("half")
        raise InputError("the disk is full")


def test_a_verb_that_fails_leaves_nothing_beside_the_earlier_results(tmp_path, capsys):
    assert carry_out(_Remarks(out=tmp_path / "a", quiet=True)) == 0
    before = sorted((tmp_path / "a").rglob("*"))
    assert carry_out(_Replacing(out=tmp_path / "a", overwrite=True)) == 2
    assert sorted((tmp_path / "a").rglob("*")) == before
