"""What a configuration opens in the walls of the units: drop-ins, one a unit, written by `appliance setup`.

A site's configuration says whom a service speaks with and which folders it works in; the units deny all of it. These
texts open exactly what the configuration names, and nothing else; above each opening stands the setting that wants it.
Values in, text out.
"""

from pathlib import Path
from urllib.parse import urlsplit

from appliance.cli.setup_answers import UNSET, Once, is_address
from appliance.config import Config
from appliance.config.section import LOOPBACK, MIB

FOLDER, NAME = Path("/etc/systemd/system"), "50-setup.conf"
HEAD = "# Written by `appliance setup` from /etc/appliance/appliance.toml; the next setup writes it anew.\n"
WATCHED = Path("/srv/scanner")
REPORTS = Path("/srv/reports")
INET = "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"


def drop_ins(config: Config, once: Once) -> dict[Path, str]:
    """The text of each drop-in that this configuration needs, by its path."""
    lines = {
        "receive.service": _receive(config),
        "triage.service": _triage(config),
        "uplink.service": _uplink(config, once),
        "review.service": _hidden(config),
        "review.socket": _door(config, once),
        "deliver.service": _deliver(config, once),
    }
    found = {}
    for unit, told in lines.items():
        if told:
            section = "Socket" if unit.endswith("socket") else "Service"
            text = "\n".join([f"[{section}]", *told])
            found[FOLDER / f"appliance-{unit}.d" / NAME] = f"{HEAD}{text}\n"
    return found


def folders(config: Config) -> list[Path]:
    """Folders of the site's own that receive works in."""
    own = [config.receive.watched_folder, config.reports.folder]
    return [path for path in own if path not in (UNSET, WATCHED)]


def _receive(config: Config) -> list[str]:
    told = _because("receive.watched_folder, reports.folder", [f"ReadWritePaths={path}" for path in folders(config)])
    dimse = config.dimse
    if not dimse.port:
        return told
    peers = {peer.rpartition("@")[2] for peer in dimse.peers}
    told += _because("dimse.port: scanners send over the network", ["PrivateNetwork=no"]) + _because("the same", [INET])
    told += _allowed("dimse.peers: it speaks with these alone", sorted({*peers, "localhost"}))
    told += ["# pynetdicom and pydicom in memory, and an association's buffers.", "MemoryMax=512M"]
    if dimse.tls == "mutual":
        told += _because("dimse.tls = mutual", [f"LoadCredential=dimse-tls-key:{dimse.tls_key_file}"])
    return told


def _triage(config: Config) -> list[str]:
    told = _hidden(config)
    if config.draft.weights:
        most = config.draft.memory_bytes // MIB + 2048
        told += ["# A small language model drafts here while the centre is silent.", f"MemoryMax={most}M"]
    return told


def _hidden(config: Config) -> list[str]:
    """A folder of the site's own is as far from the other services as the usual one."""
    return [f"InaccessiblePaths=-{path}" for path in folders(config)]


def _uplink(config: Config, once: Once) -> list[str]:
    hosts = [config.network.broker_host, urlsplit(config.updates.url).hostname or ""]
    away = [host for host in hosts if is_address(host) and host not in LOOPBACK]
    spoken = [*away, *once.broker_addresses, *once.update_addresses]
    return _hidden(config) + _allowed("network.broker_host, updates.url: what it dials", spoken)


def _door(config: Config, once: Once) -> list[str]:
    host, port = config.review.host, config.review.port
    told = []
    if (host, port) not in {("127.0.0.1", 8042), ("localhost", 8042)}:
        place = "127.0.0.1" if host == "localhost" else host
        told = ["ListenStream=", f"ListenStream={f'[{place}]' if ':' in place else place}:{port}"]
    return told + _allowed("setup.readers: who may come in", once.readers)


def _deliver(config: Config, once: Once) -> list[str]:
    keys: list[str] = []
    spoken = list(once.target_addresses)
    for target in config.results.targets:
        host = target.host or urlsplit(target.url).hostname or ""
        spoken += [host] if is_address(host) else []
        spoken += ["localhost"] if host in LOOPBACK else []
        if target.token_file != UNSET:
            keys.append(f"LoadCredential=target-{target.name}:{target.token_file}")
        if target.tls_key_file != UNSET:
            keys.append(f"LoadCredential=target-{target.name}-key:{target.tls_key_file}")
    for peer in config.dimse.commit_peers:
        spoken.append(peer.rpartition("@")[2].rpartition(":")[0])
    if config.dimse.commit_peers and config.dimse.tls == "mutual":
        keys.append(f"LoadCredential=dimse-tls-key:{config.dimse.tls_key_file}")
    shown = _because("results.targets, dimse.tls: what it shows to those it dials", keys)
    return _hidden(config) + shown + _allowed("results.targets, dimse.commit_peers: what it dials", spoken)


def _allowed(why: str, addresses: list[str]) -> list[str]:
    return _because(why, [f"IPAddressAllow={each}" for each in dict.fromkeys(addresses)])


def _because(why: str, lines: list[str]) -> list[str]:
    """Lines under the reason why they are there; nothing where there are none."""
    return [f"# {why}", *lines] if lines else []
