"""Every stage where something around it is amiss: a full disk, no reader, little memory, no home, no name, no streams."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from magface_al.command.claims import Claim
from tests.support.forked import Forked, import_everything
from tests.support.scripts import ROOT, Ended
from tests.support.stages import PASSING, STAGES, differences, files_of, halves, is_half, prepare, ran

pytestmark = [pytest.mark.process, pytest.mark.slow(1)]
EVERY = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folder with data/ in it, beside which stages run."""
    import_everything()
    folder = tmp_path_factory.mktemp("stages")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(drawn):
    """stage -> (folder, files) of its undisturbed run, once."""
    known = {}

    def run(stage):
        if stage.name not in known:
            folder = drawn / f"whole {len(known)}"
            folder.mkdir()
            ran(folder, stage.command)
            known[stage.name] = folder, files_of(folder)
        return known[stage.name]

    return run


@pytest.fixture
def work(drawn):
    """An empty folder beside data/."""
    folder = drawn / "work"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def one_line(done, script):
    """What the run said at its end: one line of its own, and no traceback."""
    assert "Traceback" not in done.stderr, done.stderr
    assert "please report" not in done.stderr, done.stderr
    said = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(said) == 1, done.stderr
    return said[0].removeprefix(f"{script}: error: ")


@EVERY
def test_a_full_disk_is_told_with_the_file_and_the_old_ones_stay(stage, undisturbed, work):
    """A limit on the size of files, which ends a write as a full disk does."""
    folder, files = undisturbed(stage)
    if stage.resume or stage.name.startswith("prepare_data"):
        before = {}  # these take up or refuse a finished run
    else:
        shutil.copytree(folder, work, dirs_exist_ok=True)
        before = files
    limit = max(map(len, files.values())) - 1  # what is smaller is written
    done = Forked(work, *stage.command, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))).wait()
    assert done.returncode == 1, done
    said = one_line(done, stage.command[0])
    assert ": File too large; files written before stay as they were" in said
    named = said.split(": ")[0]
    assert ".magface_al-" not in named
    assert (work / named).parent.is_dir()
    assert not [name for name in files_of(work) if ".magface_al-" in name or name.endswith(".lock")]
    assert not halves(files_of(work), [before, files])


@EVERY
def test_nobody_reads_the_output_any_more(stage, undisturbed, work):
    """`| head -1`: 141 as a shell's own commands, not a word, outputs whole."""

    def unread():
        reading, writing = os.pipe()
        os.close(reading)
        os.dup2(writing, 1)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)  # no longer a file that has a position

    done = Forked(work, *stage.command, before=unread).wait()
    assert (done.returncode, "error" in done.stderr, "Exception" in done.stderr) == (141, False, False), done
    assert not halves(files_of(work), [undisturbed(stage)[1]])
    assert not [name for name in files_of(work) if ".magface_al-" in name]


@EVERY
def test_no_streams_and_no_home(stage, undisturbed, work):
    def bare():
        for name in ("HOME", "USER", "LOGNAME"):
            os.environ.pop(name, None)
        os.environ["HOME"] = "/proc"
        for number in range(3):
            os.close(number)
        sys.stdin = sys.stdout = sys.stderr = None

    done = Forked(work, *stage.command, before=bare).wait()
    assert done == (0, "", "")
    assert not differences(files_of(work), undisturbed(stage)[1])


@pytest.mark.parametrize("script", ["gen_features", "build_hard_pairs", "export_model pth"])
def test_little_memory_is_one_line(script, work, drawn):
    """Stages that draw nothing: matplotlib's C++ ends with a segmentation fault where memory does."""
    stage = next(stage for stage in STAGES if stage.name.startswith(script))

    def little():
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 20), used + (8 << 20)))

    done = Forked(work, *stage.command, before=little).wait()
    assert done.returncode in (0, 1), done  # the allocator may have enough in hand
    if done.returncode:
        one_line(done, stage.command[0])
    assert not [name for name in files_of(work) if ".magface_al-" in name]


# --- one run at a time


