"""Work in processes of their own: one may die, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pickle import PicklingError

import pytest

from fvlib.processes import spread

DIES = "__import__('os')._exit(3)"  # as a decoder that takes its process down


def test_results_come_with_their_items():
    items = [f"{n} * {n}" for n in range(7)]
    assert dict(spread(eval, items, 3)) == {item: eval(item) for item in items}
    assert dict(spread(eval, items, 0)) == {item: eval(item) for item in items}
    assert list(spread(eval, [], 2)) == []


def test_what_kills_its_worker_gives_none_and_stops_no_other():
    items = ["1 + 1", DIES, "2 + 2", DIES + " ", "3 + 3"]
    wanted = {"1 + 1": 2, items[1]: None, "2 + 2": 4, items[3]: None, "3 + 3": 6}
    assert dict(spread(eval, items, 1)) == wanted
    assert dict(spread(eval, items, 3)) == wanted


def test_an_error_is_raised_here_and_its_place_is_told():
    with pytest.raises(ZeroDivisionError) as error:
        list(spread(eval, ["1 / 0"], 1))
    assert "Traceback" in str(error.value.__cause__)


def test_a_result_that_cannot_be_sent_is_an_error():
    with pytest.raises(Exception, match="pickle"):
        list(spread(eval, ["lambda: 1"], 1))


class Unreadable(Exception):
    """It is pickled as its message, of which it cannot be made again."""

    def __init__(self, name, why):
        super().__init__(f"{name} {why}")


def refuse(item):
    raise Unreadable(item, "is damaged")


def test_an_error_that_cannot_be_unpickled_is_no_worker_that_died():
    with pytest.raises(PicklingError, match="what came of '1', a result or an error") as error:
        list(spread(refuse, ["1"], 1))
    assert "missing 1 required positional argument: 'why'" in str(error.value.__cause__)


def test_variables_are_added_to_those_of_the_caller(monkeypatch):
    monkeypatch.setenv("CALLER", "today")  # after the server of the workers may have started
    item = "tuple(map(__import__('os').getenv, ('CALLER', 'SEEN')))"
    ((_, found),) = spread(eval, [item], 1, environment={"SEEN": "first"})
    assert found == ("today", "first")


def test_a_negative_number_of_processes_is_refused():
    with pytest.raises(ValueError, match="jobs is -1"):
        list(spread(eval, ["1"], -1))


def test_workers_end_with_the_iteration(family):
    work = spread(eval, ["__import__('os').getpid()", "__import__('time').sleep(600)"], 2)
    worker = family(next(work)[1])
    began = time.monotonic()
    work.close()
    assert time.monotonic() - began < 5
    assert worker.ended(1)


PARENT = """
import sys
from fvlib.processes import spread
if __name__ == "__main__":
    said = "__import__('os').write(1, bytes([49, 10]))"  # 1 and a new line at once
    items = [said] * 2 + ["__import__('time').sleep(600)"] * 2
    try:
        for _ in spread(eval, items, 2):
            pass
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent_whatever_ends_it(tmp_path, family, number):
    (tmp_path / "parent.py").write_text(PARENT, "utf-8")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, text=True, **options) as parent:
        said = [parent.stdout.readline() for _ in range(2)]
        workers = family(parent.pid)
        os.kill(parent.pid, number if said == ["1\n"] * 2 else signal.SIGKILL)
        rest, errors = parent.communicate(timeout=20)
    assert said == ["1\n"] * 2
    assert len(workers) >= 3
    assert workers.ended()
    assert rest == ("stopped\n" if number == signal.SIGINT else "")
    assert "Traceback" not in errors


def test_an_interruption_of_the_whole_terminal_is_the_parents_alone(tmp_path, family):
    (tmp_path / "parent.py").write_text(PARENT, "utf-8")
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    command = [sys.executable, str(tmp_path / "parent.py")]
    with subprocess.Popen(command, text=True, **options) as parent:
        assert parent.stdout.readline() == "1\n"
        workers = family(parent.pid)
        os.killpg(parent.pid, signal.SIGINT)
        said, errors = parent.communicate(timeout=20)
    assert workers.ended()
    assert said.endswith("stopped\n")
    assert errors == ""


def test_the_server_of_workers_may_start_before_there_is_work(tmp_path):
    (tmp_path / "script.py").write_text(
        "import sys\nfrom fvlib.processes import prepare, spread\n"
        "if __name__ == '__main__':\n"
        "    prepare('colorsys', 'a_package_that_is_not_there')\n"
        '    print(list(spread(eval, [\'"colorsys" in __import__("sys").modules\'], 1)))\n'
        "    print('colorsys' in sys.modules)\n",
        "utf-8",
    )
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split(", ")[-1] == "True)]\nFalse\n"
    assert done.stderr == ""


def test_what_a_script_defines_can_be_sent(tmp_path):
    (tmp_path / "script.py").write_text(
        "from fvlib.processes import spread\ndef f(x):\n    return x * 2\n"
        "if __name__ == '__main__':\n    print(list(spread(f, ['1'], 1)))\n",
        "utf-8",
    )
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[('1', '11')]\n"


def test_workers_that_cannot_begin_are_told(tmp_path):
    script = tmp_path / "script.py"  # without `if __name__ == "__main__"`
    script.write_text(
        "from fvlib.processes import spread\ndef f(x):\n    return x\n"
        "print(list(spread(f, ['1'], 1)))\n",
        "utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "a worker process ended before it began" in done.stderr
    assert "__main__" in done.stderr
