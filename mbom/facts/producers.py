"""Who stands behind a publisher's account: a legal entity and its country, from a dated and sourced table.

The hub knows accounts, procurement rules ask for companies and countries. ``producers.json`` holds what is publicly
stated of well-known accounts; an account that it does not hold is unknown, and nothing is guessed from a name. Users
extend or override it by a file of the same form, in JSON or YAML::

    schema: urn:mbom:producers:v1
    accounts:
      - account: acme-labs              # the account on the hub; letter case does not count
        entity: Acme Labs GmbH          # the legal entity
        country: DE                     # where that has its head office, ISO 3166-1 alpha-2
        website: https://acme.example   # optional
        source: https://acme.example/imprint
        reviewed: 2026-11-02            # the day the entry was last looked at
"""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from typing import cast

from mbom import strictjson
from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.facts import plainyaml
from mbom.strictjson import Fields, Json

SCHEMA = "urn:mbom:producers:v1"
BUILT_IN = "built in"  # the table of the package, as opposed to the digest of a file
FILE_LIMIT = 1 << 20  # bytes of a user's file; an entry takes about 250
ACCOUNTS_LIMIT = 5000
NAME_LIMIT = 200  # characters of an account or the name of a company
ADDRESS_LIMIT = 500  # characters

_TABLE = "producers.json"
_ACCOUNT = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,95}")
_PART = r"(?:[\w.~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"  # of an address: unreserved, delimiters, percent-encoded
_ADDRESS = re.compile(rf"https://[A-Za-z0-9.-]+(?:/{_PART})?(?:\?{_PART})?(?:#{_PART})?", re.ASCII)
_TABLE_NAME = re.compile(rf"{BUILT_IN}|sha256:[0-9a-f]{{64}}")

# ISO 3166-1 alpha-2, https://www.iso.org/obp/ui/#search/code/, 249 codes
_CODES = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())


@dataclass(frozen=True, kw_only=True)
class Producer:
    """Who stands behind an account, and who says so.

    Attributes:
        account: as the table spells it.
        entity: the legal entity.
        country: where that has its head office, ISO 3166-1 alpha-2.
        website: its address, where the table gives one.
        source: the address of a text that states entity or country.
        reviewed: the day the entry was last looked at, as ``2026-11-02``.
        table: ``BUILT_IN``, or ``sha256:`` and the digest of the user's file.
    """

    account: str
    entity: str
    country: str
    website: str | None
    source: str
    reviewed: str
    table: str = BUILT_IN

    @classmethod
    def from_fields(cls, fields: Fields, table: str) -> "Producer":
        """Read an entry strictly.

        Raises:
            FormatError: naming the entry and the first member that has not its form.
        """
        if _TABLE_NAME.fullmatch(table) is None:
            raise FormatError(f"{fields.what}: {table[:80]!r} names no table; it is {BUILT_IN!r} or a SHA-256")
        found = cls(
            account=_matching(fields, "account", _ACCOUNT, "the name of an account"),
            entity=_name(fields, "entity"),
            country=fields.text("country"),
            website=_address(fields, "website") if fields.has("website") else None,
            source=_address(fields, "source"),
            reviewed=_day(fields, "reviewed"),
            table=table,
        )
        if found.country not in COUNTRIES:
            raise FormatError(
                f"{fields.what}: {found.country[:80]!r} is no country; give its two letters by ISO 3166-1, such as GB"
            )
        fields.end()
        return found


@dataclass(frozen=True, kw_only=True)
class Producers:
    """A table of producers by account, in lower case: the hub does not tell accounts apart by letter case."""

    by_account: Mapping[str, Producer] = field(default_factory=dict)

    def of(self, account: str | None) -> Producer | None:
        """Return the producer behind an account, or None where the table does not hold it."""
        return self.by_account.get(account.lower()) if account is not None else None

    def among(self, accounts: Iterable[str | None]) -> tuple[Producer, ...]:
        """Return the producers behind those of the accounts that the table holds, each once, by account."""
        found = {producer.account.lower(): producer for name in accounts if (producer := self.of(name)) is not None}
        return tuple(found[account] for account in sorted(found))

    def extended(self, data: bytes, *, what: str) -> "Producers":
        """Return this table with the entries of a user's file, which go before its own.

        Raises:
            FormatError: when the file is not what the format says; ``what`` names it.
        """
        own = _entries(_document(data, what), what, f"sha256:{sha256(data)}")
        return Producers(by_account={**self.by_account, **own})


@functools.cache
def built_in() -> Producers:
    """Return the table of the package."""
    data = (files("mbom.facts") / _TABLE).read_bytes()
    return Producers(by_account=_entries(strictjson.loads(data, what=_TABLE), _TABLE, BUILT_IN))


def _document(data: bytes, what: str) -> Json:
    """Parse a file as JSON where it begins with a brace, else as YAML, in which every value is text."""
    if len(data) > FILE_LIMIT:
        raise FormatError(f"{what}: {len(data)} bytes, the limit is {FILE_LIMIT}")
    if data.lstrip().startswith(b"{"):
        return strictjson.loads(data, what=what)
    try:
        document, _ = plainyaml.parse(data.decode("utf-8"), what=what)
    except UnicodeDecodeError as error:
        raise FormatError(f"{what}: not UTF-8 at byte {error.start}") from error
    return cast("Json", document)


def _entries(document: Json, what: str, table: str) -> dict[str, Producer]:
    fields = Fields(document, what)
    fields.constant("schema", SCHEMA)
    listed = fields.objects("accounts")
    fields.end()
    if len(listed) > ACCOUNTS_LIMIT:
        raise FormatError(f"{what}: {len(listed)} accounts, the limit is {ACCOUNTS_LIMIT}")
    found: dict[str, Producer] = {}
    for entry in listed:
        producer = Producer.from_fields(entry, table)
        if producer.account.lower() in found:
            raise FormatError(f"{what}: the account {producer.account} is listed twice")
        found[producer.account.lower()] = producer
    return found


def _matching(fields: Fields, name: str, pattern: re.Pattern[str], wanted: str) -> str:
    value = fields.text(name)
    if pattern.fullmatch(value) is None:
        raise FormatError(f"{fields.what}: {name!r} is {value[:80]!r}, not {wanted}")
    return value


def _name(fields: Fields, name: str) -> str:
    value = fields.text(name)
    if not value.strip() or len(value) > NAME_LIMIT or not value.isprintable():
        raise FormatError(f"{fields.what}: {name!r} is {value[:80]!r}, not 1 to {NAME_LIMIT} printable characters")
    return value


def _address(fields: Fields, name: str) -> str:
    value = _matching(fields, name, _ADDRESS, "an address that begins with https://")
    if len(value) > ADDRESS_LIMIT:
        raise FormatError(f"{fields.what}: {name!r} has {len(value)} characters, the limit is {ADDRESS_LIMIT}")
    return value


def _day(fields: Fields, name: str) -> str:
    value = fields.text(name)
    try:
        proper = date.fromisoformat(value).isoformat() == value
    except ValueError:
        proper = False
    if not proper:
        raise FormatError(f"{fields.what}: {name!r} is {value[:80]!r}, not a day like 2026-11-02")
    return value
