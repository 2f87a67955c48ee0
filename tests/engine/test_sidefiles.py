import json
import math
import os
from pathlib import Path

import pytest
import tinymodels

from mbom.engine import sidefiles
from mbom.errors import EngineError, FormatError


def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(FormatError, match=r"config\.json: not an object"):
        sidefiles.configuration({"config.json": tmp_path / "config.json"}, tinymodels.inventory(tmp_path))


def test_an_infinite_limit_in_a_configuration_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"time_step_limit": [0.0, Infinity]}')
    files = {"config.json": tmp_path / "config.json"}
    assert sidefiles.configuration(files, tinymodels.inventory(tmp_path)) == {"time_step_limit": [0.0, math.inf]}


def vocabulary(model: tinymodels.TinyModel) -> int:
    (model.folder / "config.json").write_text(json.dumps(model.config))
    return sidefiles.vocabulary(model.files, model.inventory())


def test_the_vocabulary_of_a_composite_is_that_of_its_text_model(tmp_path: Path) -> None:
    model = tinymodels.build("gemma3", tmp_path)
    model.config["vocab_size"] = 7
    assert vocabulary(model) == 256


def test_a_vocabulary_that_is_left_to_the_class_is_read_off_the_embedding(tmp_path: Path) -> None:
    model = tinymodels.build("mistral3", tmp_path)
    del model.config["text_config"]["vocab_size"]
    assert vocabulary(model) == 256


@pytest.mark.parametrize("size", [None, 0, True, "256"])
def test_a_vocabulary_that_is_no_number_is_refused(size: object, tmp_path: Path) -> None:
    model = tinymodels.build("llama", tmp_path)
    model.config["vocab_size"] = size
    with pytest.raises(FormatError, match=f"vocab_size is {size!r}"):
        vocabulary(model)


def test_a_file_over_its_limit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert sidefiles.content(tmp_path / "file", 5) == b"12345"
    with pytest.raises(FormatError, match="file: larger than 4 bytes"):
        sidefiles.content(tmp_path / "file", 4)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(EngineError, match="link: cannot be read"):
        sidefiles.content(tmp_path / "link", 10)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="file: cannot be read: No such file"):
        sidefiles.content(tmp_path / "file", 10)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EngineError, match="pipe: not a regular file"):
        sidefiles.content(tmp_path / "pipe", 10)
