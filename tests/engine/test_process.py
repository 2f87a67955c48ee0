"""Children that misbehave in every way, and what they can see and reach."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from mbom.engine import process
from mbom.engine.process import Limits, one_line, run_module
from mbom.errors import ChangedError, EngineError, FormatError, SourceError
from mbom.strictjson import Json

Probe = Callable[..., Json]

# One task for each thing that a child may do; the request names it.
PROBE = """
import ctypes, json, os, resource, signal, socket, subprocess, sys, threading, time
from pathlib import Path
from mbom import errors

def in_child(request, emit):
    return globals()[request["do"]](request, emit)

def echo(request, emit):
    return request

def environment(request, emit):
    return dict(os.environ)

def connect(request, emit):
    try:
        socket.create_connection(("127.0.0.1", request["port"]), timeout=5)
    except OSError as error:
        return type(error).__name__
    return "connected"

def connect_in_c(request, emit):
    # Past everything that Python guards.
    libc = ctypes.CDLL(None, use_errno=True)
    address = (2).to_bytes(2, sys.byteorder) + request["port"].to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    descriptor = libc.socket(2, 1, 0)
    return "connected" if libc.connect(descriptor, address, 16) == 0 else os.strerror(ctypes.get_errno())

def resolve(request, emit):
    try:
        return str(socket.getaddrinfo("localhost", 80))
    except OSError as error:
        return type(error).__name__

def unix(request, emit):
    try:
        socket.socket(socket.AF_UNIX).connect(request["path"])
    except OSError as error:
        return type(error).__name__
    return "connected"

def descriptors(request, emit):
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[entry] = os.readlink("/proc/self/fd/" + entry)
        except FileNotFoundError:
            pass                      # the listing's own
    return found

def status(request, emit):
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.partition(":")[0]: line.partition(":")[2].strip() for line in lines}

def place(request, emit):
    Path("written").write_text("x")
    return {"cwd": os.getcwd(), "home": str(Path.home()), "session": os.getsid(0), "pid": os.getpid(),
            "uid": os.getuid(), "path": sys.path, "core": resource.getrlimit(resource.RLIMIT_CORE)[0]}

def report(request, emit):
    for number in range(3):
        emit({"done": number})
    return "end"

def refuse(request, emit):
    raise getattr(errors, request["kind"])(request["message"])

def bug(request, emit):
    raise KeyError("a bug \\x1b[31m \\u202e in the task")

def long_bug(request, emit):
    raise KeyError("x" * 1_000_000)

def close_pipe(request, emit):
    os.close(int(sys.argv[2]))
    time.sleep(60)

def leave(request, emit):
    os._exit(request["status"])

def kill(request, emit):
    os.kill(os.getpid(), request["signal"])
    time.sleep(60)

def crash(request, emit):
    ctypes.string_at(0)

def spin(request, emit):
    while True:
        pass

def sleep(request, emit):
    emit(os.getpid())
    time.sleep(60)

def descendants(request, emit):
    child = subprocess.Popen(["/bin/sleep", "60"])
    emit(child.pid)
    time.sleep(60)

def hoard(request, emit):
    return len(bytearray(request["size"]))

def hoard_in_torch(request, emit):
    import torch
    return torch.empty(request["size"], dtype=torch.uint8).numel()

def hoard_and_hide(request, emit):
    try:
        return hoard_in_torch(request, emit)
    except RuntimeError as error:
        raise errors.FormatError("no model can be built") from error

def hoard_in_cpp(request, emit):
    # operator new; nobody catches what it throws.
    new = ctypes.CDLL("libstdc++.so.6")._Znwm
    new.argtypes, new.restype = [ctypes.c_size_t], ctypes.c_void_p
    return new(request["size"])

def threads(request, emit):
    for _ in range(request["count"]):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

def full(request, emit):
    Path("/dev/full").write_bytes(b"x")

def score(request, emit):
    return int(Path("/proc/self/oom_score_adj").read_text())

def deep(request, emit):
    def down(left):
        return down(left - 1) if left else {}["nothing"]
    down(200)

def write(request, emit):
    Path("big").write_bytes(bytes(request["size"]))

def long(request, emit):
    return "x" * request["size"]

def long_report(request, emit):
    emit("x" * request["size"])

def raw(request, emit):
    pipe = int(sys.argv[2])
    os.write(pipe, request["text"].encode())
    os._exit(0)

