"""Looks for what was planted in what came out: at its place, and anywhere in the bytes, in many encodings."""

from collections.abc import Collection
from dataclasses import dataclass, field

from tests.deid import part10
from tests.deid.answer_key import Item

CODECS = (
    *("utf-8", "utf-16-le", "utf-16-be", "latin-1", "iso8859_2", "iso8859_5", "iso8859_6", "iso8859_7", "iso8859_8"),
    *("iso8859_9", "cp874", "koi8_r", "cp1251", "shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "gb18030", "big5"),
)


@dataclass(slots=True)
class Opened:
    """One output file, ready to be searched."""

    data: bytes
    values: dict[str, bytes] = field(default_factory=dict)
    hay: bytes = b""
    raw: bytes = b""

    @classmethod
    def of(cls, data: bytes) -> "Opened":
        whole, _ = part10.body(data)
        more = [part10.inflated(value) for _, _, value in part10.elements(data) if len(value) > 40]
        raw = b"\n".join([whole, *more])
        values: dict[str, bytes] = {}
        for place, _, value in part10.elements(data):
            values.setdefault(place, value)
        values["preamble"] = data[:128]
        return cls(data, values, raw.lower(), raw)


def spellings(token: str) -> set[bytes]:
    """The token's bytes in every encoding that can spell it, escape sequences aside, in lower case."""
    found = set()
    for codec in CODECS:
        for text in {token, token.lower(), token.upper()}:
            try:
                encoded = text.encode(codec)
            except UnicodeError:
                continue
            if codec == "iso2022_jp" and encoded[:1] == b"\x1b":
                encoded = encoded[3:-3]
            found.add(encoded.lower())
    return {spelled for spelled in found if len(spelled) >= 4}


def stands_at(opened: Opened, item: Item) -> bool:
    value = opened.values.get(item.place)
    if value is None:
        # A sequence that came out as bytes: its children are inside.
        value = opened.values.get(item.place.partition("[")[0])
    if value is None:
        return False
    lowered = value.lower()
    if item.kind == "value" and item.value.isdecimal() and len(value) == 2:
        return int(item.value).to_bytes(2, "little") == value or int(item.value).to_bytes(2, "big") == value
    return any(spelled in lowered for spelled in spellings(item.value) | {item.value.lower().encode()})


def stands_anywhere(opened: Opened, item: Item) -> bool:
    return any(spelled in opened.hay for spelled in spellings(item.value))


def leaks(opened: Opened, item: Item, options: Collection[str]) -> bool:
    """The planted value is still there although no option in force allows it."""
    if item.kind == "blob":
        return bytes.fromhex(item.value) in opened.raw
    if item.may_stay(options):
        # A date that was to be shifted is a leak where it still stands.
        moved = item.kind == "date" and not any(option in options for option in item.spared_by)
        return moved and stands_at(opened, item)
    if item.place == "anywhere":
        return stands_anywhere(opened, item)
    if item.kind == "value" or item.shared:
        return stands_at(opened, item)
    if item.kind == "date" and any(option.startswith("retain-longitudinal") for option in options):
        return stands_at(opened, item)  # a shifted date may happen to be another one's day
    return stands_anywhere(opened, item)


def kept(before: Opened, after: Opened, item: Item) -> bool:
    """What must stay stands unchanged at its place: the same value, padding and spelling of numbers aside."""
    old, new = before.values.get(item.place), after.values.get(item.place)
    if old is None or new is None:
        return False
    if item.kind == "word":
        return item.value.lower().encode() in new.lower()
    return old.rstrip(b" \0") == new.rstrip(b" \0") or old[::-1] == new or _numbers(old) == _numbers(new) is not None


def _numbers(value: bytes) -> list[float] | None:
    try:
        return [float(part) for part in value.decode("ascii").strip("\0 ").split("\\")]
    except (UnicodeError, ValueError):
        return None


def places(opened: Opened, item: Item) -> list[str]:
    """Where a survivor stands, for the report of a leak."""
    found = spellings(item.value)
    return [place for place, value in opened.values.items() if any(spelled in value.lower() for spelled in found)][:3]
