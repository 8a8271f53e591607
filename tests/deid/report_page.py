"""Writes the page of figures: what was removed, what stayed, what was refused and why, and the peers beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.deid.score import UTILITY, Result
from tests.deid.tally import Tally, wilson

# What the peers removed of the same kind of plant, in per cent of the items in the files that each of them delivered;
# measured by others on another benchmark (68 files), so that a row says where the difficulty lies, not who is better
# by a point. dentdeid delivered 46 files, isocenter 65, pydcm 66, idiscore 63, dicognito and dicom-anonymizer 68.
PEERS = ("pydcm", "isocenter", "dentdeid", "idiscore", "dicom-anonymizer 2026c", "dicognito")
PEER_FIGURES: dict[str, tuple[str, ...]] = {
    "charset": ("100", "100", "100", "100", "100", "68.4"),
    "codestream": ("0", "100", "100", "0", "0", "0"),
    "e11_nested": ("94.7", "99.0", "-", "-", "0.4", "40.4"),
    "e11_top": ("94.7", "-", "100", "-", "99.8", "40.0"),
    "encapsulated": ("66.7", "66.7", "-", "-", "66.7", "0"),
    "file_meta": ("100", "100", "100", "3.3", "3.3", "0"),
    "free_text": ("100", "100", "100", "100", "100", "0"),
    "gsps": ("50", "50", "-", "25", "50", "25"),
    "hdr_common": ("100", "100", "100", "100", "100", "90.2"),
    "icon": ("100", "0", "100", "0", "100", "0"),
    "nested": ("100", "100", "100", "83.3", "66.7", "72.2"),
    "overlay": ("28.6", "100", "100", "28.6", "28.6", "0"),
    "private": ("100", "100", "100", "100", "100", "26.2"),
    "raw_scan": ("100", "100", "100", "92.8", "99.9", "49.2"),
    "rt_text": ("100", "100", "-", "100", "66.7", "0"),
    "sr": ("100", "100", "-", "54.5", "100", "45.5"),
    "unknown_vr": ("42.9", "85.7", "100", "57.1", "71.4", "28.6"),
    "uid_replaced": ("99.4", "100", "100", "99.5", "83.9", "99.1"),
    "uid_replaced_private": ("100", "100", "100", "100", "100", "87.5"),
    "pixel_phi": ("2.7", "0", "70.1", "0", "0", "0"),
    "markers_kept": ("100", "100", "22.8", "100", "100", "100"),
    "pixels_identical": ("100", "100", "57.7", "100", "100", "100"),
    "references_resolve": ("50", "100", "-", "100", "0", "100"),
    "patient_consistent": ("0", "100", "100", "0", "0", "100"),
    "uid_one_to_one": ("100", "100", "100", "100", "97.2", "100"),
    "uid_meta_matches": ("100", "100", "100", "100", "100", "100"),
    "mark_identity_removed": ("100", "89.2", "100", "100", "0", "7.4"),
    "mark_longitudinal": ("0", "100", "100", "0", "0", "0"),
    "retain_std": ("100", "90.8", "67.5", "100", "100", "100"),
    "valid_no_new_error": ("77.3", "50.8", "73.9", "77.8", "2.9", "92.6"),
    "retain_clinical_words": ("0", "0", "0", "0", "0", "100"),
    "retain_safe_private": ("0", "0", "0", "0", "0", "100"),
}
MEANINGS = {
    "charset": "names and texts in 24 declarations of character sets, seven of them false or missing",
    "code_strings": "a word in Image Type and Scan Options",
    "codestream": "JPEG COM, EXIF and APP11, JPEG 2000 COM, bytes behind the codestream",
    "curve": "curves and their labels",
    "delivered_or_refused": "each file is written, or refused with a code",
    "descriptor_names": "a name beside clinical words",
    "e11_nested": "rows of Table E.1-1, two sequences deep",
    "e11_top": "rows of Table E.1-1, top level",
    "encapsulated": "PDF, PDF with Flate streams, CDA",
    "file_meta": "AE titles, versions, private information, preamble",
    "free_text": "free text that the table does not name",
    "gsps": "presentation states: texts, layers, creator",
    "hdr_common": "patient, visit, study, people, house, device",
    "high_bits": "a name in the bits above Bits Stored",
    "icon": "icon images",
    "idempotent": "a second pass refuses nothing and loses no element",
    "idempotent_pixels": "a second pass blackens nothing more",
    "markers_kept": "side, view, position, scale (L, AP, 10 cm) still legible",
    "technique_kept": "how the picture was made (kV 120, W 400) still legible",
    "pixels_outside": "pixels away from texts, one by one (lossless syntaxes)",
    "pixels_shape": "rows, columns, frames and samples as before",
    "mark_identity_removed": "(0012,0062) says YES",
    "mark_longitudinal": "(0028,0303) says what became of dates",
    "mark_method_codes": "(0012,0064) names profile and options",
    "uid_meta_matches": "file meta and data set name the same instance",
    "uid_one_to_one": "a UID has one successor, and no two have the same",
    "uid_study_whole": "studies still have a UID",
    "uid_valid": "successors are valid UIDs",
    "dates_shifted": "dates moved by whole weeks",
    "dates_one_offset": "one offset a patient",
    "dates_full": "full dates as they were",
    "clean_graphics_kept": "drawn shapes kept under Clean Graphics",
    "clean_content_kept": "measurements kept under Clean Structured Content",
    "native": "what the files bore before anything was planted",
    "nested": "request, original attributes, equipment, performers",
    "overlay": "overlay planes, labels, descriptions",
    "padding": "Data Set Trailing Padding",
    "patient_consistent": "one number a patient, no two alike",
    "pixel_camera": "what cameras really wrote: house, number, date, time",
    "pixel_phi": "texts burned into pictures",
    "frames_identical": "frames without text in a series where another frame has some",
    "pixels_identical": "pictures without text: every stored value as before",
    "pixels_same_outside": "frames with text: 99 % of the values away from it as before (lossless syntaxes)",
    "private": "private elements of unknown blocks, orphans, CSA-like bytes",
    "private_safe_dirty": "the patient's name in a private element known as safe",
    "raw_scan": "the patient's own words anywhere in the bytes",
    "references_resolve": "references inside a study lead to the renamed objects",
    "retain_clinical_words": "clinical words kept under Clean Descriptors",
    "retain_safe_private": "values of E.3.10 kept under Retain Safe Private",
    "retain_std": "geometry, physics, presentation",
    "retained_by_option": "what the option retains is still there",
    "rt_text": "plan and structure set labels",
    "signature": "digital signatures",
    "sr": "reports: PNAME, TEXT, DATE, TIME, UIDREF, CODE, observer",
    "long_text": "a name at the end of nine thousand characters",
    "text_patient": "the patient's own name, number, birthday glued to clinical words",
    "text_identity": "name parts, dates, phones, addresses, ages in descriptions",
    "trailing": "bytes behind the last native frame",
    "uid_reference": "UIDs in references",
    "uid_replaced": "the object's own UIDs",
    "uid_replaced_private": "UIDs in private elements",
    "unknown_vr": "unassigned, group 0004, UN that hides a sequence",
    "valid_no_new_error": "dciodvfy finds no kind of error that it did not find before",
    "waveform": "ECG annotations and labels",
}
EXAMPLES = 6
# What an option is for, beside what the table of PS3.15 names row by row.
PURPOSE = ("retain_clinical_words", "retain_safe_private", "clean_graphics_kept", "clean_content_kept")
PURPOSE += ("dates_full", "dates_shifted")
PIXELS = ("pixel_phi", "pixel_camera")


def page(results: Mapping[str, Sequence[Result]], seeds: Sequence[int], told: Sequence[str], spent_s: float) -> str:
    parts = [_head(results, seeds, told, spent_s)]
    for name in ("basic", "centre"):
        if results.get(name):
            parts.append(_profile(name, results[name]))
    if len(results) > 2:
        parts.append(_options(results))
    if results.get("basic"):
        ours = _sum(results["basic"])
        for option in ("clean-descriptors", "retain-safe-private"):  # what only an option is asked for
            of_option = _sum(results.get(option, ()))
            for category in ("retain_clinical_words", "retain_safe_private"):
                ours.many(category, of_option.checked[category], of_option.failed[category])
        parts.append(_peers(ours))
    return "\n".join(parts)


def _sum(results: Sequence[Result]) -> Tally:
    whole = Tally()
    for result in results:
        whole.add(result.tally)
    return whole


def _head(results: Mapping[str, Sequence[Result]], seeds: Sequence[int], told: Sequence[str], spent_s: float) -> str:
    asked = " ".join(told)
    command = "make deid-report" + (f" ARGS='{asked}'" if asked else "")
    return f"""# De-identification, measured

