"""What `appliance setup` is told: asked at a terminal, or read from a file; every mistake is said at once.

The file is a configuration like appliance.toml, with the same sections, and one table more, `[setup]`, for what is done
once and stands nowhere afterwards: the first administrator, the enrolment, who may be spoken with.
"""

import getpass
import pwd
import re
import stat
import tomllib
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field

from appliance.config import Config, ConfigMistakes, checked
from appliance.config.section import LOOPBACK, Folder, Section

UNSET = Path()
PLAIN = re.compile(r"[A-Za-z0-9._/-]+")
USERS = ("receive", "triage", "uplink", "review", "deliver")
KEPT_OUT = ("/", "/etc", "/var", "/var/lib", "/var/lib/appliance", "/opt", "/usr", "/srv", "/tmp", "/run", "/boot")  # noqa: S108
Networks = Annotated[list[Annotated[str, Field(max_length=50)]], Field(max_length=50)]
Mistake = tuple[str, str, str]


class Once(Section):
    """The table [setup].

    administrator     the page's first one; the password comes from password_file, else from standard input
    broker_addresses  what uplink may dial, needed where network.broker_host is a name on another machine
    update_addresses  the same of the host in updates.url
    target_addresses  what deliver may dial beside the addresses in results.targets
    readers           networks from which the page is opened, needed where review.host is not loopback
    request           where the request for the centre is written
    answer            what the centre answered, with the fingerprint that was read over the telephone
    """

    administrator: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    password_file: Folder = UNSET
    broker_addresses: Networks = Field([])
    update_addresses: Networks = Field([])
    target_addresses: Networks = Field([])
    readers: Networks = Field([])
    request: Folder = UNSET
    answer: Folder = UNSET
    fingerprint: Annotated[str, Field(max_length=200)] = ""


class Answers(NamedTuple):
    """sections: what was told, as it will stand in appliance.toml; config: the same, checked, with every default."""

    sections: dict[str, dict[str, Any]]
    config: Config
    once: Once