@EVERY
def test_what_another_run_writes_is_left_to_it(stage, work, drawn):
    flags = ("--feat_list", "--output_file", "--output_list", "--output_dir")
    (place,) = [place for place, word in enumerate(stage.command) if word in flags]
    with Claim(work / stage.command[place + 1], folder=stage.command[place] == "--output_dir"):
        before = files_of(work)
        done = Forked(work, *stage.command).wait()
        assert files_of(work) == before
    assert done.returncode == 2
    assert one_line(done, stage.command[0]).startswith(f"{stage.command[place + 1]}: another run is writing it")


@EVERY
def test_a_script_that_is_not_distributed_refuses_to_be_one_of_several(stage, work, drawn):
    if stage.name == "train":
        pytest.skip("it is distributed")
    done = Forked(work, *stage.command, before=lambda: os.environ.update(WORLD_SIZE="2", RANK="1")).wait()
    assert (done.returncode, files_of(work)) == (2, {})
    assert "started as one of 2 processes" in one_line(done, stage.command[0])


# --- an input is no output


ALONE = {  # a stage's input that needs nothing beside it
    "gen_features text": "../data/images.list", "gen_features binary": "../data/m.pth", "prepare_data list2rec": "../data/t.list",
    "prepare_data rec2folder": "../data/rec/train.rec", "prepare_data bin2folder": "../data/set.bin", "visualize_errors":
    "../data/feedback_pairs_test.json", "finetune_on_feedback": "../data/feedback_pairs_test.json", "train": "s=../data/set.bin",
    "export_model": "../data/m.pth", "export_model pth": "../data/m.pth", "evaluate_recognition": "../data/m.pth",
    "evaluate_finetuned_model": "../data/n.pth", "build_hard_pairs": "../data/f.npy", "choose_pairs": "../data/f.npy",
}  # fmt: skip
OTHER_NAMES = [
    lambda new, old: old,
    lambda new, old: new.symlink_to(old) or new,
    lambda new, old: new.hardlink_to(old) or new,
]


@EVERY
def test_no_output_is_an_input_whatever_it_is_called(stage, undisturbed, work, drawn):
    """Every output of a stage in turn, the derived ones too, under the input's own name, through a link, through a hard link."""
    if stage.name not in ALONE:
        pytest.skip("its input is a folder")
    given = ALONE[stage.name]
    name, _, path = given.rpartition("=")
    data = (drawn / "work" / ("../data/f.list" if path.endswith("f.npy") else path)).resolve().read_bytes()
    outputs = [output for output in undisturbed(stage)[1] if output.count("/") < 2 and "false_" not in output]
    for place, output in enumerate(outputs[:6]):
        for path in work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        target = work / output
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
        shown = OTHER_NAMES[place % 3](work / "alias", target)
        new = f"{name}={shown}" if name else shown
        done = Forked(work, *(new if word == given else word for word in stage.command)).wait()
        assert done.returncode == 2, (output, done)
        assert target.read_bytes() == data, output
        one_line(done, stage.command[0])


# --- signals


def in_time(end, work):
    """How the first run ended that a signal came to before its end: a quick machine may need some."""
    for _ in range(10):
        for path in work.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if (done := end()).returncode:
            return done
    raise AssertionError("ten runs ended before the signal came")


def ended_by(number, stage, work):
    """A run that gets the signal when it has kept something."""
    process = Forked(work, *stage.command)
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not any(not is_half(name) or name.endswith(".part.json") for name in files_of(work)):
        if os.waitid(os.P_PID, process.pid, ended):
            break
        time.sleep(0.002)
    process.send(number)
    return process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["gen_features binary", "train", "finetune_on_feedback", "prepare_data rec2folder"])
def test_a_signal_ends_a_stage_in_order_and_it_is_taken_up(name, number, undisturbed, work):
    stage = next(stage for stage in STAGES if stage.name == name)
    whole = undisturbed(stage)[1]
    done = in_time(lambda: ended_by(number, stage, work), work)
    assert done.returncode == 128 + number, done
    assert one_line(done, stage.command[0]) == f"ended by {number.name}"
    left = [name for name in files_of(work) if is_half(name)]
    assert not [
        name for name in left if ".magface_al-" in name or name.endswith(".lock")
    ]  # what can be taken up may stay
    assert not halves(files_of(work), [whole])
    again = [stage.resume] if stage.resume and (work / stage.state).exists() else []
    ran(work, [*stage.command, *again])
    assert not differences(files_of(work), whole)


