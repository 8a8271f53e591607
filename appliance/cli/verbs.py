"""Every verb of the command line with its arguments; what a verb does stands in a file of its own."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from appliance import __version__
from appliance.config import DEFAULT_PATH
from appliance.core.options import OPTIONS, PROFILES

SERVICES = ("receive", "triage", "uplink", "review", "deliver")


def parser() -> argparse.ArgumentParser:
    """The whole command line; docs/operating.md is held against it."""
    top = argparse.ArgumentParser(
        prog="appliance",
        description="Edge diagnostic appliance: decides routine studies here, asks the centre about the hard ones.",
        epilog="Research software; no medical device. Exit status 78: the configuration is wrong.",
    )
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ["APPLIANCE_CONFIG"]) if "APPLIANCE_CONFIG" in os.environ else None,
        help=f"configuration file (default: $APPLIANCE_CONFIG, else {DEFAULT_PATH})",
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, sentence: str, *, as_json: bool = False) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=sentence, description=sentence)
        if as_json:
            made.add_argument("--json", action="store_true", help="print one JSON document")
        return made

    _running(verb)
    verb("check", "Look at everything the appliance needs and say what to do.", as_json=True)
    bundle = verb("support-bundle", "Write how it is made, set and stands, for support; no patient is in it.")
    bundle.add_argument("out", type=Path, metavar="OUT.tar", help="a file that is not there yet")
    gauges = verb("metrics", "Print how it stands as Prometheus reads it.")
    gauges.add_argument("--textfile", type=Path, help="write them there, whole or not at all")
    _proving(verb("prove", "Try this machine: rate, latency, memory, power cuts, an outage; writes a report."))
    verb("status", "Say how it stands: studies, cases, disk, what to look at.", as_json=True)
    some = verb("studies", "List the studies, or tell all of one.", as_json=True)
    some.add_argument("uid", nargs="?", metavar="UID", help="Study Instance UID")
    books = verb("reconcile", "Prove that every study is in exactly one place and both sides agree.", as_json=True)
    books.add_argument("--deep", action="store_true", help="also read every archived file and compare its digest")
    _leaving(verb)
    _certify_arguments(verb("certify", "Make a certificate from the site's own labelled studies.", as_json=True))
    again = verb("replay", "Run the pipeline on files without side effects; one JSON line a study.")
    again.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="files or folders; thousands in one call")
    again.add_argument("--site", metavar="NAME", help="whose certificates count (default: site.name)")
    again.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    again.add_argument("--table", action="store_true", help="a table for people instead of JSON lines")
    table = verb(
        "rules", "Say what the site's rules make of a study: which models may look, what goes where.", as_json=True
    )
    table.add_argument("what", choices=("test",))
    table.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="files or folders of DICOM")
    _models(verb("models", "Make, check, sign, list and install model packages, and order which one decides."))
    knobs = verb("config", "Show every setting with its value, bounds and meaning.", as_json=True)
    knobs.add_argument("what", choices=("show",))
    verb("watch", "Say how each certificate stands: audits, drift, and what auditing costs.", as_json=True)
    away = verb("withdraw", "Take a certificate away for good; only a new signed one opens a lane again.")
    away.add_argument("certificate", metavar="DIGEST", help="of the certificate, or its first eight digits or more")
    away.add_argument("--because", required=True, metavar="TEXT", help="the reason, kept for ever; no patient data")
    said = verb(
        "corrections", "Print what signers said, coded, for training: a JSON line a study; it certifies nothing."
    )
    said.add_argument("what", choices=("export",))
    said.add_argument("--every", action="store_true", help="also those that a later one of the same study replaced")
    _updates(verb)
    _accounts(verb)
    return top


def _keeping(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs about what is kept, and how long."""
    gone = verb("forget", "List what will be forgotten and what was; or order it for one study.", as_json=True)
    what = gone.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="studies that were reviewed, and why each is kept still")
    what.add_argument("--study", metavar="UID", help="forget it before its time; never one that is unread or held")
    gone.add_argument("--because", metavar="TEXT", default="", help="with --study: the reason; no patient data")
    copy = verb("backup", "Write the whole state, encrypted, into one file, while everything runs.")
    copy.add_argument("out", nargs="?", type=Path, metavar="OUT", help="a file that is not there yet")
    copy.add_argument("--to", metavar="PUBLIC", help="public key of age, age1...; who has its private key opens it")
    copy.add_argument("--without-keys", action="store_true", help="leave configuration, site key and all keys out")
    copy.add_argument("--new-key", type=Path, metavar="FILE", help="write a new private key, print its public key, end")
    back = verb("restore", "Bring a backup back, into a state folder in which nothing is kept.")
    back.add_argument("file", type=Path, metavar="IN")
    back.add_argument("--key", type=Path, required=True, metavar="FILE", help="the private key")
    back.add_argument("--configuration", type=Path, metavar="DIR", help="an empty folder for its settings and keys")
    said = "you know that none was taken away since the backup; else all are, and new ones must come"
    back.add_argument("--certificates-stand", action="store_true", help=said)
    anew = verb(
        "salvage", "Go on without a ledger that is gone or damaged; without the clinical one every study comes in anew."
    )
    anew.add_argument("--even-so", action="store_true", help="take every study in anew though all ledgers are sound")
    kept = verb("hold", "Keep a study from being forgotten, until the hold is lifted.")
    kept.add_argument("study", metavar="UID", help="Study Instance UID")
    kept.add_argument("--lift", action="store_true", help="end the hold")
    kept.add_argument("--because", metavar="TEXT", required=True, help="the reason, kept for ever; no patient data")


