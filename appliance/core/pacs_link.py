"""The address of a study in the site's PACS, out of a template and an accession number that a header told.

An accession number is hostile text: it is escaped whole, so that it can be nothing but one value of the template's.
"""

from urllib.parse import quote, urlsplit

PLACE = "{accession}"
ACCESSION_CHARACTERS_MAX = 64  # SH of PS3.5 6.2 has 16; some houses write more


def why_refused(template: str) -> str | None:
    """Why a template is none, as a clause; None: it is one."""
    if not template.isascii() or not template.isprintable() or " " in template:
        return "it holds blanks or letters that no address has"
    if template.count(PLACE) != 1 or template.replace(PLACE, "").count("{") + template.replace(PLACE, "").count("}"):
        return "it must hold {accession} once, and no other braces"
    try:
        parts = urlsplit(template)
        parts.port  # noqa: B018 - a port that is none raises
    except ValueError:
        return "it is no address"
    if parts.scheme != "https" or not parts.hostname:
        return "it must begin with https:// and a host"
    if "@" in parts.netloc or "{" in parts.netloc:
        return "{accession} stands behind the host, and the host bears no user"
    return None


def pacs_link(template: str, accession: str) -> str:
    """The address, "" where the site has none or the study has no accession number that could be asked for."""
    told = accession.strip()
    if not template or not told or len(told) > ACCESSION_CHARACTERS_MAX or not told.isprintable():
        return ""
    if told in (".", ".."):  # a browser takes these for steps within a path, escaped or not
        return ""
    return template.replace(PLACE, quote(told, safe=""))
