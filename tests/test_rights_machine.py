"""Accounts, sessions, tokens and roles come and go in any order; each credential opens what a model says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import hypothesis
from cloister.observer.access.project_settings import Member, put_member, remove_member
from cloister.observer.access.run_sharing import Sharing, store_sharing
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.account_changes import disable_user, enable_user
from cloister.viewer.accounts.current import COOKIE
from cloister.viewer.accounts.sessions import end_session, end_sessions, hash_of, open_session
from cloister.viewer.accounts.tokens import make_token, revoke_token
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from flask import Flask
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from pymongo.database import Database
from running_viewer import insert_run

Documents = Database[dict[str, Any]]

PEOPLE = ("ana", "ben", "cleo")
RUNS = {1: ("digits", "ana"), 2: ("digits", ""), 3: ("speech", "ben")}
NAMES = st.sampled_from(PEOPLE)
PROJECTS = st.sampled_from(["digits", "speech"])


@dataclass(frozen=True)
class Credential:
    """What somebody shows: a session's id or a token, and what that was limited to."""

    kind: str
    secret: str
    key: str
    name: str
    projects: frozenset[str] | None = None

    @property
    def headers(self) -> dict[str, str]:
        return (
            {"Cookie": f"{COOKIE}={self.secret}"}
            if self.kind == "session"
            else {"Authorization": f"Bearer {self.secret}"}
        )


@dataclass
class Model:
    """What holds, said as simply as it can be."""

    living: set[Credential] = field(default_factory=set)
    known: list[Credential] = field(default_factory=list)
    disabled: set[str] = field(default_factory=set)
    members: set[tuple[str, str]] = field(default_factory=set)
    shared: dict[int, tuple[str, frozenset[str]]] = field(
        default_factory=lambda: dict.fromkeys(RUNS, ("", frozenset()))
    )

    def status(self, credential: Credential, run: int) -> int:
        """Of an answer to somebody who shows this and asks for this run."""
        project, owner = RUNS[run]
        visibility, people = self.shared[run]
        name = credential.name
        if credential not in self.living or name in self.disabled:
            return 401
        if credential.projects is not None and project not in credential.projects:
            return 404
        is_open = visibility == "site" or (visibility in ("", "project") and (project, name) in self.members)
        return 200 if owner == name or name in people or is_open else 404


class ComingAndGoing(RuleBasedStateMachine):
    databases: ClassVar[list[Documents]]  # in a list: a database says yes to every attribute it is asked for
    app: ClassVar[Flask]
    credentials = Bundle("credentials")

    @property
    def database(self) -> Documents:
        return self.databases[0]

    @initialize()
    def begin(self) -> None:
        for name in ("runs", "users", "sessions", "tokens", "projects", "groups"):
            self.database[name].delete_many({})
        self.model = Model()
        for number, (project, owner) in RUNS.items():
            insert_run(self.database, number, project=project)
            changes = {"$set": {"cloister.owner": owner}, "$unset": {"cloister.visibility": 1}}
            self.database["runs"].update_one({"_id": number}, changes)
        add_user(self.database, "root", site=["admin"])
        for name in PEOPLE:
            add_user(self.database, name)

    @rule(target=credentials, name=NAMES)
    def sign_in(self, name: str) -> Credential:
        secret = open_session(self.database, name)
        return self._add(Credential("session", secret, hash_of(secret), name))

    @rule(target=credentials, name=NAMES, projects=st.none() | st.frozensets(PROJECTS, min_size=1))
    def make_a_token(self, name: str, projects: frozenset[str] | None) -> Credential:
        text, token = make_token(self.database, name, name="t", scopes=["read"], projects=projects)
        return self._add(Credential("token", text, token.key, name, projects))

    def _add(self, credential: Credential) -> Credential:
        self.model.living.add(credential)
        self.model.known.append(credential)
        return credential

    @rule(credential=consumes(credentials))
    def revoke(self, credential: Credential) -> None:
        if credential.kind == "session":
            end_session(self.database, credential.key, user=credential.name)
        else:
            revoke_token(self.database, credential.key, user=credential.name)
        self.model.living.discard(credential)

    @rule(name=NAMES)
    def sign_out_everywhere(self, name: str) -> None:
        end_sessions(self.database, name)
        self._end_sessions(name)

    @rule(name=NAMES)
    def disable(self, name: str) -> None:
        disable_user(self.database, name)
        self.model.disabled.add(name)
        self._end_sessions(name)
        self.model.living -= {each for each in self.model.living if each.name == name}

    @rule(name=NAMES)
    def enable(self, name: str) -> None:
        enable_user(self.database, name)
        self.model.disabled.discard(name)

    def _end_sessions(self, name: str) -> None:
        ended = {each for each in self.model.living if each.name == name and each.kind == "session"}
        self.model.living -= ended

    @rule(project=PROJECTS, name=NAMES, role=st.sampled_from(["viewer", "editor", "admin"]))
    def grant(self, project: str, name: str, role: Any) -> None:
        put_member(self.database, project, Member("person", name, role))
        self.model.members.add((project, name))

    @rule(project=PROJECTS, name=NAMES)
    def take_back(self, project: str, name: str) -> None:
        remove_member(self.database, project, "person", name)
        self.model.members.discard((project, name))

    @rule(
        run=st.sampled_from(sorted(RUNS)),
        visibility=st.sampled_from(["private", "project", "site"]),
        people=st.frozensets(NAMES, max_size=1),
    )
    def share(self, run: int, visibility: Any, people: frozenset[str]) -> None:
        assert store_sharing(self.database, run, Sharing(visibility, tuple(people), ()))
        self.model.shared[run] = (visibility, people)

    @invariant()
    def every_credential_opens_what_it_should(self) -> None:
        for credential in self.model.known[-4:]:
            for run in RUNS:
                answer = self.app.test_client(use_cookies=False).get(f"/api/v1/runs/{run}", headers=credential.headers)
                assert answer.status_code == self.model.status(credential, run), (credential, run)

    @invariant()
    def without_one_nothing_opens(self) -> None:
        assert self.app.test_client().get("/api/v1/runs/1").status_code == 401


def test_credentials_open_what_the_rights_of_the_moment_say(database: Documents) -> None:
    ComingAndGoing.databases = [database]
    ComingAndGoing.app = create_app(RunStore(database))
    settings = hypothesis.settings(
        max_examples=6, stateful_step_count=15, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.stateful.run_state_machine_as_test(ComingAndGoing, settings=settings)
