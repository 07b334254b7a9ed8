"""What each recording profile leaves out of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..policy import Policy, Profile
from .own_rules import OwnRules


@dataclass(frozen=True)
class RecordingProfile:
    """What is recorded under a profile. The built-in secrets are redacted under each.

    Attributes:
        title: in words, for people.
        console, sources, environment: whether these are recorded at all. `sources` stands for the uncommitted changes
            too, `environment` for packages and machine.
        names: whether the names of host and person are recorded; else pseudonyms, and paths without a home folder.
        paths: whether the environment may say where on the machine things lie, and who is logged in.
        contacts: whether e-mail and IP addresses are recorded.
    """

    name: Profile
    title: str
    console: bool = True
    sources: bool = True
    environment: bool = True
    names: bool = True
    paths: bool = True
    contacts: bool = True


PROFILES: dict[Profile, RecordingProfile] = {
    "full": RecordingProfile("full", "Everything but secrets"),
    "standard": RecordingProfile(
        "standard",
        "Everything but secrets, e-mail and IP addresses, and the paths of the machine",
        paths=False,
        contacts=False,
    ),
    "strict": RecordingProfile(
        "strict",
        "No sources, console and environment; host and person by pseudonym",
        console=False,
        sources=False,
        environment=False,
        names=False,
        paths=False,
        contacts=False,
    ),
}


def rules_under(policy: Policy) -> OwnRules:
    """The rules that hold beside the built-in ones: the policy's, and what its profile adds to them."""
    if PROFILES[policy.profile].contacts:
        return policy.redaction
    return replace(policy.redaction, emails=True, addresses=True)


# Of `cloister.environment`: what a profile without paths leaves out.
PATH_FACTS = frozenset({
    "python_executable", "python_prefix", "virtual_environment", "conda_environment", "working_folder", "login",
    "pid",
})  # fmt: skip
# Of `cloister.git`: what a profile without sources keeps.
GIT_FACTS = frozenset({"state", "commit", "dirty", "detached", "reason", "read_seconds"})
