"""Names and texts in the standard's character sets, rightly, wrongly and not declared."""

from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from tests.deid.sheet import Sheet
from tests.deid.table import expectations

# declared (0008,0005), script, Python codec of the bytes, wrong: the declaration does not fit the bytes
SETS: tuple[tuple[str, str, str, bool], ...] = (
    ("ISO_IR 100", "latin", "latin-1", False),
    ("ISO_IR 101", "latin2", "iso8859_2", False),
    ("ISO_IR 144", "cyrillic", "iso8859_5", False),
    ("ISO_IR 126", "greek", "iso8859_7", False),
    ("ISO_IR 127", "arabic", "iso8859_6", False),
    ("ISO_IR 138", "hebrew", "iso8859_8", False),
    ("ISO_IR 166", "thai", "cp874", False),
    ("ISO_IR 13", "katakana", "shift_jis", False),
    ("ISO_IR 192", "kanji", "utf-8", False),
    ("ISO_IR 192", "hangul", "utf-8", False),
    ("ISO_IR 192", "greek", "utf-8", False),
    ("GB18030", "chinese", "gb18030", False),
    ("GBK", "chinese", "gbk", False),
    ("\\ISO 2022 IR 87", "kanji", "iso2022_jp", False),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "kanji", "iso2022_jp", False),
    ("\\ISO 2022 IR 149", "hangul", "iso2022_kr", False),
    ("ISO 2022 IR 100\\ISO 2022 IR 144", "cyrillic", "iso2022_cyrillic", False),
    ("ISO_IR 100", "cyrillic", "utf-8", True),
    ("ISO_IR 192", "latin", "latin-1", True),
    ("ISO_IR 6", "kanji", "shift_jis", True),
    ("ISO_IR 101", "greek", "iso8859_7", True),
    ("NONSENSE 1", "hangul", "euc_kr", True),
    ("", "cyrillic", "cp1251", True),
    ("", "chinese", "gb18030", True),
)
# PN and texts, of the table and not of it.
PLACES = ((0x00100010, "PN"), (0x00080090, "PN"), (0x00104000, "LT"), (0x00081030, "LO"), (0x00080080, "LO"))
FREE_PLACES = ((0x00420010, "ST"), (0x00180024, "SH"), (0x00081F01, "LO"))


def spelled(text: str, codec: str) -> bytes:
    """The bytes of a text as the codec's name says; ISO 2022 with the escape sequences of PS3.5."""
    if codec == "iso2022_kr":
        return b"\x1b$)C" + text.encode("euc_kr")
    if codec == "iso2022_cyrillic":
        return b"\x1b-L" + text.encode("iso8859_5")
    return text.encode(codec)


def charset(sheet: Sheet, declared: str, script: str, codec: str) -> None:
    dataset = sheet.dataset
    if declared:
        dataset[0x00080005] = DataElement(Tag(0x00080005), "CS", declared.split("\\"))
    elif "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet
    for tag, vr in PLACES + FREE_PLACES:
        token = sheet.words.foreign(script)
        raw = spelled(token, codec)
        if vr == "PN":
            latin = sheet.words.word(4)
            raw = latin.encode() + b"^Q=" + raw + b"^" + spelled(sheet.words.foreign(script, 3), codec)
            sheet.expect("charset", f"{tag:08X}", "text", latin)
        raw += b" " * (len(raw) % 2)
        # As bytes under a byte-like representation, renamed when the file's bytes are there.
        dataset[tag] = DataElement(Tag(tag), "UN", raw)
        sheet.expect("charset", f"{tag:08X}", "text", token, encoding=codec, **expectations(tag))


def relabelled(data: bytes) -> bytes:
    """Gives the elements written as UN their own representation again (Explicit VR Little Endian)."""
    for tag, vr in PLACES + FREE_PLACES:
        head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + b"UN\0\0"
        at = data.find(head)
        if at < 0:
            continue
        length = int.from_bytes(data[at + 8 : at + 12], "little")
        value = data[at + 12 : at + 12 + length]
        data = data[:at] + head[:4] + vr.encode() + length.to_bytes(2, "little") + value + data[at + 12 + length :]
    return data
