"""A request is proved before anybody compares a fingerprint; what a machine can refuse, no person has to."""

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from enrolled import known_keys
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import signature
from appliance.core.document import encode
from appliance.core.enrolment import WISH, EnrolmentRequest, Wish, ends_at, request, same, spelled, wished
from appliance.core.keys import DeviceKeys, PublicKeys
from appliance.errors import Quarantined

TRIAGE, UPLINK, LINE = known_keys("unit-1 triage"), known_keys("unit-1 uplink"), ec.generate_private_key(ec.SECP256R1())
LOW_ORDER = (  # RFC 7748, 6.1, and the points that the same prime makes equal to them
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
)


def made(wish: Wish, triage=TRIAGE, uplink=UPLINK) -> EnrolmentRequest:
    signed = WISH + encode(wish)
    return EnrolmentRequest(
        wish=wish,
        triage=signature.sign(triage.signing, signed).signature,
        uplink=signature.sign(uplink.signing, signed).signature,
    )


def csr(key, *names: str, algorithm=True) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256() if algorithm else None)
    return signed.public_bytes(Encoding.PEM).decode()


def test_a_request_brings_the_key_of_the_line():
    assert wished(request("unit-1", TRIAGE, UPLINK, LINE)) == LINE.public_key()


@pytest.mark.parametrize(
    "pem",
    [
        csr(LINE, "unit-2"),
        csr(LINE),
        csr(LINE, "unit-1", "centre.worker"),
        csr(rsa.generate_private_key(65537, 2048), "unit-1"),
        csr(ec.generate_private_key(ec.SECP384R1()), "unit-1"),
        csr(ed25519.Ed25519PrivateKey.generate(), "unit-1", algorithm=False),
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    ],
    ids=["another's name", "no name", "a second name", "RSA", "another curve", "Ed25519", "nothing"],
)
def test_any_other_csr_is_refused(pem):
    keys = DeviceKeys(device_id="unit-1", triage=TRIAGE.public, uplink=UPLINK.public)
    with pytest.raises(Quarantined, match="enrolment-invalid at csr"):
        wished(made(Wish(keys=keys, csr=pem)))


def test_a_csr_without_proof_of_its_key_is_refused():
    other = csr(ec.generate_private_key(ec.SECP256R1()), "unit-1")
    der = bytearray(x509.load_pem_x509_csr(other.encode()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    keys = DeviceKeys(device_id="unit-1", triage=TRIAGE.public, uplink=UPLINK.public)
    with pytest.raises(Quarantined, match="enrolment-invalid at csr"):
        wished(made(Wish(keys=keys, csr=pem)))


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_sealing_key_with_which_nothing_can_be_sealed_is_refused(point):
    triage = PublicKeys(signing=TRIAGE.public.signing, sealing=point)
    keys = DeviceKeys(device_id="unit-1", triage=triage, uplink=UPLINK.public)
    with pytest.raises(Quarantined, match="enrolment-invalid at keys"):
        wished(made(Wish(keys=keys, csr=csr(LINE, "unit-1"))))


def test_one_key_for_both_parties_is_refused():
    with pytest.raises(Quarantined, match="enrolment-invalid at keys"):
        wished(request("unit-1", TRIAGE, TRIAGE, LINE))


def test_a_device_cannot_be_called_as_the_workers_are():
    with pytest.raises(ValueError, match="device_id"):
        request("centre.worker", TRIAGE, UPLINK, LINE)


def test_no_certificate_has_no_end():
    assert ends_at(b"") is None
    assert ends_at(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n") is None


@given(st.binary(max_size=8))
def test_a_fingerprint_is_the_same_however_it_is_typed_and_no_other(data):
    digest = hashlib.sha256(data).hexdigest()
    told = spelled(digest)
    assert len(told.split()) == 8
    assert same(told, told.upper())
    assert same(told, told.replace(" ", "-"))
    assert not same(told, told[:-1] + ("0" if told[-1] != "0" else "1"))
