"""The bytes of a lock file: one way to write it, and every other one refused with the line or the model named."""

import contextlib
import random
import tomllib
from collections.abc import Callable
from datetime import date, datetime

import pytest
from lockfiles import FOLDER, KEY, PINNED, but, lock

from mbom.errors import FormatError
from mbom.lockfile import Entry, Lock
from mbom.lockfile.entry import LIST_LIMIT, NAME_LIMIT, TEXT_LIMIT
from mbom.lockfile.lock import MODELS_LIMIT, SIZE_LIMIT
from mbom.signing import Signatory

BOTH = lock(PINNED, FOLDER)
TEXT = BOTH.to_bytes()

AWKWARD = but(
    FOLDER,
    name="awkward",
    licence=tuple(sorted(['a \\ "quoted" [word] {with} # brackets', "it's", "日本語", "]]", "[[model]]"])),
    signer=Signatory(certificate='O="Example" [1], CN={x}'),
    bundle="a folder/with [brackets] & “quotes”.zip",
)


@pytest.mark.parametrize("held", [Lock(), BOTH, lock(AWKWARD), lock(PINNED, AWKWARD, FOLDER)])
def test_what_is_written_is_read_again(held: Lock) -> None:
    assert Lock.from_bytes(held.to_bytes()) == held
    assert Lock.from_bytes(held.to_bytes()).to_bytes() == held.to_bytes()


@pytest.mark.parametrize("entry", [PINNED, FOLDER, AWKWARD, but(FOLDER, licence=("\x7e", "é"), date=date(1, 2, 3))])
def test_the_file_means_to_a_toml_reader_what_it_means_here(entry: Entry) -> None:
    held = lock(entry)
    (table,) = tomllib.loads(held.to_bytes().decode())["model"]
    told = {key: getattr(entry, key) for key in table}
    told["signer"] = told["signer"].to_dict()
    assert table == {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}
    assert {"repo", "revision"} - table.keys() == ({"repo", "revision"} if told.get("repo") is None else set())


def test_the_file_is_one_key_a_line_and_says_who_writes_it() -> None:
    lines = TEXT.decode().split("\n")
    assert lines[0].startswith("# The models that this repository uses")
    assert "`mbom lock add`" in lines[1]
    assert lines[2:6] == ["version = 1", "", "[[model]]", 'name = "mine"']
    assert lines[-1] == ""
    assert b"\r" not in TEXT


def test_lines_are_where_they_are_said_to_be() -> None:
    held = lock(PINNED, AWKWARD, FOLDER)
    lines = held.to_bytes().decode().splitlines()
    for entry in held.entries:
        line = held.line_of(entry.name)
        assert line is not None
        assert lines[line - 1] == f'name = "{entry.name}"'
        date_line = held.line_of(entry.name, "date")
        assert date_line is not None
        assert lines[date_line - 1] == "date = 2026-11-21"
        assert (held.line_of(entry.name, "revision") is None) == (entry.revision is None)
    assert held.line_of("nobody") is None


def edit(old: str, new: str) -> Callable[[], bytes]:
    """Replace the first place of the file."""

    def edited() -> bytes:
        assert old.encode() in TEXT, old
        return TEXT.replace(old.encode(), new.encode(), 1)

    return edited