Written by `{command}`: seeds {", ".join(map(str, seeds))}, none of them used in a test ({spent_s:.0f} s). Identity is
planted into the real files that pydicom and pydicom-data ship, by a generator that knows nothing of the product
(`tests/deid/`); the product is called by its command line; each planted value is sought at its place and in all bytes
of what came out, in nineteen encodings, deflated streams inflated. A copy of the input scores 0 % in the first table
and 100 % in the second; an emptied object the other way round.

Limits: planted words are synthetic, so a rule that knows real names gains nothing here; a text counts as removed when
at most one glyph or 15 % of its glyphs still follow the planted mask (correlation above 0.45); a text that its own
picture hides is not counted; intervals are Wilson's, 95 %, as if items were independent, which those of one file are
not.
"""


def _row(category: str, tally: Tally) -> str:
    number, failed = tally.checked[category], tally.failed[category]
    low, high = wilson(number - failed, number)
    share = 100 * (number - failed) / number
    exact = f"{share:.1f}" if failed == 0 or share < 99.9 else f"{share:.3f}"
    meaning = MEANINGS.get(category, "")
    return f"| {category} | {meaning} | {number} | {failed} | {exact} | {100 * low:.1f} to {100 * high:.1f} |"


def _table(title: str, categories: Sequence[str], tally: Tally) -> str:
    head = f"| category | what | n | failed | {title} % | interval |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(_row(category, tally) for category in categories)])


def _profile(name: str, results: Sequence[Result]) -> str:
    tally = _sum(results)
    gone = [category for category in sorted(tally.checked) if category not in UTILITY]
    stays = [category for category in sorted(tally.checked) if category in UTILITY]
    number = sum(tally.checked[one] for one in gone if one not in PIXELS)
    failed = sum(tally.failed[one] for one in gone if one not in PIXELS)
    files = sum(result.files for result in results)
    refused = Counter((told.code, told.place, told.file.rpartition("/")[2]) for one in results for told in one.refused)
    shown = "\n".join(
        f"| `{code}` | {place} | {file} | {count} |" for (code, place, file), count in refused.most_common()
    )
    clean = sum(result.clean for result in results)
    return f"""
