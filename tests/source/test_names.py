import pytest

from mbom.errors import RefusedError
from mbom.source.names import (
    COMPONENT_LIMIT,
    COUNT_LIMIT,
    DEPTH_LIMIT,
    check_name,
    check_names,
    is_bookkeeping,
    is_repo,
)

HOSTILE = {
    "empty": "",
    "absolute": "/etc/passwd",
    "parent": "../config.json",
    "parent inside": "a/../../config.json",
    "dot": "./config.json",
    "double slash": "a//b",
    "trailing slash": "a/",
    "backslash": "a\\b",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "C1 control": "a\x85b",
    "right-to-left override": "model\u202egpj.safetensors",
    "isolate": "a\u2066b",
    "zero-width joiner": "config\u200d.json",
    "byte order mark": "\ufeffconfig.json",
    "line separator": "a\u2028b",
    "not UTF-8": "a\udcffb",
    "decomposed": "e\u0301cran.png",
    "Windows device": "sub/AUX.json",
    "numbered Windows device": "com1",
    "trailing dot": "config.json.",
    "trailing space": "sub /config.json",
    "long part": "a" * (COMPONENT_LIMIT + 1),
    "long part in bytes": "é" * (COMPONENT_LIMIT // 2 + 1),
    "deep": "/".join("a" * (DEPTH_LIMIT + 1)),
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_that_could_mean_another_file_is_refused(name: str) -> None:
    with pytest.raises(RefusedError, match="org/model: the file name") as caught:
        check_name(name, what="org/model")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "config.json", ".gitattributes", "model-00001-of-00163.safetensors", "original/consolidated.00.pth",
        "écran.png", "模型.bin", "console.log", "a b.txt", "a" * COMPONENT_LIMIT, "/".join("a" * DEPTH_LIMIT),
    ],
)  # fmt: skip
def test_a_name_as_real_repositories_have_them_is_accepted(name: str) -> None:
    check_names([name], what="org/model")


@pytest.mark.parametrize(("one", "other"), [("README.md", "readme.MD"), ("straße", "STRASSE"), ("A/b", "a/B")])
def test_names_that_are_one_file_where_case_is_folded_are_refused(one: str, other: str) -> None:
    with pytest.raises(RefusedError, match="are one file"):
        check_names([one, other], what="org/model")


@pytest.mark.parametrize("names", [["a", "a/b"], ["A/b/c", "a"], ["x", "a/b", "a/b/c/d"]])
def test_a_file_that_is_the_folder_of_another_is_refused(names: list[str]) -> None:
    with pytest.raises(RefusedError, match="also the folder of"):
        check_names(names, what="org/model")


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(RefusedError, match="are one file"):
        check_names(["config.json", "config.json"], what="org/model")


def test_the_number_of_files_is_limited() -> None:
    with pytest.raises(RefusedError, match=f"more than {COUNT_LIMIT} files"):
        check_names((str(n) for n in range(COUNT_LIMIT + 1)), what="org/model")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".git", True), (".git/config", True), (".cache/huggingface/download/x.metadata", True),
        (".gitattributes", False), (".github/workflows/x.yml", False), ("sub/.git/config", False),
        (".cache/other", False), (".cache/huggingface2/x", False),
    ],
)  # fmt: skip
def test_only_the_storage_of_git_and_of_the_hub_client_is_bookkeeping(name: str, *, expected: bool) -> None:
    assert is_bookkeeping(name) is expected


@pytest.mark.parametrize(
    "text", ["openai/gpt-oss-20b", "meta-llama/Llama-4-Scout-17B-16E", "a/b", "Org_1/x.y-z", "01-ai/Yi-1.5-6B"]
)
def test_a_repository_is_org_and_name(text: str) -> None:
    from huggingface_hub.utils._validators import validate_repo_id

    assert is_repo(text)
    validate_repo_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "gpt2", "a/b/c", "./b", "../b", "/a", "a/", "a/..", "a/b--c", "a--b/c", "-a/b", "a/b.", "a/b.git", "a b/c",
        "é/b", "a/b\n", "a/" + "b" * 97,
    ],
)  # fmt: skip
def test_what_is_no_repository_is_told_apart(text: str) -> None:
    assert not is_repo(text)