NAME = 'name = "mine"'
LONG = "x" * (TEXT_LIMIT + 1)
PATH = 'bundle = "mine.mbom"'

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing at all": (lambda: b"", "version is None"),
    "a version to come": (edit("version = 1", "version = 2"), "version is 2, this mbom reads version 1"),
    "a version that is true": (edit("version = 1", "version = true"), "version is True"),
    "another comment": (edit("verified by.", "verified by!"), "line 1 is .* where `mbom lock` writes"),
    "a comment more": (edit(NAME, f"# reviewed\n{NAME}"), "line 6 is '# reviewed'"),
    "an unknown key": (edit(NAME, f'{NAME}\ntrusted = "yes"'), "mine: unknown key 'trusted'; allowed are name, repo"),
    "an unknown key at the top": (edit("version = 1", 'version = 1\npolicy = "x"'), "unknown key 'policy'"),
    "models that are text": (lambda: TEXT.partition(b"\n\n")[0] + b'\nmodel = "x"\n', "'model' must be written as"),
    "a key that is missing": (edit('verdict = "verified"\n', ""), "mine: 'verdict' is missing"),
    "a key twice": (edit(NAME, f"{NAME}\n{NAME}"), "not TOML: .*Cannot overwrite"),
    "a verdict that is none": (edit('"verified"', '"refused"'), "mine: 'verdict' is 'refused', it must be 'verified'"),
    "text in place of an array": (edit('["Apache-2.0"]', '"Apache-2.0"'), "'licence' must be an array of texts"),
    "a number in an array": (edit('["Apache-2.0"]', '["Apache-2.0", 3]'), "'licence' must be an array of texts"),
    "a name that is a number": (edit(NAME, "name = 7"), "model 1: 'name' is 7, it must be text"),
    "a name that is a pattern": (edit(NAME, 'name = "*"'), r"model 1: 'name' is '\*', it must be org/name"),
    "a name of three parts": (edit(NAME, 'name = "a/b/c"'), "'name' is 'a/b/c'"),
    "a name that climbs": (edit(NAME, 'name = "../x"'), r"'name' is '\.\./x'"),
    "a name with a look-alike": (edit(NAME, 'name = "ореnai/x"'), r"model 1: 'name' is '\\u043e"),
    "a name that is too long": (edit(NAME, f'name = "{"x" * (NAME_LIMIT + 1)}"'), "'name' is 'xxx"),
    "a name with an escape": (edit(NAME, 'name = "mi\\u001b[2Jne"'), r"'name' is 'mi\\x1b\[2Jne': it holds a char"),
    "a name that reorders": (edit(NAME, 'name = "mi\u202ene"'), "holds a character that cannot be seen"),
    "an empty name": (edit(NAME, 'name = ""'), "'name' has 0 characters"),
    "a name of another repository": (
        edit('name = "openai/gpt-oss-20b"', 'name = "openai/gpt-oss-21b"'), "the name of another repository than 'repo'"
    ),
    "a repository without a revision": (edit(f'revision = "{"6c" * 20}"\n', ""), "belong together, one is missing"),
    "a revision that is a branch": (edit("6c" * 20, "main"), "'revision' is 'main', it must be 40"),
    "a digest in capitals": (edit("1a" * 32, "1A" * 32), "'digest' is '1A1A.*64 lower-case"),
    "a digest that is short": (edit("2b" * 32, "2b" * 31), "'bundle_digest' is .*64 lower-case"),
    "a path that climbs": (edit(PATH, 'bundle = "../mine.mbom"'), "steps through.*below the folder of the lock file"),
    "a path from the root": (edit(PATH, 'bundle = "/etc/passwd"'), "absolute"),
    "a path of Windows": (edit(PATH, "bundle = 'C:\\mine.mbom'"), "backslash"),
    "a path with a control character": (edit(PATH, 'bundle = "a\\nb"'), "cannot be seen"),
    "a path that is too long": (edit(PATH, f'bundle = "{"x/" * 600}x"'), "'bundle' has 1201 characters, at most 1024"),
    "a URL": (edit(PATH, 'bundle = "https://example.org/x"'), "not a plain relative path"),
    "a signer of two kinds": (
        edit(f'key = "{KEY.key}"', f'key = "{KEY.key}", identity = "x"'), "'signer': unknown key 'identity'"
    ),
    "an identity without an issuer": (
        edit(', issuer = "https://accounts.example.org"', ""), "'signer': 'issuer' is missing"
    ),
    "a signer that is text": (edit(f'{{ key = "{KEY.key}" }}', '"me"'), "'signer' is 'me', it must be a table"),
    "a fingerprint of another form": (edit(str(KEY.key), "MD5:00"), "'key' is 'MD5:00', it must be SHA256:"),
    "an endless identity": (edit("release@example.org", LONG), "'identity' has 2049 characters"),
    "licences in disorder": (edit('["Apache-2.0"]', '["b", "a"]'), "'licence' must be sorted"),
    "a licence twice": (edit('["Apache-2.0"]', '["a", "a"]'), "'licence' must be sorted and name nothing twice"),
    "endless licences": (
        edit('["Apache-2.0"]', "[" + ", ".join(f'"{n:04}"' for n in range(LIST_LIMIT + 1)) + "]"), "101 items"
    ),
    "a restriction that is none": (edit("restrictions = []", 'restrictions = ["No Use"]'), "'restrictions' holds 'No"),
    "a step that is none": (edit('"evidence"]', '"magic"]'), "'checked' names 'magic'; the steps are bundle, sig"),
    "steps in disorder": (edit('"bundle", "signature"', '"signature", "bundle"'), "steps in their order"),
    "no steps": (edit('["bundle", "signature", "evidence"]', "[]"), "at least one"),
    "a time in place of a date": (edit("2026-11-21", "2026-11-21T10:00:00Z"), "'date' is .* it must be a date such"),
    "a day that no month has": (edit("2026-11-21", "2026-11-31"), "not TOML"),
    "a date that is text": (edit("2026-11-21", '"2026-11-21"'), "'date' is '2026-11-21', it must be a date"),
    "models in disorder": (lambda: lock(PINNED).to_bytes() + lock(FOLDER).to_bytes().partition(b"1\n")[2],
                           "mine follows openai/gpt-oss-20b; models are sorted"),
    "a model twice": (lambda: lock(FOLDER).to_bytes() + lock(FOLDER).to_bytes().partition(b"1\n")[2],
                      "mine is there twice; remove one"),
    "two names that differ in case": (
        lambda: lock(FOLDER, but(FOLDER, name="Mime")).to_bytes().replace(b"Mime", b"Mine"), "Mine and mine differ in"
    ),
    "carriage returns": (lambda: TEXT.replace(b"\n", b"\r\n"), "lines end with carriage returns"),
    "no line feed at the end": (lambda: TEXT[:-1], "line 30 is the end of the file"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + TEXT, "line 1 is '.ufeff# The"),
    "not UTF-8": (lambda: TEXT + b"\xff", f"not UTF-8 at byte {len(TEXT)}"),
    "a merge left over": (
        lambda: TEXT.replace(b"[[model]]", b"<<<<<<< HEAD\n[[model]]", 1), "line 5 is of a merge that has not been"
    ),
    "a table in a table": (edit("version = 1", "version = 1\n\n[model.x]"), "which is no line of a lock file"),
    "a dotted key": (edit(NAME, f"{NAME}\nsigner.key = 1"), "which is no line of a lock file"),
    "text over several lines": (
        edit(NAME, 'name = """mine\n[[model]]\nname = "other"\n"""'), "which is no line of a lock file"
    ),
    "a string of another spelling": (edit(NAME, "name = 'mine'"), "line 6 is .*where `mbom lock` writes"),
    "another width": (edit(NAME, 'name =  "mine"'), "line 6 is"),
    "an escape where none is needed": (edit(NAME, 'name = "m\\u0069ne"'), "line 6 is"),
    "nests": (edit("version = 1", f"version = {'[' * 5000}"), "which is no line of a lock file"),
    "nests over lines": (edit("version = 1", "version = 1\n" + "x = [\n" * 5000), "which is no line of a lock file"),
    "a value over lines": (edit('["Apache-2.0"]', '[\n"Apache-2.0"]'), "which is no line of a lock file"),
    "an endless line": (edit(NAME, f"# {'x' * 70_000}\n{NAME}"), "which is no line of a lock file"),
    "an endless file": (lambda: b"#" * (SIZE_LIMIT + 1), f"the limit is {SIZE_LIMIT}"),
    "endless models": (
        lambda: b"".join([TEXT[: TEXT.index(b"\n[[")], *(
            lock(but(FOLDER, name=f"m{n:05}")).to_bytes().partition(b"1\n")[2] for n in range(MODELS_LIMIT + 1)
        )]), "2001 models, at most 2000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_and_named(case: str) -> None:
    made, sentence = REFUSED[case]
    with pytest.raises(FormatError, match=sentence) as caught:
        Lock.from_bytes(made(), what="models.lock")
    assert str(caught.value).startswith("models.lock: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_lock_of_names_in_disorder_cannot_be_made() -> None:
    with pytest.raises(FormatError, match="mine follows openai"):
        Lock(entries=(PINNED, FOLDER))


def test_entries_go_in_and_out_by_name() -> None:
    held = Lock().with_entry(PINNED).with_entry(FOLDER)
    assert held == BOTH
    assert held.get("mine") == FOLDER
    moved = but(FOLDER, bundle="x.zip")
    assert held.with_entry(moved).get("mine") == moved
    assert held.without("mine") == lock(PINNED)
    assert held.without("mine").get("mine") is None


@pytest.mark.parametrize("seed", range(4))
def test_bytes_that_were_bent_are_refused_or_say_the_same_in_canonical_form(seed: int) -> None:
    """Whatever is read is what would be written: nothing hides beside it."""
    rng = random.Random(seed)
    read = 0
    for _ in range(400):
        data = bytearray(TEXT)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[at] = rng.choice(b"\n\"\\[]{}=# '\x00\xff0aA")
                case 1:
                    del data[at : at + rng.randint(1, 40)]
                case 2:
                    data[at:at] = data[rng.randrange(len(data)) :][: rng.randint(1, 60)]
                case _:
                    data[at] ^= 1 << rng.randrange(8)
        with contextlib.suppress(FormatError):
            assert Lock.from_bytes(bytes(data)).to_bytes() == bytes(data)
            read += 1
    assert read  # a letter of an identity, a digit of a digest


def test_a_date_is_no_time() -> None:
    held = lock(but(FOLDER, date=datetime(2026, 11, 21, 10, 0, 0)))  # noqa: DTZ001  # TOML's local time
    with pytest.raises(FormatError, match="'date' is"):
        Lock.from_bytes(held.to_bytes())
