"""The command line: one parser, every verb with a sentence, `--json` on every verb that reads.

Exit status: 0 well, 1 something named is wrong, 2 a misused verb, 78 a wrong configuration (sysexits.h EX_CONFIG).
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from appliance import __version__
from appliance.cli.arguments import certify_arguments, inspect_arguments
from appliance.config import DEFAULT_PATH, Config, ConfigMistakes, Places, load
from appliance.core.options import OPTIONS, PROFILES
from appliance.errors import Fault, Misconfigured

EX_CONFIG = 78
SERVICES = ("receive", "triage", "uplink", "review", "deliver")
NEEDS_NO_CONFIG = (
    "certify",
    "deidentify",
    "inspect",
    "models",
    "replay",
)  # tools that work alone: without --config they use the defaults


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

    all_up = verb("up", "Run all services under one parent, as any user.")
    all_up.add_argument("--state", type=Path, help="a folder to keep everything in; made if it is not there")
    all_up.add_argument("--broker", action="store_true", help="also start an MQTT broker, on loopback")
    all_up.add_argument(
        "--centre-keys", type=Path, metavar="DIR", help="also enrol with a centre on this machine, whose keys lie there"
    )
    one = verb("run", "Run one service; what the systemd units call.")
    one.add_argument("service", choices=SERVICES)
    _enrolling(verb("enrol", "Make this appliance's keys and its request to the centre, or install the answer."))
    verb("check", "Look at everything the appliance needs and say what to do.", as_json=True)
    bundle = verb("support-bundle", "Write how it is made, set and stands, for support; no patient is in it.")
    bundle.add_argument("out", type=Path, metavar="OUT.tar", help="a file that is not there yet")
    gauges = verb("metrics", "Print how it stands as Prometheus reads it.")
    gauges.add_argument("--textfile", type=Path, help="write them there, whole or not at all")
    verb("status", "Say how it stands: studies, cases, disk, what to look at.", as_json=True)
    some = verb("studies", "List the studies, or tell all of one.", as_json=True)
    some.add_argument("uid", nargs="?", metavar="UID", help="Study Instance UID")
    books = verb("reconcile", "Prove that every study is in exactly one place and both sides agree.", as_json=True)
    books.add_argument("--deep", action="store_true", help="also read every archived file and compare its digest")
    _leaving(verb)
    certify_arguments(verb("certify", "Make a certificate from the site's own labelled studies.", as_json=True))
    again = verb("replay", "Run the pipeline on files without side effects; one JSON line a study.")
    again.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="files or folders; thousands in one call")
    again.add_argument("--site", metavar="NAME", help="whose certificates count (default: site.name)")
    again.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    again.add_argument("--table", action="store_true", help="a table for people instead of JSON lines")
    _models(verb("models", "Make, check, sign, list and install model packages, and order which one decides."))
    knobs = verb("config", "Show every setting with its value, bounds and meaning.", as_json=True)
    knobs.add_argument("what", choices=("show",))
    verb("watch", "Say how each certificate stands: audits, drift, and what auditing costs.", as_json=True)
    away = verb("withdraw", "Take a certificate away for good; only a new signed one opens a lane again.")
    away.add_argument("certificate", metavar="DIGEST", help="of the certificate, or its first eight digits or more")
    away.add_argument("--because", required=True, metavar="TEXT", help="the reason, kept for ever; no patient data")
    user = verb("user", "Add a reader of the review page; the password is read from standard input.")
    user.add_argument("what", choices=("add",))
    user.add_argument("name")
    _accounts(verb)
    return top


def _accounts(verb: Callable[..., argparse.ArgumentParser]) -> None:
    from appliance.core.permits import ROLES

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


def _leaving(verb: Callable[..., argparse.ArgumentParser]) -> None:
    """The verbs about what may leave."""
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
    inspect_arguments(look)
    account = verb("receipt", "Show what was removed, changed and kept before a case left; verify it.", as_json=True)
    account.add_argument("case", metavar="CASE", help="case id, or study number for the newest case of a study")
    who = verb("crosswalk", "Say who stands behind a pseudonym or a case id that left this house.", as_json=True)
    who.add_argument("pseudonym", metavar="PSEUDONYM", help="of a patient, study, series or object; or a case id")


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; every mistake is said in a line that tells who must act and how."""
    told = parser().parse_args(arguments)
    try:
        return _run(told)
    except ConfigMistakes as mistakes:
        for file, key, reason in mistakes.mistakes:
            print(f"{file}: {key or 'file'}: {reason}", file=sys.stderr)
        return EX_CONFIG
    except Misconfigured as fault:
        print(f"{fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        return EX_CONFIG
    except Fault as fault:
        print(f"{fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(told: argparse.Namespace) -> int:
    """Each verb imports what it needs and no more: a service holds no code of another one, and starts sooner."""
    match told.verb:
        case "up":
            from appliance.cli import up

            if told.state is not None:
                told.config = up.lay_out(told.state)
            return up.up(*_configuration(told), with_broker=told.broker, centre_keys=told.centre_keys)
        case "run":
            from appliance.cli import services

            return services.serve(told.service, _configuration(told)[0])
        case "enrol":
            from appliance.cli import enrol

            return enrol.run(_configuration(told)[0], told)
        case "user":
            from appliance.cli import accounts

            return accounts.add(Places(_configuration(told)[0].state.folder), told.name)
        case "users":
            from appliance.cli import accounts

            return accounts.run(Places(_configuration(told)[0].state.folder), told)
        case "audit":
            from appliance.cli import accounts

            config = _configuration(told)[0]
            return accounts.audit(config, Places(config.state.folder), told)
        case "withdraw":
            from appliance.cli import watching

            return watching.withdraw(Places(_configuration(told)[0].state.folder), told.certificate, told.because)
        case "deidentify":
            from appliance.cli import deidentify

            return deidentify.run(_configuration(told)[0], told)
        case "inspect":
            from appliance.cli import inspect

            return inspect.run(told)
        case "replay":
            from appliance.cli import replay

            return replay.run(_configuration(told)[0], told)
        case "receipt":
            from appliance.cli import receipt

            config = _configuration(told)[0]
            return receipt.run(config, Places(config.state.folder), told.case, told.json)
        case "crosswalk":
            from appliance.cli import crosswalk

            return crosswalk.run(Places(_configuration(told)[0].state.folder), told.pseudonym, told.json)
        case "models":
            from appliance.cli import models

            return models.run(_configuration(told)[0], told)
        case "certify":
            from appliance.cli import certify

            config = _configuration(told)[0]
            return certify.run(config, Places(config.state.folder), told)
        case "reconcile":
            from appliance.cli import reconcile

            return reconcile.show(Places(_configuration(told)[0].state.folder), told.deep, told.json)
    return _look(told)


def _look(told: argparse.Namespace) -> int:
    from appliance.cli import look

    config, _ = _configuration(told)
    places = Places(config.state.folder)
    match told.verb:
        case "check":
            return look.check(config, places, told.json)
        case "support-bundle":
            from appliance.cli import support

            return support.write(config, places, told.out)
        case "metrics":
            from appliance.cli import metrics

            return metrics.show(config, places, told.textfile)
        case "status":
            return look.status(config, places, told.json)
        case "watch":
            from appliance.cli import watching

            return watching.run(config, places, told.json)
        case "studies":
            return look.studies(places, told.uid, told.json)
        case "config":
            return look.show_config(config, told.json)
    raise AssertionError(told.verb)


def _configuration(told: argparse.Namespace) -> tuple[Config, Path]:
    path: Path = told.config or DEFAULT_PATH
    if told.config is None and not path.exists() and told.verb in NEEDS_NO_CONFIG:
        shipped = Path(__file__).parents[2] / "models"
        shown = {"triage": {"model_folder": shipped, "trusted_keys": shipped / "trusted"}}
        return (Config.model_validate(shown) if shipped.is_dir() else Config()), path
    return load(path), path