def test_threads_and_imports_do_not_hold_up_the_end(work, drawn):
    """A process of its own, ended while it imports or works: what Python does at its end is part of it."""
    stage = next(stage for stage in STAGES if stage.name == "gen_features text")
    command = [sys.executable, ROOT / stage.command[0], *stage.command[1:]]

    def end():
        process = subprocess.Popen([*map(str, command)], cwd=work, stdout=-1, stderr=-1, text=True)
        while not (work / "f.list.part").exists() and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=60)
        return Ended(process.returncode, *said)

    done = in_time(end, work)
    assert done.returncode == 143, done
    assert one_line(done, stage.command[0]) == "ended by SIGTERM"


# --- what is decided before anything is imported: in processes of their own


def light(folder, *flags, script="prepare_data.py", env=None, **options):
    """A script that imports nothing heavy."""
    command = [sys.executable, str(ROOT / script), *map(str, flags)]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        **options,
    )


LISTED = ["folder2list", "--dataset", "../data/images", "--output_list", "t.list"]


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "1", "PYTHONIOENCODING": "latin-1"},
    ],
)
def test_names_beyond_ascii_in_poor_locales(work, drawn, env):
    folder = work / "фото é"
    shutil.copytree(drawn / "data" / "images", folder)
    done = light(work, "folder2list", "--dataset", folder.name, "--output_list", "t é.list", env=env)
    assert done.returncode == 0, done.stderr
    assert f"{folder.name}/".encode() in (work / "t é.list").read_bytes()


def test_a_locale_without_utf8_is_refused_in_words_and_helps_all_the_same(work, drawn):
    env = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = light(work, *LISTED, env=env)
    assert (done.returncode, list(work.iterdir())) == (2, [])
    assert "set PYTHONUTF8=1" in one_line(done, "prepare_data.py")
    assert light(work, "--help", env=env).returncode == 0


def test_a_deleted_working_folder(work, drawn):
    gone = work / "gone"
    gone.mkdir()
    done = light(gone, *LISTED, preexec_fn=gone.rmdir)
    assert "the working folder has been deleted" in one_line(done, "prepare_data.py")
    assert done.returncode == 2


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_never_lead_into_a_file(work, drawn, closed):
    command = f'"$0" "$@" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, str(ROOT / "prepare_data.py"), *LISTED], cwd=work, capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (work / "t.list").read_bytes().count(b"\n") == 32


def test_a_full_screen_is_told_and_does_not_end_with_120(work, drawn):
    command = [sys.executable, str(ROOT / "prepare_data.py"), *LISTED]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=work, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert one_line(done, "prepare_data.py").startswith("the screen, or a file: No space left on device")
        helped = subprocess.run([*command[:2], "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (helped.returncode in (0, 1), helped.stderr) == (True, "")  # argparse lets some of it pass


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare, for a user without a name")
def test_a_user_without_a_name_and_a_home_imports_and_draws(work, drawn):
    """docker --user 12345: what torch, matplotlib and getpass ask for while they are imported."""
    probe = ["unshare", "--user", "--map-user=12345"]
    if subprocess.run([*probe, "true"], check=False, capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here")
    stage = next(stage for stage in STAGES if stage.name == "visualize_errors")
    command = [
        *probe,
        "env",
        "-u",
        "HOME",
        "-u",
        "USER",
        "-u",
        "LOGNAME",
        sys.executable,
        "-B",
        ROOT / stage.command[0],
        *stage.command[1:],
    ]
    done = subprocess.run([*map(str, command)], cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MPLCONFIGDIR" not in done.stderr
    assert (work / "errors" / "index.html").exists()


def test_logs_are_no_outputs():
    assert set(PASSING) == {"log.out", "log.err"}
