"""Names, links, kinds and sizes of files: what a file system can do to a reader."""

import os
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path

from hostilecheckpoints.case import (
    SHARDS,
    SINGLE_FILE,
    Build,
    Case,
    Scene,
    added,
    cases,
    error,
    refused,
    single,
    tensors,
    warning,
)
from mbom.tensorfile import dump

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 4976698672\n"
COMMIT = "0123456789" * 4


def named(name: str | bytes) -> Build:
    """Return what adds a file of any name."""

    def build(scene: Scene) -> None:
        path = os.path.join(os.fsencode(scene.folder), os.fsencode(name))  # noqa: PTH118 - names that are no text
        with open(path, "wb") as stream:
            stream.write(b"x")

    return build


def link(name: str, target: str) -> Build:
    return lambda scene: (scene.folder / name).symlink_to(target)


def linked_shard(scene: Scene) -> None:
    """Put a link to a file outside in the place of a shard."""
    outside = scene.folder.parent / "outside.safetensors"
    (scene.folder / SHARDS[0]).rename(outside)
    (scene.folder / SHARDS[0]).symlink_to(outside)


def fifo(scene: Scene) -> None:
    scene.remove("tokenizer.json")
    os.mkfifo(scene.folder / "tokenizer.json")


def listening(scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(scene.folder, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/agent")  # the paths of sockets are short
        os.close(here)


def hard_link(scene: Scene) -> None:
    os.link(scene.folder / SHARDS[0], scene.folder.parent / "kept.safetensors")


def hard_link_to_secret(scene: Scene) -> None:
    secret = scene.folder.parent / "secret"
    secret.write_text("password")
    os.link(secret, scene.folder / "notes.txt")


def sparse(scene: Scene) -> None:
    """Write a tensor of four terabytes that takes one block."""
    single(scene)
    header = b'{"a":{"dtype":"U8","shape":[4398046511104],"data_offsets":[0,4398046511104]}}'
    path = scene.write(SINGLE_FILE, len(header).to_bytes(8, "little") + header)
    os.truncate(path, 8 + len(header) + (1 << 42))


def sparse_side_file(scene: Scene) -> None:
    os.truncate(scene.write("config.json", "{}"), 1 << 41)


def unreadable(scene: Scene) -> None:
    (scene.folder / SHARDS[0]).chmod(0)


def unreadable_folder(scene: Scene) -> None:
    scene.write("extra/notes.txt", "x")
    (scene.folder / "extra").chmod(0)


def deep(scene: Scene) -> None:
    scene.write("/".join(["d"] * 40) + "/x", "x")


def replaced(name: str, content: str | bytes) -> Build:
    return added(name, content)


def cached(change: Callable[[Path, Path], None]) -> Build:
    """Return what turns the checkpoint into a snapshot of a cache, and then changes snapshot and blobs."""

    def build(scene: Scene) -> None:
        snapshot(scene)
        change(scene.folder, scene.folder.parents[1] / "blobs")

    return build


def snapshot(scene: Scene) -> None:
    """Move the files to the blobs of a cache, whose snapshot folder is the checkpoint's."""
    from mbom import digest

    blobs = scene.folder.parents[1] / "blobs"
    blobs.mkdir()
    for path in sorted(scene.folder.iterdir()):
        data = path.read_bytes()
        blob = blobs / (digest.sha256(data) if path.suffix == ".safetensors" else digest.git_blob(data))
        path.replace(blob)
        path.symlink_to(Path("../../blobs") / blob.name)


def leaving(folder: Path, _: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("../../../../../../etc/passwd")


def absolute(folder: Path, _: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/passwd")


def spoiled(folder: Path, _: Path) -> None:
    blob = (folder / SHARDS[0]).resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)


IN_CACHE = "in-cache"  # groups whose folder is a snapshot of a cache

CASES: list[Case] = [
    *refused("name", {
        "a line break": (named("a\nb"), 1, "control, formatting or undecodable"),
        "a carriage return": (named("a\rb"), 1, "control, formatting or undecodable"),
        "an escape sequence of terminals": (named("a\x1b[2Jb"), 1, "control, formatting or undecodable"),
        "a bidirectional override": (named("\u202egnp.sh"), 1, "control, formatting or undecodable"),
        "a zero-width space": (named("config\u200b.json"), 1, "control, formatting or undecodable"),
        "bytes that are not UTF-8": (named(b"model-\xff.safetensors"), 1, "control, formatting or undecodable"),
        "a backslash": (named("..\\evil.dll"), 1, "backslash"),
        "another composition": (named(unicodedata.normalize("NFD", "é.txt")), 1, "normal form C"),
        "two that differ in case": (
            lambda scene: (named("Notes.txt")(scene), named("notes.txt")(scene)), 1, "fold case"),
        "two that differ in a final sigma": (
            lambda scene: (named("σ.txt")(scene), named("ς.txt")(scene)), 1, "fold case"),
        "a device of Windows": (named("aux.json"), 1, "reserves for a device"),
        "a dot at its end": (named("config.json."), 1, "ends with a dot or a space"),
        "a space at its end": (named("config.json "), 1, "ends with a dot or a space"),
        "forty folders deep": (deep, 1, "levels deep"),
    }),
    *cases("name", {
        "a dash at its beginning": (named("-rf"), warning("name-option")),
        "an option of a command": (named("--output=evil"), warning("name-option")),
        "a dash at the beginning of a folder's": (added("--help/x.txt", "x"), warning("name-option")),
        "a Cyrillic letter in a Latin word": (named("c\u043enfig.json"), warning("name-lookalike")),
        "a Greek letter in a Latin word": (named("m\u03bfdel.txt"), warning("name-lookalike")),
        "wide letters": (named("\uff43onfig.txt"), warning("name-lookalike")),
        "what looks like a slash": (named("etc\u2215passwd"), warning("name-lookalike")),
        "another dash": (
            lambda scene: scene.write("model-00001\u2010of-00002.safetensors", dump(tensors())),
            warning("name-lookalike")),
        "a template in upper case": (
            added("Chat_Template.jinja", "x"), warning("name-lookalike")),
        "a configuration in upper case": (
            lambda scene: scene.write("Processor_Config.json", "{}"), warning("name-lookalike")),
    }),
    *refused("link", {
        "a link out of the folder": (link("passwd", "/etc/passwd"), 3, "a symbolic link"),
        "a link inside the folder": (link("config-2.json", "config.json"), 3, "a symbolic link"),
        "a link to itself": (link("loop", "loop"), 3, "a symbolic link"),
        "a link to a folder": (link("etc", "/etc"), 3, "a symbolic link"),
        "a link in the place of a shard": (linked_shard, 3, "a symbolic link"),
        "a named pipe": (fifo, 3, "a named pipe"),
        "a socket": (listening, 3, "a socket"),
        "an endless device": (link("weights.bin", "/dev/zero"), 3, "a symbolic link"),
    }),
    *refused(IN_CACHE, {
        "a link that leaves a cache": (cached(leaving), 1, "leaves the layout of the cache"),
        "an absolute link in a cache": (cached(absolute), 1, "leaves the layout of the cache"),
    }),
    *cases(IN_CACHE, {
        "a blob that is not what its name says": (cached(spoiled), error("digest-mismatch")),
    }),
    *cases("link", {
        "a shard that has another name elsewhere": (hard_link, warning("hard-link")),
        "a file of somebody else under a name of the checkpoint": (hard_link_to_secret, warning("hard-link")),
    }),
    *refused("size", {
        "four terabytes that take one block": (sparse, 1, "holes"),
        "a configuration of two terabytes": (sparse_side_file, 1, "holes"),
    }),
    Case(group="size", name="a shard that may not be read", build=unreadable, exit=3, message="cannot be opened",
         unprivileged=True),
    Case(group="size", name="a folder that may not be read", build=unreadable_folder, exit=3,
         message="cannot be read", unprivileged=True),
    *cases("download", {
        "a pointer in the place of a shard": (replaced(SHARDS[0], POINTER), error("lfs-pointer")),
        "a pointer in the place of the tokenizer": (
            replaced("tokenizer.json", POINTER), error("lfs-pointer") | warning("tokenizer-malformed")),
        "a page in the place of a shard": (
            replaced(SHARDS[0], "<!DOCTYPE html>\n<html><title>Sign in</title></html>"), error("html-page")),
        "a page behind white space": (replaced(SHARDS[0], "\n\n  <HTML><body>403"), error("html-page")),
        "an error of a store in the place of a shard": (
            replaced(SHARDS[0], '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'), error("html-page")),
        "an error of the hub in the place of a shard": (
            replaced(SHARDS[0], "Entry not found"), error("safetensors-malformed")),
        "an empty shard": (replaced(SHARDS[0], b""), error("safetensors-malformed")),
        "a shard of zeros": (replaced(SHARDS[0], bytes(4096)), error("safetensors-malformed")),
    }),
]  # fmt: skip
