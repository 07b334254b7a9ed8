"""The redaction rules in words, for people who decide about them."""

from __future__ import annotations

from dataclasses import dataclass

from .own_rules import OwnRules


@dataclass(frozen=True)
class RuleWords:
    """A rule as pages and documents name it. `name` is what marks and counts say."""

    name: str
    finds: str
    is_on: bool = True


BUILT_IN_WORDS: tuple[RuleWords, ...] = (
    RuleWords("password", "what is assigned to a password, passphrase or passcode"),
    RuleWords("secret", "what is assigned to a secret, and everything in credentials"),
    RuleWords("token", "what is assigned to a token, where it looks like one"),
    RuleWords("api-key", "what is assigned to an api, access, private, signing or encryption key"),
    RuleWords("access-token", "tokens of forges, registries and services, by their prefix"),
    RuleWords("cloud-key", "keys and signatures of clouds"),
    RuleWords("jwt", "JSON Web Tokens"),
    RuleWords("authorization", "what follows Bearer, and Authorization: Basic"),
    RuleWords("private-key", "private key blocks, in whole"),
    RuleWords("url-credentials", "user and password in an address"),
    RuleWords("secret-file", "the bytes of a file that the run reads, where its name says that it holds secrets"),
)


def rules_in_force(own: OwnRules) -> tuple[RuleWords, ...]:
    """All rules, the optional ones too, with what each finds."""
    return (
        *BUILT_IN_WORDS,
        RuleWords("email", "e-mail addresses", own.emails),
        RuleWords("ip-address", "IP addresses but this machine's own", own.addresses),
        *(RuleWords(name, pattern) for name, pattern in own.patterns.items()),
        *((RuleWords("config-path", ", ".join(own.config)),) if own.config else ()),
        *((RuleWords("environment", "values of " + ", ".join(own.environment)),) if own.environment else ()),
    )
