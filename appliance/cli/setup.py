"""`appliance setup`: makes an installed package into this site's appliance, and starts it.

Each step looks first at what is there: run again it changes nothing, and run after a power cut it goes on. Secrets are
made here and never overwritten. It waits for nobody: without a broker the appliance starts, and uplink waits.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from appliance.cli import enrol, look, openings, site_key
from appliance.cli import setup_answers as told_by
from appliance.cli.files import toml_text
from appliance.cli.setup_answers import UNSET, Answers
from appliance.config import Config, ConfigMistakes, Places
from appliance.core.signature import KEY_BYTES
from appliance.errors import Misconfigured
from appliance.world import keyring
from appliance.world.keyfile import put, remove

HEAD = "# Written by `appliance setup`. Every setting: /usr/share/doc/edge-diagnostic-appliance/configuration.md\n\n"
STARTS_S, LOOK_S = 120.0, 1.0


def run(path: Path, told: argparse.Namespace) -> int:
    """Runs the verb; path is the configuration's. Raises ConfigMistakes with every mistake, and nothing is written."""
    password = ""
    if told.answers is not None:
        answers = told_by.read(told.answers)
    else:
        raw, password = told_by.at_terminal(_ask)
        answers = told_by.judged(raw, "answers")
    mistakes = told_by.of_the_machine(answers, os.geteuid())
    text = HEAD + toml_text(answers.sections)
    if path.exists() and path.read_text("utf-8") != text and not told.replace:
        mistakes.append((str(path), "", f"{_sentence('setup-there')}"))
    if mistakes:
        raise ConfigMistakes(mistakes)
    changed = prepare(answers.config)
    changed |= _write_drop_ins(answers)
    changed |= _enrol(answers)
    changed |= _put(path, text, keep=True)
    if answers.once.administrator:
        _administrator(answers, path, password)
    _start(changed=changed)
    print("the page:", "https" if answers.config.review.tls != "off" else "http", _address(answers.config))
    return _look(answers.config)


def _sentence(code: str) -> str:
    fault = Misconfigured(code)
    return f"{fault.text}. {fault.hint}"


def _ask(sentence: str, default: str) -> str:
    said = input(f"{sentence}{f' [{default}]' if default else ''}: ").strip()
    return said or default


def prepare(config: Config) -> bool:
    """The site key and the folders; whether anything was not there. Raises Misconfigured("site-key-gone")."""
    _do("systemd-tmpfiles", "--create", "appliance.conf")
    key, changed = config.triage.site_key_file, False
    if site_key.may_be_made(config, Places(config.state.folder)):
        put(key, secrets.token_bytes(KEY_BYTES), private=True)
        key.parent.chmod(0o755)
        changed = True
    for folder in openings.folders(config):
        if not folder.is_dir():
            group = "appliance-scanner" if folder == config.receive.watched_folder else "appliance-reports"
            if group == "appliance-reports":
                _do("groupadd", "--system", "--force", group)
            _do("install", "-d", "-m", "2770", "-o", "appliance-receive", "-g", group, str(folder))
            changed = True
    return changed


def _write_drop_ins(answers: Answers) -> bool:
    wanted = openings.drop_ins(answers.config, answers.once)
    changed = False
    for there in openings.FOLDER.glob(f"appliance-*.d/{openings.NAME}"):
        if there not in wanted:
            remove(there)
            changed = True
    for path, text in wanted.items():
        changed |= _put(path, text)
    return changed | _dicomweb(answers.config)


def _dicomweb(config: Config) -> bool:
    """The shipped opening for other viewers, where review.dicomweb asks for it."""
    shipped = config.triage.model_folder.parent / "dicomweb"
    unit = openings.FOLDER / "appliance-review.service.d/20-dicomweb.conf"
    rights = Path("/etc/tmpfiles.d/appliance-dicomweb.conf")
    if not config.review.dicomweb or not shipped.is_dir():
        there = unit.exists()
        for each in (unit, rights):
            if each.exists():
                remove(each)
        return there
    changed = _put(unit, (shipped / "appliance-review.service.d/20-dicomweb.conf").read_text())
    changed |= _put(rights, (shipped / "tmpfiles.conf").read_text())
    _do("systemd-tmpfiles", "--create", rights.name)
    return changed


def _put(path: Path, text: str, *, keep: bool = False) -> bool:
    """Writes a file durably where it says something else; with keep what stood there is left beside it."""
    before = path.read_text("utf-8") if path.exists() else None
    if before == text:
        return False
    if before is not None and keep:
        put(path.with_name(f"{path.name}.before"), before.encode())
    put(path, text.encode())
    return True


def _enrol(answers: Answers) -> bool:
    """Installs the centre's answer, or writes the request for it; nothing where the centre is known already.

    returns  whether services must be started anew: they are handed their keys when they start
    """
    try:
        keyring.centre(answers.config.keys)
    except Misconfigured as fault:
        if fault.code != "not-enrolled":
            raise
    else:
        return False
    once, config = answers.once, answers.config
    if once.answer != UNSET:
        enrol.install(config, once.answer, once.fingerprint, now_s=time.time())
        return True
    if once.request != UNSET and not once.request.exists():
        enrol.ask(config, once.request, renew=False)
        print(f"give {once.request} to the centre and read the fingerprint to it; then setup again with its answer")
    return False


def _administrator(answers: Answers, path: Path, password: str) -> None:
    """The page's first administrator, added as the page's own user, so that its files stay its own."""
    name, file = answers.once.administrator, answers.once.password_file
    users = ["appliance", "--config", str(path), "users"]
    said = json.loads(_as_review(answers.config, [*users, "list", "--json"], "") or "{}")
    if any(user["name"] == name for user in said.get("users", ())):
        return
    if not password:
        password = file.read_text("utf-8") if file != UNSET else sys.stdin.readline()
    _as_review(answers.config, [*users, "add", name, "--role", "administrator"], password.rstrip("\n") + "\n")
    print(f"{name} is the page's administrator")


def _as_review(config: Config, words: list[str], given: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own program
        ["/usr/sbin/runuser", "-u", "appliance-review", "--", *words],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=config.state.folder,
    )
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
        raise Misconfigured("setup-failed", "appliance users")
    return done.stdout


def _start(*, changed: bool) -> None:
    """Everything runs when this returns, or has been told to and is waited for below."""
    _do("systemctl", "daemon-reload")
    _do("systemctl", "enable", "--quiet", "appliance.target")
    if changed:  # a socket is not opened anew under a service that uses it
        _do("systemctl", "stop", "appliance-review.service", "appliance-review.socket")
        _do("systemctl", "try-restart", *(f"appliance-{name}.service" for name in told_by.USERS if name != "review"))
    _do("systemctl", "start", "appliance.target")


def _do(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603 - no word comes from outside
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
        raise Misconfigured("setup-failed", words[0])


def _address(config: Config) -> str:
    return f"{config.review.host}:{config.review.port}"


def _look(config: Config) -> int:
    """The lines of `appliance check`; a red one is said and is no failure of the setup: the appliance is set up."""
    places = Places(config.state.folder)
    ends = time.monotonic() + STARTS_S
    while not places.cases_db.exists() and time.monotonic() < ends:  # triage makes it at its first start
        time.sleep(LOOK_S)
    look.check(config, places, False)
    return 0
