"""The measurement itself, as its process is held: no network in either mode, memory, time, and causes in words."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import cast

import pytest
import tinymodels
from tinymodels import TinyModel

from mbom import engine
from mbom.behaviour.prompts import seeded
from mbom.behaviour.record import Record
from mbom.engine import budget
from mbom.engine.process import Limits, run_module
from mbom.errors import EngineError
from mbom.inventory.record import FileRecord, Inventory, TensorRecord
from mbom.source import Origin
from mbom.strictjson import Json

# The measure task, in the middle of which somebody tries to reach a server: through Python, and below it.
SPY = """
import ctypes, os, socket, sys
from mbom.engine import run

def in_child(request, emit):
    port, seen = request.pop("port"), []
    def spy(report):
        seen.append([in_python(port), in_c(port)])
    run.in_child(request, spy)
    return {"isolation": request["isolation"], "seen": seen}

def in_python(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError as error:
        return type(error).__name__
    return "connected"

def in_c(port):
    libc = ctypes.CDLL(None, use_errno=True)
    address = (2).to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    descriptor = libc.socket(2, 1, 0)
    return "connected" if libc.connect(descriptor, address, 16) == 0 else os.strerror(ctypes.get_errno())
"""

# Refuses namespaces to this process and its children as a hardened system does, by a filter in the kernel.
NO_NAMESPACES = """
import ctypes, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
unshare = {"x86_64": 272, "aarch64": 97}[__import__("platform").machine()]
steps = [
    (0x20, 0, 0, 0),           # load the number of the system call
    (0x15, 0, 1, unshare),     # if it is unshare
    (0x06, 0, 0, 0x00050001),  # fail with EPERM
    (0x06, 0, 0, 0x7FFF0000),  # else allow
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(steps), ctypes.cast(code, ctypes.c_void_p))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()
"""


def request_for(model: TinyModel, folder: Path) -> dict[str, Json]:
    (folder / "inventory.json").write_bytes(model.inventory().to_bytes())
    return {
        "files": {name: str(path) for name, path in model.files.items()},
        "inventory": str(folder / "inventory.json"),
        "prompts": [engine._entry(prompt) for prompt in seeded(256)],
        "challenge": None,
        "sensitivity": 0,
        "state": None,
        "device": "cpu",
        "json": str(folder / "behaviour.json"),
        "safetensors": str(folder / "behaviour.safetensors"),
    }


def test_a_measurement_reaches_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mbom_spy.py").write_text(SPY, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    request = request_for(tinymodels.build("llama", tmp_path / "model"), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        request["port"] = server.getsockname()[1]
        found = run_module("mbom_spy", request, name="measure", limits=Limits(wall_seconds=120))
    assert isinstance(found, dict)
    seen = cast("list[list[str]]", found["seen"])
    assert len(seen) >= 6
    assert {python for python, _ in seen} == {"PermissionError"}
    if cast("list[str]", found["isolation"])[0] == "network-namespace":
        assert {below for _, below in seen} == {"Network is unreachable"}


def test_where_namespaces_are_refused_the_guard_holds_and_the_record_says_so(tmp_path: Path) -> None:
    (tmp_path / "mbom_spy.py").write_text(SPY, encoding="utf-8")
    request = request_for(tinymodels.build("llama", tmp_path / "model"), tmp_path)
    program = NO_NAMESPACES + textwrap.dedent("""
        import json
        from mbom.engine.process import Limits, run_module
        request = json.load(sys.stdin)
        print(json.dumps(run_module("mbom_spy", request, name="measure", limits=Limits(wall_seconds=120))))
    """)
    with socket.create_server(("127.0.0.1", 0)) as server:
        request["port"] = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["isolation"][0] == "socket-guard"
    assert {python for python, _ in found["seen"]} == {"PermissionError"}
    record = Record.from_bytes(
        (tmp_path / "behaviour.json").read_bytes(), (tmp_path / "behaviour.safetensors").read_bytes()
    )
    assert record.runtime.isolation == tuple(found["isolation"])


def test_a_checkpoint_that_no_machine_can_hold_is_refused_before_it_is_read(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    config = next(file for file in model.inventory().files if file.name == "config.json")
    side = 1 << 20
    shard = tmp_path / "model.safetensors"
    with shard.open("r+b") as file:
        file.truncate(8 + 2 * side * side)  # two terabytes, none of which takes room
    giant = TensorRecord(
        name="model.layers.0.mlp.up_proj.weight", file=shard.name, dtype="BF16", shape=(side, side), start=8,
        end=8 + 2 * side * side, blake3="0" * 64,
    )  # fmt: skip
    weights = FileRecord(name=shard.name, size=giant.end, sha256="0" * 64, role="weights")
    inventory = Inventory(origin=Origin(kind="folder", name="model"), files=(config, weights), tensors=(giant,))
    with pytest.raises(EngineError, match=r"^out of memory: .* needs about \d{5}\.\d GB, .* GB are available here"):
        engine.run_prompts(model.files, inventory, seeded(256), device="cpu", progress=None)


def test_a_configuration_that_eats_memory_is_stopped_by_what_its_tensors_bear_out(tmp_path: Path) -> None:
    """Rotary frequencies are computed while the model is built, for as many dimensions as the configuration says."""
    model = tinymodels.build("llama", tmp_path)
    path = model.files["config.json"]
    config = json.loads(path.read_bytes())
    path.write_text(json.dumps({**config, "head_dim": 1 << 33, "rope_scaling": None}), encoding="utf-8")
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"^out of memory while \d\d\.\d GB more were wanted; this process may take"):
        engine.run_prompts(model.files, model.inventory(), seeded(256), device="cpu", progress=None)
    assert time.monotonic() - started < 60


def test_processor_time_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "START_SECONDS", 0)  # importing torch takes more than what the tiny model leaves
    model = tinymodels.build("llama", tmp_path)
    with pytest.raises(EngineError, match=r"the measure process used up its processor time of [12] s"):
        engine.run_prompts(model.files, model.inventory(), seeded(256), device="cpu", progress=None)


def test_a_time_limit_ends_a_measurement(tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    with pytest.raises(EngineError, match=r"the measure process took more than 0\.5 s, its time limit"):
        engine.run_prompts(model.files, model.inventory(), seeded(256), device="cpu", progress=None, time_limit=0.5)
