"""The command line: one parser (verbs), every verb with a sentence, `--json` on every verb that reads.

Exit status: 0 well, 1 something named is wrong, 2 a misused verb, 78 a wrong configuration (sysexits.h EX_CONFIG).
"""

import argparse
import os
import sys
from pathlib import Path

from appliance.cli.verbs import SERVICES as SERVICES
from appliance.cli.verbs import parser as parser
from appliance.config import DEFAULT_PATH, Config, ConfigMistakes, Places, load
from appliance.errors import Fault, Misconfigured

EX_CONFIG = 78
NEEDS_NO_CONFIG = (
    "certify",
    "deidentify",
    "inspect",
    "models",
    "prove",
    "replay",
    "rules",
)  # tools that work alone: without --config they use the defaults


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
        case "user" | "users" | "audit":
            return _people(told)
        case "setup":
            from appliance.cli import setup

            return setup.run(DEFAULT_PATH, told)
        case "up":
            from appliance.cli import up

            if told.state is not None:
                told.config = up.lay_out(told.state)
            return up.up(*_configuration(told), with_broker=told.broker, centre_keys=told.centre_keys)
        case "run":
            from appliance.cli import services

            return services.serve(told.service, told.config or DEFAULT_PATH)
        case "enrol":
            from appliance.cli import enrol

            return enrol.run(_configuration(told)[0], told)
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
        case "models":
            from appliance.cli import models

            return models.run(_configuration(told)[0], told)
        case "certify":
            from appliance.cli import certify

            config = _configuration(told)[0]
            return certify.run(config, Places(config.state.folder), told)
    return _look(told)


def _people(told: argparse.Namespace) -> int:
    from appliance.cli import accounts

    config = _configuration(told)[0]
    places = Places(config.state.folder)
    match told.verb:
        case "user":
            return accounts.add(places, told.name)
        case "users":
            return accounts.run(places, told)
    return accounts.audit(config, places, told)


def _look(told: argparse.Namespace) -> int:
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        return _looking(told)
    except OperationalError:
        raise  # held, or no room: no damage
    except DatabaseError:
        raise Misconfigured("ledger-damaged") from None


def _looking(told: argparse.Namespace) -> int:
    from appliance.cli import look

    config, _ = _configuration(told)
    places = Places(config.state.folder)
    match told.verb:
        case "check":
            return look.check(config, places, told.json)
        case "prove":
            from appliance.cli import prove

            return prove.run(config, told)
        case "receipt" | "crosswalk" | "reconcile":
            return _accounting(config, places, told)
        case "support-bundle":
            from appliance.cli import support

            return support.write(config, places, told.out)
        case "backup" | "restore":
            from appliance.cli import backup

            return backup.run(config, places, told)
        case "salvage":
            from appliance.cli import salvage

            return salvage.run(config, places, sure=told.even_so)
        case "forget" | "hold":
            from appliance.cli import forget

            return forget.run(config, places, told)
        case "metrics":
            from appliance.cli import metrics

            return metrics.show(config, places, told.textfile)
        case "status":
            return look.status(config, places, told.json)
        case "watch":
            from appliance.cli import watching

            return watching.run(config, places, told.json)
        case "rules":
            from appliance.cli import rules

            return rules.run(config, places, told)
        case "studies":
            return look.studies(places, told.uid, told.json)
        case "updates":
            from appliance.cli import updates

            return updates.run(config, places, told)
        case "release":
            from appliance.cli import release

            return release.run(config, places, told)
        case "corrections":
            from appliance.cli import corrections

            return corrections.run(places, told)
        case "config":
            return look.show_config(config, told.json)
    raise AssertionError(told.verb)


def _accounting(config: Config, places: Places, told: argparse.Namespace) -> int:
    """What left, what its names stand for, and whether the ledgers agree."""
    match told.verb:
        case "receipt":
            from appliance.cli import receipt

            return receipt.run(config, places, told.case, told.json)
        case "crosswalk":
            from appliance.cli import crosswalk

            return crosswalk.run(places, told.pseudonym, told.json)
        case "reconcile":
            from appliance.cli import reconcile

            return reconcile.show(places, told.deep, told.json)
    raise AssertionError(told.verb)


def _configuration(told: argparse.Namespace) -> tuple[Config, Path]:
    path: Path = told.config or DEFAULT_PATH
    if told.config is None and not path.exists() and told.verb in NEEDS_NO_CONFIG:
        shipped = Path(__file__).parents[2] / "models"
        shown = {"triage": {"model_folder": shipped, "trusted_keys": shipped / "trusted"}}
        return (Config.model_validate(shown) if shipped.is_dir() else Config()), path
    return load(path), path
