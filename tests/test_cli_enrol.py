"""Enrolment as two people do it, from the two command lines: what goes through, and everything that must not."""

import stat
import time
from pathlib import Path

import pytest
from cryptography import x509

from appliance.cli import enrol as appliance_enrol
from appliance.cli import main as appliance
from appliance.config import Keys, Network, load
from appliance.core.document import decode, encode
from appliance.core.enrolment import EnrolmentAnswer, EnrolmentRequest, same
from appliance.core.keys import CentreKeys
from appliance.core.letter import opened, sealed
from appliance.errors import Misconfigured, Quarantined
from appliance.world import keyring
from appliance.world.updates import mirror
from central import cli as central_cli
from central.registry import Registry

DAY_S = 86_400.0


class House:
    """One appliance with its configuration and the files that lie beside it."""

    def __init__(self, folder: Path, device: str) -> None:
        folder.mkdir()
        self.folder, self.device = folder, device
        self.keys = Keys(folder=folder / "keys")
        self.request, self.answer, self.config = folder / "request", folder / "answer", folder / "appliance.toml"
        self.config.write_text(f'[site]\ndevice_id = "{device}"\n[keys]\nfolder = "{folder / "keys"}"\n')

    def enrol(self, *words: object) -> int:
        return appliance(["--config", str(self.config), "enrol", *map(str, words)])

    def ask(self, *words: str) -> int:
        return self.enrol("-o", self.request, *words)


@pytest.fixture
def centre(tmp_path):
    assert central_cli.main(["init", "--keys", str(tmp_path / "centre")]) == 0
    return tmp_path / "centre"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "house", "unit-1")


def accept(centre: Path, house: House, fingerprint: str = "", *words: str) -> int:
    told = ["enrol-accept", "--keys", str(centre), str(house.request), "-o", str(house.answer)]
    return central_cli.main([*told, "--fingerprint", fingerprint, *words])


def said(capsys, who: str) -> str:
    """The last fingerprint that was printed for the appliance or the centre."""
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{who} ")]
    return " ".join(lines[-1].split()[-8:])


def enrolled(centre: Path, house: House, capsys) -> None:
    assert house.ask() == 0
    assert accept(centre, house, said(capsys, "appliance")) == 0
    assert house.enrol("--answer", house.answer, "--fingerprint", said(capsys, "centre")) == 0
    capsys.readouterr()


def test_two_houses_enrol_and_can_write_to_each_other(centre, house, capsys):
    enrolled(centre, house, capsys)
    registry = Registry(centre)
    device = registry.device("unit-1")
    triage, ours = keyring.own(house.keys, "triage"), keyring.centre(house.keys)
    letter = sealed(b"a case", place="x", sender=triage, recipient=ours.keys[0])
    assert opened(letter, place="x", senders=[device.triage], recipients=registry.own) == b"a case"
    back = sealed(b"a verdict", place="y", sender=registry.own[0], recipient=device.triage)
    assert opened(back, place="y", senders=ours.keys, recipients=[triage]) == b"a verdict"


# The root of updates comes with the answer


def root_of(folder: Path, keys: Path, capsys) -> bytes:
    """A repository's first root, laid where enrol-accept takes it from."""
    words = ("--repository", folder / "repository", "--keys", folder / "roles", "--offline", folder / "offline")
    assert central_cli.main(["publish", "init", *map(str, words)]) == 0
    capsys.readouterr()
    root = (folder / "repository/metadata/1.root.json").read_bytes()
    (keys / "updates-root.json").write_bytes(root)
    return root


def test_the_root_of_updates_comes_with_the_answer_and_never_replaces_one(centre, house, tmp_path, capsys):
    root, laid = root_of(tmp_path, centre, capsys), house.folder / "updates-root.json"
    with house.config.open("a") as more:
        more.write(f'[updates]\nroot = "{laid}"\n')
    enrolled(centre, house, capsys)
    assert laid.read_bytes() == root
    mirror.verified(tmp_path / "repository", laid, tmp_path / "memory")  # it is one that the workflow starts from
    laid.write_bytes(b"given in person")
    assert house.ask("--renew") == 0
    assert accept(centre, house) == 0
    assert house.enrol("--answer", house.answer) == 0
    assert "another root of updates" in capsys.readouterr().out
    assert laid.read_bytes() == b"given in person"


