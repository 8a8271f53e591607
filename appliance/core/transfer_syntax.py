"""Transfer syntaxes by what they do to pixels (PS3.5 A), and the units of values (PS3.3 C.11.1).

Apart from what decodes, because whoever only asks which one it is needs no library for it.
"""

RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
# JPEG-LS near-lossless, JPEG 2000 and HTJ2K: PS3.5 10.3 to 10.5 let them be either.
PERHAPS_LOSSY = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (81, 91, 203))
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
HTJ2K = frozenset({f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)})
ENCAPSULATED = JPEG_LOSSY | JPEG_LOSSLESS | JPEG_LS | JPEG_2000 | HTJ2K | {RLE}
# PS3.5 A.1, A.2, A.5: implicit, explicit, deflated; big endian (A.3, retired) still comes out of old archives.
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN})
# Rescale Type that names a unit: defined terms of PS3.3 C.11.1.1.2.
RESCALE_UNITS = frozenset({"OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"})
