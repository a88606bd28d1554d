"""A certificate authority of the tests, and folders to sign with: certificates.pem and key.pem."""

import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def folder(
    to: Path, first_day: float = -1, last_day: float = 30, usable: bool = True, curve: Any = ec.SECP256R1
) -> Path:
    """A folder to sign with; days count from now. `usable`: with the usages that C2PA asks of a signer."""
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(curve())
    root = certificate("Authority", authority, "Authority", authority, True, True, (-1, 365))
    leaf = certificate("Signer", own, "Authority", authority, False, usable, (first_day, last_day))
    to.mkdir(parents=True)
    (to / "certificates.pem").write_bytes(pem(leaf) + pem(root))
    write_key(to, own)
    return to


def write_key(to: Path, key: Any, passphrase: bytes | None = None) -> None:
    hidden = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    (to / "key.pem").write_bytes(content)
    (to / "key.pem").chmod(0o600)


def other_key() -> Any:
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> Any:
    return rsa.generate_private_key(65537, 2048)


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


def certificate(
    name: str, key: Any, issuer: str, by: Any, is_authority: bool, usable: bool, days: tuple[float, float]
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    first, last = (now + day * DAY for day in days)
    made = x509.CertificateBuilder(_name(issuer), _name(name), key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(first).not_valid_after(last)
    made = made.add_extension(x509.BasicConstraints(is_authority, None), True)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    usage |= {"encipher_only": False, "decipher_only": False}
    usage |= {"digital_signature": not is_authority, "key_cert_sign": is_authority, "crl_sign": is_authority}
    made = made.add_extension(x509.KeyUsage(**usage), True)
    if usable and not is_authority:
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return made.sign(by, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )
