"""OpenLDAP's server on this machine, with some people and groups in it, over TLS by a certificate of the tests."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conftest import free_port
from install_directory import find_server
from tls_certificates import Authority

BASE = "dc=lab,dc=example"
SEARCHER = f"cn=searcher,{BASE}"
PASSWORDS = {
    "searcher": "looks but does not touch",
    "ana": "Ana's pass\\word*()",
    "bo": "pässwörd €",
    "root": "root at ldap",
}

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
# As careless as many are: it says "welcome" to an empty password, as whoever that claims to be.
allow bind_anon_cred bind_anon_dn
database mdb
directory {folder}/data
suffix "{base}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{searcher}" read by self read by * none
"""

PEOPLE = """
dn: {base}
objectClass: dcObject
objectClass: organization
o: Lab
dc: lab

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups

dn: cn=searcher,{base}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: searcher
userPassword: {searcher}

dn: cn=Ana (Silva)\\, Dr.,ou=people,{base}
objectClass: inetOrgPerson
uid: ana
cn: Ana (Silva), Dr.
sn: Silva
mail: ana@lab.example
userPassword: {ana}

dn: uid=bo,ou=people,{base}
objectClass: inetOrgPerson
uid: bo
cn: Bo
sn: Bo
userPassword: {bo}

dn: uid=twin,ou=people,{base}
objectClass: inetOrgPerson
uid: twin
cn: Twin
sn: Twin
userPassword: {bo}

dn: cn=other twin,ou=people,{base}
objectClass: inetOrgPerson
uid: twin
cn: other twin
sn: Twin
userPassword: {ana}

dn: uid=root,ou=people,{base}
objectClass: inetOrgPerson
uid: root
cn: Root
sn: Root
userPassword: {root}

dn: uid=nopassword,ou=people,{base}
objectClass: inetOrgPerson
uid: nopassword
cn: Nopassword
sn: Nopassword

dn: cn=trackers,ou=groups,{base}
objectClass: groupOfNames
cn: trackers
member: cn=Ana (Silva)\\, Dr.,ou=people,{base}
member: uid=root,ou=people,{base}
member: uid=twin,ou=people,{base}
member: uid=nopassword,ou=people,{base}

dn: cn=vision,ou=groups,{base}
objectClass: groupOfNames
cn: vision
member: cn=Ana (Silva)\\, Dr.,ou=people,{base}
"""


@dataclass(frozen=True)
class Directory:
    """A running server: plain with StartTLS, and over TLS from the first byte."""

    ldap: str
    ldaps: str
    ca: Path


@contextmanager
def running_slapd(folder: Path) -> Iterator[Directory]:
    authority = Authority(folder / "ca")
    certificate, key = authority.server("slapd")
    (folder / "data").mkdir()
    config = folder / "slapd.conf"
    config.write_text(
        CONFIG.format(folder=folder, ca=authority.ca, certificate=certificate, key=key, base=BASE, searcher=SEARCHER)
    )
    slapd = find_server("slapd")
    assert slapd is not None
    people = PEOPLE.format(base=BASE, **PASSWORDS).encode()
    slapadd = [str(Path(slapd).with_name("slapadd")), "-q", "-f", str(config)]
    subprocess.run(slapadd, input=people.strip(), check=True, capture_output=True)
    directory = Directory(f"ldap://127.0.0.1:{free_port()}", f"ldaps://127.0.0.1:{free_port()}", authority.ca)
    # At a second address, too, which its certificate does not name.
    elsewhere = directory.ldap.replace("127.0.0.1", "127.0.0.2")
    command = [slapd, "-f", str(config), "-h", f"{directory.ldap}/ {directory.ldaps}/ {elsewhere}/", "-d", "0"]
    with (folder / "slapd.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "LDAPNOINIT": "1"})
    try:
        _wait_for(folder / "slapd.pid", server)
        yield directory
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    """slapd writes its number once it listens."""
    deadline = time.monotonic() + 10
    while not path.exists():
        assert server.poll() is None, "slapd did not start"
        assert time.monotonic() < deadline, "slapd did not start in 10 s"
        time.sleep(0.01)
