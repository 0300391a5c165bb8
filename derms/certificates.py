"""When a certificate ends. Pure.

Source: RFC 5280, section 4.1: Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serialNumber,
signature, issuer, validity SEQUENCE { notBefore, notAfter }, ... } ... }. ITU-T X.690: tag, length, value.
"""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

_END = "-----END CERTIFICATE-----"
_VERSION = 0xA0


def ends_at(pem: str) -> datetime:
    """The end of the first certificate, which in a chain is the one that is shown.

    Args:
        pem: One certificate or a chain; a key may stand with them.

    Raises:
        ValueError: There is none, or it is none.
    """
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    end = pem.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError("there is no certificate")
    try:
        _, certificate = next(_values(ssl.PEM_cert_to_DER_cert(pem[begin : end + len(_END)])))
        _, signed = next(_values(certificate))
        fields = [value for tag, value in _values(signed) if tag != _VERSION]
        _, (tag, until) = _values(fields[3])
    except (IndexError, StopIteration) as error:
        raise ValueError("it is no certificate") from error
    match tag:
        case 0x17:  # UTCTime
            # RFC 5280: two digits from 50 on are of the last century; Python turns at 69, and nothing ends there.
            return datetime.strptime(until.decode(), "%y%m%d%H%M%SZ").replace(tzinfo=UTC)
        case 0x18:  # GeneralizedTime
            return datetime.strptime(until.decode(), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
        case _:
            raise ValueError("its end is no time")


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and value of each element, as far as the bytes go."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size])
            at += size
        yield tag, data[at : at + length]
        at += length