def test_an_answer_without_a_root_is_what_it_was_and_is_accepted(centre, house, tmp_path, capsys):
    root_of(tmp_path, centre, capsys)
    assert house.ask() == 0
    assert accept(centre, house, said(capsys, "appliance"), "--updates-root", "none") == 0
    assert b"updates_root" not in house.answer.read_bytes()  # an appliance of before reads no other
    assert house.enrol("--answer", house.answer, "--fingerprint", said(capsys, "centre")) == 0


@pytest.mark.parametrize("altered", ["another", "none", "rubbish"])
def test_a_root_that_the_centre_did_not_sign_is_refused(centre, house, tmp_path, capsys, altered):
    root_of(tmp_path, centre, capsys)
    assert house.ask() == 0
    assert accept(centre, house, said(capsys, "appliance")) == 0
    fingerprint = said(capsys, "centre")
    told = decode(EnrolmentAnswer, house.answer.read_bytes())
    root = {"another": (told.grant.updates_root or "").replace("2", "3", 1), "none": None, "rubbish": "{}"}[altered]
    changed = told.grant.model_copy(update={"updates_root": root})
    house.answer.write_bytes(encode(told.model_copy(update={"grant": changed})))
    assert house.enrol("--answer", house.answer, "--fingerprint", fingerprint) == 1
    assert "enrolment-invalid" in capsys.readouterr().err
    assert not (house.folder / "keys/centre.json").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"signed": {"_type": "timestamp"}, "signatures": [1]}', "[" * 30_000])
def test_what_is_no_root_is_put_into_no_answer(centre, house, tmp_path, capsys, text):
    (tmp_path / "odd.json").write_text(text)
    assert house.ask() == 0
    told = said(capsys, "appliance")
    assert accept(centre, house, told, "--updates-root", str(tmp_path / "odd.json")) != 0
    assert not house.answer.exists()


def test_private_files_are_for_their_owner_only_and_nothing_private_travels(centre, house, capsys):
    enrolled(centre, house, capsys)
    private = {"triage.key", "uplink.key", "tls.pem", "centre-1.key", "worker.pem", "devices-ca.key", "centre-ca.key"}
    for folder in (house.folder / "keys", centre):
        for path in folder.rglob("*"):
            if path.is_file():
                mode = stat.S_IMODE(path.stat().st_mode)
                assert (mode == 0o600) == (path.name in private), path.name
    assert stat.S_IMODE((house.folder / "keys").stat().st_mode) == 0o700
    secrets = [(house.folder / "keys" / name).read_bytes() for name in ("triage.key", "uplink.key")]
    words = [line.split()[1] for each in secrets for line in each.splitlines()]
    for path in (house.request, house.answer):
        assert b"PRIVATE" not in path.read_bytes()
        assert not [word for word in words if word in path.read_bytes()]


def test_without_a_fingerprint_or_with_a_wrong_one_nothing_is_granted(centre, house, capsys):
    house.ask()
    right = said(capsys, "appliance")
    for told in ("", "0000 " * 8, right[:-1], right + " 00"):
        assert accept(centre, house, told) == 1
        assert "fingerprint-differs" in capsys.readouterr().err
        assert Registry(centre).device("unit-1") is None
        assert not house.answer.exists()
    assert accept(centre, house, right.upper().replace(" ", "-")) == 0


def test_the_appliance_installs_nothing_of_a_centre_that_nobody_compared(centre, house, capsys):
    house.ask()
    accept(centre, house, said(capsys, "appliance"))
    for told in ("", "0000 " * 8):
        assert house.enrol("--answer", house.answer, "--fingerprint", told) == 1
        assert "fingerprint-differs" in capsys.readouterr().err
        with pytest.raises(Misconfigured, match="not-enrolled"):
            keyring.centre(house.keys)