def read(path: Path) -> Answers:
    """The answers of a file. Raises ConfigMistakes with every mistake in it."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigMistakes([(str(path), "", error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigMistakes([(str(path), "", str(error))]) from None
    return judged(raw, str(path))


def judged(raw: dict[str, Any], source: str) -> Answers:
    """What was told, in its models. Raises ConfigMistakes with the mistakes of both."""
    sections = {name: value for name, value in raw.items() if name != "setup"}
    mistakes: list[Mistake] = []
    config, once = Config(), Once()
    try:
        config = checked(Config, sections, source)
    except ConfigMistakes as found:
        mistakes += found.mistakes
    try:
        once = checked(Once, raw.get("setup", {}), source)
    except ConfigMistakes as found:
        mistakes += [(file, f"setup.{key}", reason) for file, key, reason in found.mistakes]
    mistakes += [(source, key, reason) for key, reason in _together(config, once)]
    if mistakes:
        raise ConfigMistakes(mistakes)
    return Answers(sections, config, once)


def _together(config: Config, once: Once) -> list[tuple[str, str]]:
    """What each setting cannot know alone."""
    found = []
    for key in ("broker_addresses", "update_addresses", "target_addresses", "readers"):
        for each in getattr(once, key):
            try:
                ip_network(each)
            except ValueError:
                found.append((f"setup.{key}", f"{each} is no address and no network such as 192.0.2.0/24"))
    host = config.network.broker_host
    if host not in LOOPBACK and not is_address(host) and not once.broker_addresses:
        found.append(("setup.broker_addresses", f"name the addresses of {host}: uplink may speak with no others"))
    updates = urlsplit(config.updates.url).hostname
    if updates and updates not in LOOPBACK and not is_address(updates) and not once.update_addresses:
        found.append(("setup.update_addresses", f"name the addresses of {updates}: uplink may speak with no others"))
    if config.review.host not in LOOPBACK and not once.readers:
        found.append(("setup.readers", "name the networks from which the page is opened, such as 192.0.2.0/24"))
    if once.answer != UNSET and not once.fingerprint:
        found.append(("setup.fingerprint", "type the centre's fingerprint as it was read to you over the telephone"))
    folder = config.receive.watched_folder
    if not folder.is_absolute() or str(folder) in KEPT_OUT or folder.is_relative_to(config.state.folder):
        found.append(("receive.watched_folder", f"{folder} is no folder of its own: take one such as /srv/scanner"))
    for key, named in (("receive.watched_folder", folder), ("reports.folder", config.reports.folder)):
        if named != UNSET and not PLAIN.fullmatch(str(named)):
            found.append((key, "take letters, digits and -._/ alone: a unit reads anything else as another folder"))
    return found


def is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def of_the_machine(answers: Answers, uid: int) -> list[Mistake]:
    """What stands against these answers on this machine: who runs it, users, files of secrets."""
    found: list[Mistake] = []
    if uid:
        found.append(("setup", "", "run it as root: sudo appliance setup"))
    missing = [name for name in USERS if not _user(f"appliance-{name}")]
    if missing:
        found.append(("setup", "", f"no user appliance-{missing[0]}: install the package, or run systemd-sysusers"))
    once = answers.once
    for key, path in (("password_file", once.password_file), ("answer", once.answer)):
        if path == UNSET:
            continue
        try:
            mode = path.stat().st_mode
        except OSError as error:
            found.append((str(path), f"setup.{key}", error.strerror or "cannot be read"))
            continue
        if key == "password_file" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            found.append((str(path), f"setup.{key}", f"others may read it: chmod 600 {path}"))
    return found


def _user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


Ask = Callable[[str, str], str]


def at_terminal(ask: Ask, secret: Callable[[str], str] = getpass.getpass) -> tuple[dict[str, Any], str]:
    """Asks a few things; returns them as a file would say them, and the administrator's password ("": none).

    ask  shows a sentence with what an empty answer means, and returns the answer
    """
    name = ask("Name of this site, in small letters, digits and dashes", "site-1")
    told: dict[str, Any] = {"site": {"name": name}, "receive": {}, "network": {}, "review": {}, "setup": {}}
    told["site"]["device_id"] = ask("This appliance on the wire; must not name the hospital", "appliance-1")
    safe = ask("If its disk is on neither LUKS nor fscrypt: why that is safe; empty: it is on one of them", "")
    told["state"] = {"unencrypted_because": safe} if safe else {}
    told["receive"]["watched_folder"] = ask("Folder the scanner writes into", "/srv/scanner")
    port = ask("Port for scanners that send over the network; 0: none does", "0")
    if port not in ("", "0"):
        told["dimse"] = {"port": _number(port)}
        told["dimse"]["host"] = ask("This machine's address on the scanners' network", "127.0.0.1")
        told["dimse"]["ae_title"] = ask("AE title of this appliance", "EDGE")
        told["dimse"]["peers"] = _list(ask("Scanners, each as AE-TITLE@ADDRESS, with commas", ""))
    host = ask("MQTT broker of the centre, by name or address", "127.0.0.1")
    told["network"]["broker_host"] = host
    away = host not in LOOPBACK
    told["network"]["broker_port"] = _number(ask("Its port", "8883" if away else "1883"))
    if away:
        told["network"]["broker_tls"] = True
        if not is_address(host):
            told["setup"]["broker_addresses"] = _list(ask(f"Addresses of {host}, with commas", ""))
    page = ask("Address at which the page is opened; 127.0.0.1: from this machine only", "127.0.0.1")
    told["review"]["host"] = page
    if page not in LOOPBACK:
        told["setup"]["readers"] = _list(ask("Networks it is opened from, such as 192.0.2.0/24, with commas", ""))
    answer = ask("File with the centre's answer to the enrolment; empty: not yet", "")
    if answer:
        told["setup"] |= {"answer": answer, "fingerprint": ask("Fingerprint of the centre, as read to you", "")}
    else:
        request = ask("Where to write the request for the centre; empty: nowhere", "")
        told["setup"] |= {"request": request} if request else {}
    administrator = ask("Name of the page's first administrator; empty: later", "")
    if not administrator:
        return told, ""
    told["setup"]["administrator"] = administrator
    return told, secret(f"Password of {administrator}: ")


def _list(told: str) -> list[str]:
    return [each for each in re.split(r"[,\s]+", told) if each]


def _number(told: str) -> int | str:
    """The text stays where it is none: the model says what is wrong with it."""
    return int(told) if told.isdecimal() else told