def _running(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs that make it and keep it going."""
    made = verb("setup", "Make an installed package into this site's appliance, and start it; run as root.")
    made.add_argument(
        "--from", dest="answers", type=Path, metavar="FILE", help="answers in TOML (docs/install.md); else it asks"
    )
    made.add_argument("--replace", action="store_true", help="where another configuration is there, keep it beside")
    all_up = verb("up", "Run all services under one parent, as any user.")
    all_up.add_argument("--state", type=Path, help="a folder to keep everything in; made if it is not there")
    all_up.add_argument("--broker", action="store_true", help="also start an MQTT broker, on loopback")
    all_up.add_argument(
        "--centre-keys", type=Path, metavar="DIR", help="also enrol with a centre on this machine, whose keys lie there"
    )
    one = verb("run", "Run one service; what the systemd units call.")
    one.add_argument("service", choices=SERVICES)
    _enrolling(verb("enrol", "Make this appliance's keys and its request to the centre, or install the answer."))


def _accounts(verb: Callable[..., argparse.ArgumentParser]) -> None:
    from appliance.core.permits import ROLES

    user = verb("user", "Add a reader of the review page; the password is read from standard input.")
    user.add_argument("what", choices=("add",))
    user.add_argument("name")
    people = verb("users", "List, add, disable the users of the review page, change a role.", as_json=True)
    people.add_argument("what", choices=("list", "add", "role", "disable", "enable", "reset-factor"))
    people.add_argument("name", nargs="?", default="", help="whose; a password is read from standard input")
    people.add_argument("--role", choices=ROLES, help="with add (default: reader) and role")
    people.add_argument("--replace", action="store_true", help="with add: a new password for a user who is there")
    trail = verb("audit", "Check the chain of the audit trail, or print it for another system.", as_json=True)
    trail.add_argument("what", choices=("check", "export"))
    trail.add_argument("--format", choices=("fhir", "syslog"), default="fhir", help="of an export (default: fhir)")
    trail.add_argument("--after", type=int, default=0, metavar="ROW", help="export only rows after this one")


def _models(verb: argparse.ArgumentParser) -> None:
    from appliance.cli.model_arguments import arguments

    arguments(verb)


def _enrolling(verb: argparse.ArgumentParser) -> None:
    which = verb.add_mutually_exclusive_group(required=True)
    which.add_argument("-o", "--output", type=Path, metavar="FILE", help="write a request for the centre")
    which.add_argument("--answer", type=Path, metavar="FILE", help="install what the centre answered")
    verb.add_argument("--renew", action="store_true", help="with -o: only renew the certificate; needs no telephone")
    verb.add_argument("--fingerprint", default="", metavar="TEXT", help="with --answer: the centre's, as read to you")


def _proving(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--out", type=Path, default=Path("prove.html"), help="the page (default: prove.html)")
    verb.add_argument("--quick", action="store_true", help="far less of each; wider intervals")
    verb.add_argument("--folder", type=Path, metavar="DIR", help="where the trial lies (default: beside the state)")


def _leaving(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs about what may leave, and before them those about what is kept."""
    _keeping(verb)
    clean = verb("deidentify", "Write de-identified copies, each passed by the inspector.")
    clean.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="files or folders")
    clean.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="relative paths are kept under it"
    )
    clean.add_argument(
        "--profile",
        choices=tuple(PROFILES),
        default="basic",
        help="basic: PS3.15 Basic Profile and clean-pixel-data; centre: what leaves for the centre, these with patient "
        "characteristics and modified dates (default: basic)",
    )
    clean.add_argument(
        "--option",
        action="append",
        default=[],
        choices=OPTIONS,
        metavar="NAME",
        help=f"add one of {', '.join(OPTIONS)}",
    )
    clean.add_argument(
        "--without", action="append", default=[], choices=OPTIONS, metavar="NAME", help="leave an option out"
    )
    clean.add_argument("--site-key", type=Path, metavar="FILE", help="32 bytes or more; same key, same pseudonyms")
    clean.add_argument("--report", choices=("text", "json"), default="text", help="json: one JSON line a file")
    clean.add_argument("--json", action="store_true", help="the same as --report json")
    clean.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    look = verb("inspect", "Look for an identity in finished files, anybody's; needs no key and changes nothing.")
    _inspect_arguments(look)
    account = verb("receipt", "Show what was removed, changed and kept before a case left; verify it.", as_json=True)
    account.add_argument("case", metavar="CASE", help="case id, or study number for the newest case of a study")
    who = verb("crosswalk", "Say who stands behind a pseudonym or a case id that left this house.", as_json=True)
    who.add_argument("pseudonym", metavar="PSEUDONYM", help="of a patient, study, series or object; or a case id")


def _certify_arguments(made: argparse.ArgumentParser) -> None:
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


def _inspect_arguments(look: argparse.ArgumentParser) -> None:
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


def _updates(verb: Callable[..., argparse.ArgumentParser]) -> None:
    new = verb("release", "Install a newer signed version of the appliance, watch it, go back if it is worse; as root.")
    what = new.add_mutually_exclusive_group()
    what.add_argument("--install", metavar="VERSION", help="this one now; else what the configuration allows")
    what.add_argument("--self-test", action="store_true", help="of this version, before it is used; changes nothing")
    given = verb("updates", "List what came down from the centre, or bring it on a stick.")
    inner = given.add_subparsers(dest="what", required=True, metavar="WHAT")
    sentence = "Every update and what became of it: left, awaited, refused because of what, held, withdrawn."
    listed = inner.add_parser("list", help=sentence, description=sentence)
    listed.add_argument("--json", action="store_true", help="print one JSON document")
    sentence = "Take in a repository of updates from a folder, such as a stick; triage verifies it anew."
    inner.add_parser("import", help=sentence, description=sentence).add_argument("folder", type=Path)