@pytest.mark.parametrize("part", ["device", "triage key", "signature", "csr", "swapped"])
def test_an_altered_request_is_refused(centre, house, capsys, tmp_path, part):
    other = House(tmp_path / "other", "unit-2")
    house.ask(), other.ask()
    told, foreign = (decode(EnrolmentRequest, each.request.read_bytes()) for each in (house, other))
    wish, keys = told.wish, told.wish.keys
    changed = {
        "device": told.model_copy(
            update={"wish": wish.model_copy(update={"keys": keys.model_copy(update={"device_id": "unit-9"})})}
        ),
        "triage key": told.model_copy(
            update={
                "wish": wish.model_copy(update={"keys": keys.model_copy(update={"triage": foreign.wish.keys.triage})})
            }
        ),
        "signature": told.model_copy(update={"uplink": foreign.uplink}),
        "csr": told.model_copy(update={"wish": wish.model_copy(update={"csr": foreign.wish.csr})}),
        "swapped": told.model_copy(update={"triage": told.uplink, "uplink": told.triage}),
    }[part]
    house.request.write_bytes(encode(changed))
    capsys.readouterr()
    assert accept(centre, house, "") == 1
    assert "enrolment-invalid" in capsys.readouterr().err


def test_what_is_no_request_is_refused(centre, house, capsys):
    for data in (b"", b"{}", b"\xff" * 100, b"[" * 70_000, b" " * 200_000):
        house.request.write_bytes(data)
        assert accept(centre, house, "") == 1
    house.request.unlink()
    assert accept(centre, house, "") == 1


def test_an_answer_for_another_appliance_is_refused(centre, house, capsys, tmp_path):
    other = House(tmp_path / "other", "unit-2")
    enrolled(centre, other, capsys)
    house.ask()
    assert house.enrol("--answer", other.answer) == 1
    assert "enrolment-foreign" in capsys.readouterr().err
    assert not (house.folder / "keys" / keyring.LINE_FILE).exists()


def test_an_answer_of_another_centre_is_refused_once_one_is_known(centre, house, capsys, tmp_path):
    enrolled(centre, house, capsys)
    before = keyring.centre(house.keys)
    rival = tmp_path / "rival"
    central_cli.main(["init", "--keys", str(rival)])
    house.ask("--renew")
    assert accept(rival, house, said(capsys, "appliance")) == 0
    assert house.enrol("--answer", house.answer, "--fingerprint", said(capsys, "centre")) == 1
    assert "enrolment-foreign" in capsys.readouterr().err
    assert keyring.centre(house.keys) == before


@pytest.mark.parametrize("part", ["authority", "centre", "certificate", "signature"])
def test_an_altered_answer_is_refused(centre, house, capsys, part, tmp_path):
    rival, other = tmp_path / "rival", House(tmp_path / "other", "unit-1")
    central_cli.main(["init", "--keys", str(rival)])
    other.ask()
    accept(rival, other, said(capsys, "appliance"))
    house.ask()
    accept(centre, house, said(capsys, "appliance"))
    told, foreign = (decode(EnrolmentAnswer, each.answer.read_bytes()) for each in (house, other))
    if part == "signature":
        changed = told.model_copy(update={"signature": foreign.signature})
    else:
        update = {part: getattr(foreign.grant, part)}
        changed = told.model_copy(update={"grant": told.grant.model_copy(update=update)})
    house.answer.write_bytes(encode(changed))
    assert house.enrol("--answer", house.answer, "--fingerprint", said(capsys, "centre")) == 1
    assert "enrolment-invalid" in capsys.readouterr().err
    assert not (house.folder / "keys" / keyring.LINE_FILE).exists()