def flood(request, emit):
    while True:
        emit("again")

def noise(request, emit):
    print("not the protocol")
    sys.stderr.write("x" * 1_000_000 + "the end")
    sys.stderr.flush()
    os._exit(7)

def linger(request, emit):
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "done"
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Return a function that runs one task of ``PROBE`` in a real child."""
    folder = tmp_path / "probe"
    folder.mkdir()
    (folder / "mbom_probe.py").write_text(PROBE, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)

    def ask(
        do: str, *, limits: Limits | None = None, progress: Callable[[Json], None] | None = None, **request: Json
    ) -> Json:
        limits = limits or Limits(wall_seconds=30.0)
        return run_module("mbom_probe", {"do": do, **request}, name="probe", limits=limits, progress=progress)

    return ask


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_a_request_goes_there_and_back_with_the_isolation_that_holds(probe: Probe) -> None:
    answer = probe("echo", text="é\u2028\x00", number=1.5, nothing=None)
    assert isinstance(answer, dict)
    isolation = answer.pop("isolation")
    assert answer == {"do": "echo", "text": "é\u2028\x00", "number": 1.5, "nothing": None}
    assert isolation in (["network-namespace", "no-new-privs", "rlimits"], ["socket-guard", "no-new-privs", "rlimits"])


def test_a_request_larger_than_any_pipe_buffer_arrives_whole(probe: Probe) -> None:
    answer = probe("echo", text="x" * 3_000_000)
    assert isinstance(answer, dict)
    assert answer["text"] == "x" * 3_000_000


def test_progress_arrives_in_order_before_the_result(probe: Probe) -> None:
    seen: list[Json] = []
    assert probe("report", progress=seen.append) == "end"
    assert seen == [{"done": 0}, {"done": 1}, {"done": 2}]


def test_a_listening_server_on_this_machine_cannot_be_reached(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass  # from here it can
        assert probe("connect", port=port) == "PermissionError"
        assert probe("resolve") == "PermissionError"


def test_a_network_namespace_holds_even_for_code_below_the_interpreter(probe: Probe) -> None:
    answer = probe("echo")
    assert isinstance(answer, dict)
    if cast("list[str]", answer["isolation"])[0] != "network-namespace":
        pytest.skip("this system permits no network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert probe("connect_in_c", port=server.getsockname()[1]) == "Network is unreachable"


def test_unix_sockets_cannot_be_reached_either(probe: Probe, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert probe("unix", path=str(path)) == "PermissionError"


def test_without_a_namespace_the_guard_alone_stops_connections(tmp_path: Path) -> None:
    script = tmp_path / "guarded.py"
    script.write_text(
        textwrap.dedent("""
        import socket, sys
        from mbom.engine.child import guard_sockets
        guard_sockets()
        for attempt in (
            lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5),
            lambda: socket.socket(),
            lambda: socket.getaddrinfo("localhost", 80),
            lambda: socket.gethostbyname("localhost"),
        ):
            try:
                attempt()
            except PermissionError:
                print("refused")
        print(bool(socket.gethostname()))
        """),
        encoding="utf-8",
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, script, port], capture_output=True, text=True, env=environment, check=True
        )
    assert done.stdout.split() == ["refused"] * 4 + ["True"]


def test_secrets_of_the_environment_stay_outside(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "hf_canary0123456789"
    for name in ("HF_TOKEN", "MBOM_KEY_PASSWORD", "AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP", "LD_PRELOAD"):
        monkeypatch.setenv(name, canary if name != "LD_PRELOAD" else "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    environment = probe("environment")
    assert isinstance(environment, dict)
    assert canary not in json.dumps(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    allowed = {*process.PASSED_ON, *process.FIXED, "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    assert set(environment) <= allowed | {"XDG_DATA_HOME", "PYTHONPATH"}


def test_open_files_stay_outside(probe: Probe, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    with secret.open(encoding="utf-8") as file:
        os.set_inheritable(file.fileno(), True)
        found = probe("descriptors")
    assert isinstance(found, dict)
    assert str(secret) not in found.values()
    numbers = {name for name, target in found.items() if not str(target).endswith("/fd")}
    assert len(numbers) == 4  # standard input, output and error, and the pipe


def test_the_home_is_private_and_gone_afterwards(probe: Probe) -> None:
    place = probe("place")
    assert isinstance(place, dict)
    assert place["cwd"] == place["home"]
    assert not Path(str(place["home"])).exists()
    assert place["session"] == place["pid"]
    assert place["uid"] == os.getuid()
    assert place["core"] == 0


def test_neither_the_working_folder_nor_the_package_folder_is_imported_from(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    place = probe("place")
    assert isinstance(place, dict)
    paths = cast("list[str]", place["path"])
    assert str(tmp_path) not in paths
    assert place["cwd"] not in paths
    assert str(Path(process.__file__).parent) not in paths
    assert "" not in paths


def test_privileges_cannot_be_gained(probe: Probe) -> None:
    status = probe("status")
    assert isinstance(status, dict)
    assert status["NoNewPrivs"] == "1"


@pytest.mark.parametrize("kind", [ChangedError, FormatError, SourceError, EngineError])
def test_errors_come_back_as_the_class_they_were(probe: Probe, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="layer 3 is odd") as caught:
        probe("refuse", kind=kind.__name__, message="layer 3 is odd \x1b[31m")
    assert type(caught.value) is kind
    assert "\x1b" not in str(caught.value)


def test_a_bug_in_the_task_is_an_engine_error_with_the_last_words(probe: Probe) -> None:
    with pytest.raises(EngineError, match=r"ended with status 1 .*KeyError.*a bug") as caught:
        probe("bug")
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)


@pytest.mark.parametrize(
    ("do", "request_", "limits", "message"),
    [
        ("long_bug", {}, Limits(), "ended with status 1 and without a result; it said: xxx"),
        ("close_pipe", {}, Limits(), "did not end when it was done"),
        ("leave", {"status": 0}, Limits(), "ended with status 0 and without a result"),
        ("leave", {"status": 3}, Limits(), "ended with status 3 and without a result"),
        ("kill", {"signal": int(signal.SIGKILL)}, Limits(), "was killed, most likely because the machine ran out"),
        ("kill", {"signal": int(signal.SIGTERM)}, Limits(), "was ended by SIGTERM"),
        ("kill", {"signal": int(signal.SIGRTMIN) + 3}, Limits(), "was ended by signal"),
        ("crash", {}, Limits(), "was ended by SIGSEGV"),
        ("spin", {}, Limits(cpu_seconds=1), "used up its processor time of 1 s"),
        ("sleep", {}, Limits(wall_seconds=0.5), "took more than 0.5 s"),
        ("flood", {}, Limits(wall_seconds=0.5), "took more than 0.5 s"),
        ("hoard", {"size": 1 << 30}, Limits(address_space_bytes=256 << 20), "out of memory"),
        (
            "hoard_in_torch",
            {"size": 3 << 30},
            Limits(address_space_bytes=2 << 30),
            r"^out of memory while 3\.22 GB more were wanted; this process may take 2\.\d GB of address space$",
        ),
        ("hoard_and_hide", {"size": 3 << 30}, Limits(address_space_bytes=2 << 30), "^out of memory while 3.22 GB"),
        ("hoard_in_cpp", {"size": 1 << 30}, Limits(address_space_bytes=256 << 20), "ran out of memory; .*bad_alloc"),
        ("threads", {"count": 100}, Limits(address_space_bytes=256 << 20), "^out of memory"),
        ("full", {}, Limits(), "^reading or writing failed: No space left on device$"),
        ("deep", {}, Limits(), "without a result; it said: KeyError: 'nothing'\nTraceback"),
        ("write", {"size": 2 << 20}, Limits(file_bytes=1 << 20), "File too large"),
        ("long", {"size": 200_000}, Limits(result_bytes=100_000), "more than 100000 bytes"),
        ("long_report", {"size": 70_000}, Limits(), "the limit is 65536"),
        ("noise", {}, Limits(), "ended with status 7 .*xxxthe end$"),
        ("raw", {"text": "nonsense\n"}, Limits(), "broken protocol: .*not JSON"),
        ("raw", {"text": '{"result": 1'}, Limits(), "without a result"),
        ("raw", {"text": '{"result": 1}\n{"result": 2}\n'}, Limits(), "went on after its last message"),
        ("raw", {"text": '{"result": 1, "result": 2}\n'}, Limits(), "twice"),
        ("raw", {"text": '{"result": 1, "more": 2}\n'}, Limits(), "unknown member 'more'"),
        ("raw", {"text": '{"result": NaN}\n'}, Limits(), "NaN is not JSON"),
        ("raw", {"text": "[]\n"}, Limits(), "an array where an object belongs"),
        ("raw", {"text": '{"other": 1}\n'}, Limits(), "'result' is missing"),
        ("raw", {"text": '{"error": {"kind": "SystemExit", "message": ""}}\n'}, Limits(), "no class of error"),
        ("raw", {"text": '{"error": {"kind": "sha256", "message": ""}}\n'}, Limits(), "no class of error"),
        ("raw", {"text": "[" * 200_000 + "\n"}, Limits(), "nested deeper"),
    ],
)
def test_whatever_goes_wrong_is_an_engine_error_that_says_so(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, *, do: str, request_: dict[str, Json], limits: Limits, message: str
) -> None:
    monkeypatch.setattr(process, "EXIT_SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(EngineError, match=message):
        probe(do, limits=limits, **request_)
    assert time.monotonic() - started < 20


def test_a_traceback_is_kept_for_whoever_asks_and_out_of_the_sentence(probe: Probe) -> None:
    with pytest.raises(EngineError) as caught:
        probe("bug")
    assert "Traceback" not in str(caught.value)
    assert "File" not in str(caught.value)
    assert ["Traceback (most recent call last):" in note for note in caught.value.__notes__] == [True]
    assert "\x1b" not in caught.value.__notes__[0]


def test_when_memory_runs_out_the_kernel_ends_the_child_and_not_its_parent(probe: Probe) -> None:
    assert probe("score") == 1000
    assert int(Path("/proc/self/oom_score_adj").read_text(encoding="ascii")) < 1000


def test_a_thread_that_goes_on_does_not_hold_up_a_result(probe: Probe) -> None:
    started = time.monotonic()
    assert probe("linger") == "done"
    assert time.monotonic() - started < 10


def test_a_result_of_exactly_the_limit_is_taken(probe: Probe) -> None:
    envelope = len(json.dumps({"result": ""}))
    assert probe("long", size=100_000 - envelope, limits=Limits(result_bytes=100_000)) == "x" * (100_000 - envelope)


def test_a_child_that_ran_out_of_time_takes_its_own_children_along(probe: Probe) -> None:
    seen: list[Json] = []
    with pytest.raises(EngineError, match="took more than"):
        probe("descendants", limits=Limits(wall_seconds=2.0), progress=seen.append)
    assert len(seen) == 1
    assert gone_soon(cast("int", seen[0]))


def test_an_error_in_the_progress_callback_ends_the_child(probe: Probe) -> None:
    seen: list[Json] = []

    def fail(report: Json) -> None:
        seen.append(report)
        raise FormatError("of the caller's own")

    with pytest.raises(FormatError, match="of the caller's own"):
        probe("sleep", progress=fail)
    assert gone_soon(cast("int", seen[0]))


def test_an_interrupt_ends_the_child_and_goes_on_upwards(probe: Probe) -> None:
    seen: list[Json] = []

    def interrupt(report: Json) -> None:
        seen.append(report)
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        probe("sleep", progress=interrupt)
    assert gone_soon(cast("int", seen[0]))


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "mbom_probe.py").write_text(PROBE, encoding="utf-8")
    program = textwrap.dedent("""
        from mbom.engine.process import Limits, run_module
        run_module("mbom_probe", {"do": "sleep"}, name="probe", limits=Limits(),
                   progress=lambda pid: print(pid, flush=True))
    """)
    # The killed parent cannot remove the child's home.
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        parent.wait()
        assert gone_soon(child)


def test_an_interpreter_that_cannot_start_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(EngineError, match="cannot start a process of /nonexistent/python"):
        run_module("json", {}, name="probe", limits=Limits())


def test_no_descriptor_is_left_open_by_success_or_failure(probe: Probe) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    probe("echo")
    with pytest.raises(EngineError):
        probe("leave", status=1)
    with pytest.raises(EngineError):
        probe("sleep", limits=Limits(wall_seconds=0.3))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_text_for_messages_has_no_characters_that_a_terminal_obeys() -> None:
    assert one_line("a\n\n b\t\x1b[31m\u202e\x9b é") == "a | b\\t\\x1b[31m\\u202e\\x9b é"
