"""What bytes may say: as their character set is declared, and as it is often meant.

Nothing is refused here: a letter that cannot be read is left out, and every reading is searched.
"""

from functools import lru_cache

# Defined terms of PS3.3 C.12.1.1.2, as Python calls them; the extensions of ISO 2022 begin with an escape sequence.
CODECS = {
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 203": "iso8859_15",
    "ISO_IR 166": "tis_620",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 58": "gb2312",
}
_ESCAPED = {
    b"(B": "latin-1",
    b"(J": "shift_jis",
    b")I": "shift_jis",
    b"$B": "iso2022_jp",
    b"$@": "iso2022_jp",
    b"$(D": "iso2022_jp_2",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
    b"-A": "latin-1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-L": "iso8859_5",
    b"-G": "iso8859_6",
    b"-F": "iso8859_7",
    b"-H": "iso8859_8",
    b"-M": "iso8859_9",
    b"-b": "iso8859_15",
    b"-T": "tis_620",
}
# What is tried where nothing, or something wrong, may be declared.
GUESSES = ("utf-8", "latin-1")
EVERY = tuple(dict.fromkeys((*GUESSES, *CODECS.values(), "cp1251", "koi8_r", "euc_jp", "big5")))


def readings(value: bytes, declared: str, guesses: tuple[str, ...] = GUESSES) -> tuple[str, ...]:
    """Different texts that `value` may be.

    declared  Specific Character Set, values separated by backslashes
    guesses   Python codecs that are tried besides
    """
    if value.isascii() and b"\x1b" not in value:
        return (value.decode("ascii"),)
    texts = [_escaped(value, _codec(declared))]
    for codec in guesses if b"\x1b" not in value else ():
        try:
            texts.append(value.decode(codec, "strict" if codec == "utf-8" else "ignore"))
        except UnicodeDecodeError:  # valid UTF-8 is hardly ever anything else, and nothing else is hardly ever valid
            continue
    return tuple(dict.fromkeys(texts))


@lru_cache(256)
def _codec(declared: str) -> str:
    """That of the first value: those behind it come into force by escape sequences."""
    first = declared.strip("\0 ").split("\\")[0].strip().replace("ISO 2022 IR ", "ISO_IR ")
    return CODECS.get(first) or CODECS.get(first.replace("ISO_IR ", "ISO 2022 IR "), "latin-1")


def _escaped(value: bytes, codec: str) -> str:
    """ISO 2022: each part in the set that its escape sequence names, PS3.5 6.1.2.4."""
    first, *parts = value.split(b"\x1b")
    text = first.decode(codec, "replace")
    for part in parts:
        mark = next((mark for mark in (part[:3], part[:2]) if mark in _ESCAPED), b"")
        named = _ESCAPED.get(mark, codec)
        text += (b"\x1b" + part if named.startswith("iso2022") else part[len(mark) :]).decode(named, "replace")
    return text