def test_an_expired_answer_is_not_installed(centre, house, capsys):
    house.ask()
    accept(centre, house, said(capsys, "appliance"), "--days", "1")
    fingerprint = said(capsys, "centre")
    with pytest.raises(Quarantined, match="enrolment-invalid at expired"):
        appliance_enrol.install(load(house.config), house.answer, fingerprint, now_s=time.time() + 2 * DAY_S)


def test_a_renewal_needs_no_person_and_changes_the_certificate_only(centre, house, capsys):
    enrolled(centre, house, capsys)
    keys = {name: (house.folder / "keys" / name).read_bytes() for name in ("triage.key", "uplink.key", "centre.json")}
    old = (house.folder / "keys" / "tls.pem").read_bytes()
    assert house.ask("--renew") == 0
    assert (house.folder / "keys" / "tls.pem").read_bytes() == old, "the old one serves until the answer is here"
    assert accept(centre, house) == 0
    assert house.enrol("--answer", house.answer) == 0
    new = (house.folder / "keys" / "tls.pem").read_bytes()
    assert new != old
    assert x509.load_pem_x509_certificate(new).public_key() != x509.load_pem_x509_certificate(old).public_key()
    assert keys == {name: (house.folder / "keys" / name).read_bytes() for name in keys}
    assert house.enrol("--answer", house.answer) == 0, "once more changes nothing"
    assert (house.folder / "keys" / "tls.pem").read_bytes() == new


def test_there_is_nothing_to_renew_before_enrolment(house, capsys):
    assert house.ask("--renew") == 78
    assert "not-enrolled" in capsys.readouterr().err
    assert not (house.folder / "keys").exists()


def test_a_lost_request_is_written_again_with_the_same_keys(house):
    house.ask()
    first = decode(EnrolmentRequest, house.request.read_bytes())
    house.ask()
    assert decode(EnrolmentRequest, house.request.read_bytes()).wish.keys == first.wish.keys


def test_new_keys_under_a_known_name_need_a_revocation_first(centre, house, capsys, tmp_path):
    enrolled(centre, house, capsys)
    impostor = House(tmp_path / "impostor", "unit-1")
    impostor.ask()
    told = said(capsys, "appliance")
    assert accept(centre, impostor, told) == 78
    assert "enrolment-known" in capsys.readouterr().err
    assert central_cli.main(["revoke", "--keys", str(centre), "unit-1"]) == 0
    assert accept(centre, impostor, told) == 0


def test_a_revoked_appliance_is_a_stranger_at_once_and_its_keys_do_not_come_back(centre, house, capsys):
    registry = Registry(centre)
    enrolled(centre, house, capsys)
    assert registry.device("unit-1") is not None
    assert central_cli.main(["revoke", "--keys", str(centre), "unit-1"]) == 0
    assert registry.device("unit-1") is None, "the worker that runs needs no restart"
    crl = x509.load_pem_x509_crl((centre / "authority" / "devices-crl.pem").read_bytes())
    certificate = x509.load_pem_x509_certificate((house.folder / "keys" / "tls.pem").read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
    house.ask()
    assert accept(centre, house, said(capsys, "appliance")) == 78
    assert "enrolment-revoked" in capsys.readouterr().err
    assert central_cli.main(["revoke", "--keys", str(centre), "../centre-1"]) == 1


def test_the_centres_key_turns_over_without_a_case_or_a_verdict_lost(centre, house, capsys):
    enrolled(centre, house, capsys)
    central = Registry(centre)
    triage, before = keyring.own(house.keys, "triage"), keyring.centre(house.keys)
    under_way = sealed(b"on its way", place="x", sender=triage, recipient=before.keys[0])
    assert central_cli.main(["rotate", "--keys", str(centre)]) == 0
    assert Registry(centre).own == central.own, "told of, and not used yet"
    house.ask("--renew"), accept(centre, house), house.enrol("--answer", house.answer)
    told = keyring.centre(house.keys)
    assert (told.keys[0], len(told.keys)) == (before.keys[0], 2)
    assert central_cli.main(["rotate", "--keys", str(centre), "--promote"]) == 0
    turned = Registry(centre)
    assert turned.own[0].public == told.keys[1]
    device = turned.device("unit-1")
    assert opened(under_way, place="x", senders=[device.triage], recipients=turned.own) == b"on its way"
    verdict = sealed(b"a verdict", place="y", sender=turned.own[0], recipient=device.triage)
    assert opened(verdict, place="y", senders=told.keys, recipients=[triage]) == b"a verdict"
    house.ask("--renew"), accept(centre, house), house.enrol("--answer", house.answer)
    assert keyring.centre(house.keys).keys[0] == turned.own[0].public
    assert central_cli.main(["rotate", "--keys", str(centre), "--promote"]) == 78, "there is no next one"


def test_a_second_init_keeps_everything(centre, capsys):
    before = {path: path.read_bytes() for path in centre.rglob("*") if path.is_file() and "crl" not in path.name}
    assert central_cli.main(["init", "--keys", str(centre)]) == 0
    assert before == {path: path.read_bytes() for path in before}


def test_the_line_is_dialled_with_what_was_installed(centre, house, capsys):
    secured, clear = Network(broker_host="broker.example", broker_tls=True), Network()
    with pytest.raises(Misconfigured, match="not-enrolled"):
        keyring.line(secured, house.keys)
    assert keyring.line_ends_at(house.keys) is None
    enrolled(centre, house, capsys)
    files = keyring.line(secured, house.keys)
    assert files is not None
    assert Path(files.key).read_bytes().count(b"-----BEGIN") == 2
    assert keyring.line(clear, house.keys) is None
    ends = keyring.line_ends_at(house.keys)
    assert ends is not None
    assert 89 <= (ends - time.time()) / DAY_S <= 90


def test_an_empty_file_is_a_place_kept_for_one(house):
    """What systemd/tmpfiles.conf puts there before enrolment, so that the units start."""
    folder = house.folder / "keys"
    folder.mkdir()
    for name in ("triage.key", "uplink.key", "centre.json", "tls.pem", "tls-ca.pem"):
        (folder / name).touch()
    with pytest.raises(Misconfigured, match="not-enrolled"):
        keyring.own(house.keys, "triage")
    with pytest.raises(Misconfigured, match="not-enrolled"):
        keyring.centre(house.keys)
    assert house.ask() == 0
    assert keyring.own(house.keys, "triage")


def test_an_appliance_enrols_by_itself_with_a_centre_on_the_same_machine(house, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    config = load(house.config)
    appliance_enrol.here(config, tmp_path / "own-centre")
    before = keyring.centre(house.keys)
    assert Registry(tmp_path / "own-centre").device("unit-1") is not None
    appliance_enrol.here(config, tmp_path / "own-centre")
    assert keyring.centre(house.keys) == before
    (tmp_path / "a-file").touch()
    elsewhere = load(House(tmp_path / "elsewhere", "unit-3").config)
    with pytest.raises(Misconfigured, match="centre-command"):
        appliance_enrol.here(elsewhere, tmp_path / "a-file")


def test_a_folder_that_cannot_be_used_is_said(house, tmp_path, capsys):
    (house.folder / "keys").touch()
    assert house.ask() == 78
    assert "keys-folder" in capsys.readouterr().err
    assert central_cli.main(["init", "--keys", str(house.folder / "keys")]) == 78
    assert "keys-folder" in capsys.readouterr().err


def test_fingerprints_are_compared_whole():
    assert same("0a1b 2c3d", "0A1B-2C3D")
    assert not same("0a1b 2c3d", "0a1b")
    assert not same("0a1b 2c3d", "")


def test_at_most_three_keys_of_a_centre_are_believed():
    keys = decode(
        CentreKeys,
        b'{"schema_version":"centre/1","keys":['
        + b",".join([b'{"signing":"%s","sealing":"%s"}' % (b"a" * 64, b"b" * 64)] * 3)
        + b"]}",
    )
    assert len(keys.keys) == 3
