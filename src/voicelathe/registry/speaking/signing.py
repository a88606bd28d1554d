"""Who says that a file was machine-made, and can a listener check it? A C2PA manifest inside the WAV, signed with a key of the user's.

The manifest holds the file's hash, the action `c2pa.created` with the source type of machine-made media, and the tag of the file as the
assertion `voicelathe.speech`. Nothing is asked of the network, so there is no time stamp of a third party in it.
"""

import datetime
import io
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import __version__
from voicelathe.errors import SigningError
from voicelathe.registry.speaking import sentences

SIGN = "VOICELATHE_SIGN"  # the folder, for MLflow's own server
CERTIFICATES, KEY = "certificates.pem", "key.pem"
ABOUT = "voicelathe.speech"
MACHINE_MADE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
WAV = "audio/wav"
WHOLE = ("Valid", "Trusted")  # what a reader says of a manifest whose hashes and signature hold
SETTINGS = {
    "verify": {"verify_trust": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Signer:
    """A chain of certificates and its key, tried once."""

    folder: Path
    chain: bytes = field(repr=False)  # PEM, the signer's own certificate first
    key: bytes = field(repr=False)
    begins: datetime.datetime  # when every certificate of the chain is valid
    ends: datetime.datetime

    def require(self) -> None:
        """Raises SigningError outside the days in which the certificates are valid."""
        now = datetime.datetime.now(datetime.UTC)
        if now >= self.ends:
            raise SigningError(
                f"{self.folder / CERTIFICATES}: a certificate expired at {self.ends:%Y-%m-%d %H:%M} UTC. Put a new chain in its place "
                "and start again."
            )
        if now < self.begins:
            raise SigningError(
                f"{self.folder / CERTIFICATES}: a certificate is valid only from {self.begins:%Y-%m-%d %H:%M} UTC; it is "
                f"{now:%Y-%m-%d %H:%M}. Is the clock of this machine right?"
            )

    def signed(self, content: bytes, about: Mapping[str, Any]) -> bytes:
        """The WAV with its manifest, read back and compared. Raises SigningError."""
        self.require()
        c2pa = library()
        made = io.BytesIO()
        try:
            info = c2pa.C2paSignerInfo("es256", self.chain, self.key, None)
            with c2pa.Settings.from_dict(SETTINGS) as settings, c2pa.Context(settings) as context:
                with (
                    c2pa.Signer.from_info(info) as signer,
                    c2pa.Builder(_manifest(about), context) as builder,
                ):
                    builder.sign(signer, WAV, io.BytesIO(content), made)
                with c2pa.Reader(WAV, io.BytesIO(made.getvalue()), context=context) as reader:
                    state, found = reader.get_validation_state(), reader.get_validation_results()
        except c2pa.C2paError as problem:
            raise SigningError(
                f"{self.folder}: the C2PA library does not sign with it: {str(problem)[:400]}"
            ) from None
        if state not in WHOLE:
            raise SigningError(
                f"{self.folder}: what was signed with it is not valid ({_failures(found)}). The certificate needs the usage digitalSignature "
                "and an extended one such as emailProtection, and must not be an authority itself: see docs/serving.md."
            )
        return made.getvalue()


def of_environment() -> Signer | None:
    """The signer that the environment names; None where it names none."""
    folder = os.environ.get(SIGN)
    return read(Path(folder)) if folder else None


def read(folder: Path) -> Signer:
    """Certificates and key of a folder, after everything was checked and one second of silence was signed. Raises SigningError."""
    library()
    chain, key = _content(folder / CERTIFICATES), _private(folder / KEY)
    begins, ends = _checked(folder, chain, key)
    signer = Signer(folder, chain, key, begins, ends)
    signer.signed(sentences.wav_of(b"\0\0" * 16_000, 16_000), {})
    return signer


def library() -> Any:
    """The module c2pa. Raises SigningError that names the extra."""
    try:
        import c2pa
    except ImportError as problem:
        raise SigningError(
            f"Signing needs the package c2pa-python, which cannot be imported ({problem}). Install it: pip install 'voicelathe[c2pa]'"
        ) from None
    return c2pa


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise SigningError(
            f"{path} is missing. The folder to sign with holds {CERTIFICATES} (the signer's certificate first, then those above it) "
            f"and {KEY} (ES256)."
        )
    return path.read_bytes()


def _private(path: Path) -> bytes:
    content = _content(path)
    if path.stat().st_mode & 0o077:
        raise SigningError(f"{path}: others on this machine may read it. Make it private: chmod 600 {path}")
    return content


def _checked(folder: Path, chain: bytes, key: bytes) -> tuple[datetime.datetime, datetime.datetime]:
    """The time in which every certificate is valid. Raises SigningError for files that do not belong together."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError:
        raise SigningError(
            f"{folder / CERTIFICATES} holds no certificates in PEM (-----BEGIN CERTIFICATE-----)."
        ) from None
    try:
        private = load_pem_private_key(key, None)
    except TypeError:
        raise SigningError(
            f"{folder / KEY} is protected by a passphrase, which nobody could type here. Store it without one, readable by you alone."
        ) from None
    except Exception:  # cryptography has several for what it cannot read
        raise SigningError(f"{folder / KEY} holds no private key in PEM.") from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise SigningError(
            f"{folder / KEY} is no key for ES256. Make one: openssl ecparam -name prime256v1 -genkey"
        )
    if certificates[0].public_key() != private.public_key():
        raise SigningError(
            f"{folder / KEY} is not the key of the first certificate in {folder / CERTIFICATES}; the signer's own comes first."
        )
    for lower, upper in itertools.pairwise(certificates):
        try:
            lower.verify_directly_issued_by(upper)
        except (ValueError, TypeError, InvalidSignature):
            raise SigningError(
                f"{folder / CERTIFICATES}: {lower.subject.rfc4514_string()} was not issued by {upper.subject.rfc4514_string()}, which "
                "follows it. Each certificate is followed by the one that issued it."
            ) from None
    begins = max(one.not_valid_before_utc for one in certificates)
    ends = min(one.not_valid_after_utc for one in certificates)
    Signer(folder, chain, key, begins, ends).require()
    return begins, ends


def _manifest(about: Mapping[str, Any]) -> dict[str, Any]:
    created = {"action": "c2pa.created", "digitalSourceType": MACHINE_MADE}
    return {
        "claim_generator_info": [{"name": "voicelathe", "version": __version__}],
        "format": WAV,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ABOUT, "data": dict(about)},
        ],
    }


def _failures(found: Mapping[str, Any] | None) -> str:
    failures = ((found or {}).get("activeManifest") or {}).get("failure") or []
    return "; ".join(str(one.get("code")) for one in failures) or "no reason given"
