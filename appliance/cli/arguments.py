"""What the verbs certify and inspect take. No code of the verbs themselves: the parser is made before one is chosen."""

import argparse
from pathlib import Path

from appliance.core.options import OPTIONS, PROFILES


def certify_arguments(made: argparse.ArgumentParser) -> None:
    made.add_argument("--labels", type=Path, metavar="CSV", help="study_instance_uid or accession_number, finding 0/1")
    made.add_argument("--model", metavar="NAME/VERSION", help="whose scores are certified")
    made.add_argument("--site", metavar="NAME", help="whose certificate it will be (default: site.name)")
    made.add_argument(
        "--group", metavar="GROUP", help="MANUFACTURER,MODEL,MODALITY,BODYPART[,AGE-AGE] (default: of all the studies)"
    )
    made.add_argument("--scores", type=Path, metavar="CSV", help="film, patient, logit, failed (default: the ledger)")
    made.add_argument(
        "--contract", type=_shares, metavar="A,B,C", help="FOR, MISS and FDR as shares (default: of the configuration)"
    )
    made.add_argument("--delta", type=float, help="how likely the promise may break (default: of the configuration)")
    made.add_argument("--attempt", type=int, default=1, help="at least this attempt on these patients (default: 1)")
    made.add_argument("--exit-1", metavar="CLEAR,FLAG", help="ends of the first of two exits, fixed beforehand")
    made.add_argument("--key", type=Path, metavar="FILE", help="Ed25519 private key that signs it")
    made.add_argument("--out", type=Path, metavar="DIR", help="where certificate, figures and curve are written")
    made.add_argument(
        "--audit-table",
        type=float,
        metavar="CLEARED",
        help="print how long a risen miss rate stays unseen with so many cleared a day, and end",
    )


def _shares(told: str) -> list[float]:
    rates = [float(each) for each in told.split(",")]
    if len(rates) != 3:
        raise ValueError
    return rates


def inspect_arguments(look: argparse.ArgumentParser) -> None:
    look.add_argument("inputs", nargs="+", type=Path, metavar="DIR", help="files or folders: DICOM, or JSON documents")
    look.add_argument(
        "--identity", type=Path, required=True, metavar="FILE", help="a DICOM file or folder of the source, or JSON"
    )
    look.add_argument("--profile", choices=sorted(PROFILES), default="basic", help="what the files should fit")
    look.add_argument(
        "--option",
        action="append",
        default=[],
        choices=OPTIONS,
        metavar="OPTION",
        help=f"in force: {', '.join(OPTIONS)}",
    )
    look.add_argument(
        "--identity-only", action="store_true", help="ignore what is merely unlike a file that this product made"
    )
    look.add_argument("--no-pixels", action="store_true", help="do not read text in pictures")
    look.add_argument("--json", action="store_true", help="print one JSON line a file")
