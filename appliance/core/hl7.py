"""HL7 version 2 in its plain encoding (ER7): what is written into a field, and how a message is read without trust.

A message is segments that end in a carriage return; a field that held one, or a delimiter, would be another message.
So whatever is written is escaped, and no control character is left. What is read is cut at the delimiters that its own
first segment names, within limits, and nothing of it is believed for more than it says.

source: HL7 v2.5.1 chapter 2: 2.5.3 delimiters, 2.7 escape sequences, 2.9 acknowledgements; MLLP release 1.
"""

import re
from dataclasses import dataclass

from appliance.errors import Quarantined

START, END = b"\x0b", b"\x1c\r"  # of a frame
SEPARATOR, ENCODING = "|", "^~\\&"
SEGMENTS_MAX, FIELDS_MAX, HEAD_BYTES_MAX = 5_000, 200, 4_096
NULL = '""'  # two quotes alone tell a receiver to delete what it has
_WRITTEN = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # and what other programs take for the end of a line
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: no encoding has it
_SEQUENCE = re.compile(r"\\([^\\]{0,64})\\")
_CHARSETS = {"": "utf-8", "ASCII": "utf-8", "UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "8859/15": "iso8859-15"}
_HEAD = re.compile(r"MSH([^\w\s\\])([^\w\s])([^\w\s])([^\w\s])([^\w\s])\1")


def escaped(text: str) -> str:
    """Any text as the value of a component: delimiters as sequences, control characters in hexadecimal UTF-8."""
    if text == NULL:
        return ""
    text = _SURROGATE.sub("\ufffd", text)
    marked = "".join(_WRITTEN.get(each, each) for each in text)
    return _CONTROL.sub(lambda found: f"\\X{found[0].encode().hex().upper()}\\", marked)


def segment(name: str, *fields: str) -> str:
    """One segment of fields that are escaped already; empty ones at the end are left away."""
    return f"{SEPARATOR.join((name, *fields)).rstrip(SEPARATOR)}\r"


@dataclass(frozen=True, slots=True)
class Read:
    """A message that was cut into pieces. segments: name, then fields; field n of HL7 is at n, in MSH as well."""

    segments: tuple[tuple[str, ...], ...]
    component: str
    repetition: str
    escape: str
    subcomponent: str

    def named(self, name: str) -> list[tuple[str, ...]]:
        return [each for each in self.segments if each[0] == name]

    def first(self, row: tuple[str, ...], field: int, component: int = 1) -> str:
        """A component of a field's first repetition, unescaped; "" where there is none."""
        parts = self.repetitions(row, field)[0].split(self.component)
        return self.unescaped(parts[component - 1]) if component <= len(parts) else ""

    def repetitions(self, row: tuple[str, ...], field: int) -> list[str]:
        return (row[field] if field < len(row) else "").split(self.repetition)

    def unescaped(self, value: str) -> str:
        """A component's text; a sequence that is not known stays as it is."""
        if self.escape not in value:
            return value
        known = {"E": self.escape, "F": SEPARATOR, "S": self.component, "T": self.subcomponent, "R": self.repetition}

        def of(found: re.Match[str]) -> str:
            told = found[1]
            if told in known:
                return known[told]
            if told[:1] == "X":
                try:
                    return bytes.fromhex(told[1:]).decode()
                except ValueError:  # UnicodeDecodeError is one
                    return found[0]
            return found[0]

        sequence = (
            _SEQUENCE if self.escape == "\\" else re.compile(_SEQUENCE.pattern.replace(r"\\", re.escape(self.escape)))
        )
        return sequence.sub(of, value)


def read(data: bytes) -> Read:
    """Cuts a message.

    data    with or without the frame of MLLP; segments may end in \\r, \\n or both, as files have them
    raises  Quarantined("report-malformed"), with the place that is wrong
    """
    data = data.removeprefix(START).removesuffix(b"\r").removesuffix(END[:1])
    head = re.split(r"[\r\n]", data[:HEAD_BYTES_MAX].decode("latin-1"), maxsplit=1)[0]
    found = _HEAD.match(head)
    if found is None or len({*found.groups()}) != 5:
        raise Quarantined("report-malformed", "MSH")
    separator, component, repetition, escape, subcomponent = found.groups()
    told = head.split(separator)
    charset = _CHARSETS.get(told[17].split(repetition)[0].strip() if len(told) > 17 else "")
    if charset is None:
        raise Quarantined("report-malformed", "MSH-18")
    try:
        text = data.decode(charset)
    except UnicodeDecodeError:
        raise Quarantined("report-malformed", "MSH-18") from None
    lines = [each for each in re.split(r"[\r\n]+", text) if each]
    if len(lines) > SEGMENTS_MAX:
        raise Quarantined("report-malformed", "segments")
    rows = []
    for line in lines:
        fields = line.split(separator, FIELDS_MAX)
        if len(fields) > FIELDS_MAX or not re.fullmatch(r"[A-Z][A-Z0-9]{2}", fields[0]):
            raise Quarantined("report-malformed", "segments")
        rows.append((fields[0], separator, *fields[1:]) if fields[0] == "MSH" else tuple(fields))
    return Read(tuple(rows), component, repetition, escape, subcomponent)
