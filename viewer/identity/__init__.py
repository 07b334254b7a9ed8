"""The ways in through other systems: OpenID Connect, LDAP, a trusted reverse proxy."""