## Profile {name}

{files} files, {sum(len(one.refused) for one in results)} refused, {clean} delivered without a leak in header, graphics
or bytes; {number} such items planted, {failed} left ({100 * (number - failed) / max(1, number):.2f} % removed).

{_table("removed", gone, tally)}

{_table("held", stays, tally)}

Refused:

| code | place | file | times |
|---|---|---|---|
{shown or "| none | | | |"}

{_failures(tally)}"""


def _failures(tally: Tally) -> str:
    lines = []
    for category in sorted(tally.failed):
        if tally.failed[category] and tally.examples[category]:
            places = Counter(f"{file.rpartition('/')[2]} {place}" for file, place in tally.examples[category])
            told = "; ".join(f"{place}" for place, _ in places.most_common(EXAMPLES))
            lines.append(f"- **{category}** ({tally.failed[category]}): {told}")
    return "What fails:\n\n" + "\n".join(lines) + "\n" if lines else "Nothing fails.\n"


def _options(results: Mapping[str, Sequence[Result]]) -> str:
    rows = []
    for name, of_choice in results.items():
        tally = _sum(of_choice)
        gone = [one for one in tally.checked if one not in UTILITY and one not in PIXELS]
        number, failed = (sum(counter[one] for one in gone) for counter in (tally.checked, tally.failed))
        kept = tally.checked["retained_by_option"]
        kept_failed = tally.failed["retained_by_option"]
        broken = ", ".join(f"{one} {tally.failed[one]}" for one in sorted(tally.failed) if tally.failed[one])
        refused = sum(len(one.refused) for one in of_choice)
        share = f"{100 * (number - failed) / max(1, number):.2f}"
        held = [f"{kept - kept_failed} of {kept} rows"] if kept else []
        for one in PURPOSE:
            if tally.checked[one]:
                held.append(f"{one} {tally.checked[one] - tally.failed[one]} of {tally.checked[one]}")
        retained = ", ".join(held) or "-"
        rows.append(f"| {name} | {number} | {failed} | {share} | {retained} | {refused} | {broken or '-'} |")
    table = "\n".join(rows)
    return f"""
## Each option

Basic Profile and Clean Pixel Data with one option more (the two profiles: on the whole corpus; the others: on sixteen
real files, the table, the object families and the studies, no pictures).

| choice | items to go | left | removed % | held by the option | refused | what fails |
|---|---|---|---|---|---|---|
{table}
"""


def _peers(tally: Tally) -> str:
    rows = []
    for category, figures in PEER_FIGURES.items():
        if tally.checked[category]:
            rows.append(f"| {category} | **{100 * tally.rate(category):.1f}** | {' | '.join(figures)} |")
    return f"""
## Beside the peers

Per cent removed or held. The peers' figures were measured elsewhere, on another benchmark with the same categories (68
files, 5,298 items, 147 texts), over the files that each tool delivered; ours are those of profile basic above, the
last two rows those of the options that ask for them.

| category | ours | {" | ".join(PEERS)} |
|---|---|{"---|" * len(PEERS)}
{chr(10).join(rows)}
"""
