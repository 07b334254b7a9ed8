"""The ways in through other systems: OpenID Connect, LDAP, a reverse proxy; what can be said of each."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class GroupRules:
    """What another system's groups mean here.

    Attributes:
        groups: its groups by name -> ours, of which people become and cease to be members as they sign in.
        required_groups: whoever is in none of them does not get in; empty lets everybody in whom the system knows.
        admin_groups, auditor_groups: whose members are site admins and auditors. Where one of the two is said, the
            system decides both for its people; where none is, that is decided here.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    required_groups: tuple[str, ...] = ()
    admin_groups: tuple[str, ...] = ()
    auditor_groups: tuple[str, ...] = ()

    @property
    def rules_site(self) -> bool:
        return bool(self.admin_groups or self.auditor_groups)


@dataclass(frozen=True)
class OidcSettings(GroupRules):
    """An OpenID provider, such as Keycloak.

    Attributes:
        issuer: its address, exactly as it names itself in its tokens.
        client_secret: read from `client_secret_file`; empty for a public client, which PKCE protects alone.
        ca_file: certificates that vouch for it, where the system's do not.
        further_hosts: hosts beside the issuer's that its endpoints may lie on.
        name_claim: the claim that becomes a new account's name. Who somebody is, `sub` alone says.
        second_factor: it asks for one itself, so that a policy which wants one of everybody is met.
    """

    issuer: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    ca_file: Path | None = None
    further_hosts: tuple[str, ...] = ()
    label: str = "Single sign-on"
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    second_factor: bool = False


@dataclass(frozen=True)
class LdapSettings(GroupRules):
    """An LDAP server, such as OpenLDAP or Active Directory; `{name}` and `{dn}` in filters are escaped.

    Attributes:
        uri: ldaps://..., or ldap://..., over which nothing is said before StartTLS.
        bind_dn: who searches; empty searches anonymously. Its password is read from `bind_password_file`.
        id_attribute: what never changes of a person: entryUUID, or objectGUID of Active Directory.
        group_base: where groups are searched; empty takes them from `member_of_attribute` of the person.
    """

    uri: str = ""
    ca_file: Path | None = None
    bind_dn: str = ""
    bind_password: str = field(default="", repr=False)
    user_base: str = ""
    user_filter: str = "(&(objectClass=person)(uid={name}))"
    name_attribute: str = "uid"
    full_name_attribute: str = "cn"
    email_attribute: str = "mail"
    id_attribute: str = "entryUUID"
    group_base: str = ""
    group_filter: str = "(&(objectClass=groupOfNames)(member={dn}))"
    group_name_attribute: str = "cn"
    member_of_attribute: str = "memberOf"


@dataclass(frozen=True)
class ProxySettings(GroupRules):
    """A reverse proxy that asks people who they are and says so in a header.

    Attributes:
        addresses: where it connects from. From anywhere else its headers are ignored.
        secret: read from `secret_file`; what it sends in `secret_header` with each request, to be believed.
        second_factor: it asks for one, so that a policy which wants one of everybody is met; without it, such a policy
            keeps everybody out who comes this way.
    """

    addresses: tuple[Network, ...] = ()
    secret: str = field(default="", repr=False)
    secret_header: str = "X-Cloister-Proxy-Secret"  # noqa: S105  # a header's name
    user_header: str = "X-Remote-User"
    groups_header: str = ""
    full_name_header: str = ""
    email_header: str = ""
    second_factor: bool = False


@dataclass(frozen=True)
class IdentitySettings:
    """All ways in from outside.

    Attributes:
        path: the file that says so.
        address: the address by which people reach the viewer: the provider sends them back there.
    """

    path: Path
    address: str = ""
    oidc: OidcSettings | None = None
    ldap: LdapSettings | None = None
    proxy: ProxySettings | None = None
