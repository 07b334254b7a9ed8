"""Who sees which run: the filter of every query, the same rule for one run, and all that RunStore reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, ClassVar

import hypothesis
import pymongo
import pytest
from access_world import HIDDEN, MISSING, PEOPLE, SITE, Grant, Site
from cloister.observer.access.counting import count_visible
from cloister.observer.access.groups import add_group, find_group, remove_group, set_people
from cloister.observer.access.memberships import load_principal
from cloister.observer.access.principal import LOCAL, NOBODY, Principal
from cloister.observer.access.project_settings import Member, put_member, remove_member, set_default_visibility
from cloister.observer.access.run_sharing import (
    BadSharing,
    BadVisibility,
    Sharing,
    parse_shared_with,
    parse_visibility,
    store_sharing,
)
from cloister.observer.access.visibility import sees, visible_in_project, visible_runs
from cloister.observer.blobs import BlobNotFound
from cloister.observer.indexes import ensure_indexes
from cloister.observer.read_only import WritesNotWanted, read_only
from cloister.observer.run_query import RunQuery, match_project
from cloister.observer.run_record import read_run
from cloister.observer.runs import MetricNotFound, ProjectNotFound, RunNotFound, RunStore
from cloister.viewer.accounts.users import find_user
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pymongo.database import Database

Document = dict[str, Any]
NAMES = st.sampled_from(["ana", "ben", "cleo"])
GROUPS = st.sampled_from(["vision", "speech"])
PROJECTS = st.sampled_from(["digits", "other", "closed", "unnamed", "*"])
VISIBILITIES = st.sampled_from([None, "private", "project", "site", "nonsense", 7])


@pytest.fixture(scope="module")
def world(mongod: str) -> Iterator[Database[Document]]:
    """The site of access_world.py, to be read only."""
    with pymongo.MongoClient(mongod, tz_aware=True) as client:
        database: Database[Document] = client["test_access_world"]
        client.drop_database(database.name)
        ensure_indexes(database)
        SITE.store(database, PEOPLE)
        yield database
        client.drop_database(database.name)


def seen_by(database: Database[Document], name: str) -> RunStore:
    user = find_user(database, name)
    assert user is not None
    return RunStore(database).seen_by(load_principal(database, name, site=user.site))


# ---- the rule


@pytest.mark.parametrize("name", PEOPLE)
def test_a_person_sees_the_runs_that_the_rule_says(world: Database[Document], name: str) -> None:
    store = seen_by(world, name)
    expected = SITE.seen_by(name)

    assert {run.id for run in store.find_runs(RunQuery())} == expected
    for run_id in SITE.runs:
        assert sees(store.principal, RunStore(world).load_run(run_id)) == (run_id in expected)
    assert sum(project.run_count for project in store.list_projects()) == len(expected)


def test_the_examples_tell_every_person_apart() -> None:
    assert SITE.seen_by("root") == set(SITE.runs)
    assert SITE.seen_by("ana") == {7001, 7002, 7003, 7005, 7008, 7009}
    assert SITE.seen_by("ben") == {7001, 7004, 7005, 7008, 7009}
    assert SITE.seen_by("cleo") == {7001, 7004, 7005, 7007, 7008}
    assert SITE.seen_by("mallory") == {7003, 7005, 7006, 7008}
    assert SITE.seen_by("guest") == {7005, 7008}
    assert SITE.seen_by("otto") == set()


def _documents() -> st.SearchStrategy[Document]:
    ours = st.fixed_dictionaries(
        {},
        optional={
            "project": st.one_of(PROJECTS, st.sampled_from(["", None, 5])),
            "owner": st.one_of(NAMES, st.sampled_from(["", None])),
            "visibility": VISIBILITIES,
            "shared_with": st.fixed_dictionaries(
                {}, optional={"people": st.lists(NAMES, max_size=2), "groups": st.lists(GROUPS, max_size=2)}
            ),
        },
    )
    experiment = st.fixed_dictionaries({"name": st.one_of(PROJECTS, st.sampled_from(["", None]))})
    return st.fixed_dictionaries({"cloister": ours}, optional={"experiment": experiment})


def _principals() -> st.SearchStrategy[Principal]:
    return st.builds(
        Principal,
        name=st.one_of(NAMES, st.just("")),
        kind=st.sampled_from(["person", "token", "nobody", "local", "share"]),
        groups=st.frozensets(GROUPS),
        roles=st.dictionaries(PROJECTS, st.sampled_from(["viewer", "editor", "admin"]), max_size=3),
        site=st.frozensets(st.sampled_from(["admin", "auditor"])),
        scopes=st.frozensets(st.sampled_from(["read", "record", "admin"])),
        projects=st.none() | st.frozensets(PROJECTS),
        defaults=st.dictionaries(PROJECTS, st.sampled_from(["private", "site"]), max_size=2),
        run_id=st.none() | st.integers(0, 30),
    )


@hypothesis.settings(max_examples=30, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    documents=st.lists(_documents(), min_size=8, max_size=24), principal=_principals(), limit=st.none() | _principals()
)
def test_filter_and_rule_agree_for_every_run_and_principal(
    database: Database[Document], documents: list[Document], principal: Principal, limit: Principal | None
) -> None:
    principal = replace(principal, limited_to=limit)
    database["runs"].delete_many({})
    database["runs"].insert_many([{"_id": number, **document} for number, document in enumerate(documents)])

    found = {run["_id"] for run in database["runs"].find(visible_runs(principal), {"_id": 1})}

    in_its_project = {"$and": [match_project("digits"), visible_runs(principal)]}
    of_project = database["runs"].count_documents(in_its_project)
    assert count_visible(database, principal, "digits") == of_project
    narrowed = {"$and": [match_project("digits"), visible_in_project(principal, "digits")]}
    assert database["runs"].count_documents(narrowed) == of_project
    for document in database["runs"].find():
        assert (document["_id"] in found) == sees(principal, read_run(document)), document


def test_nobody_and_a_token_without_the_right_to_read_see_nothing(world: Database[Document]) -> None:
    recorder = replace(load_principal(world, "ana"), kind="token", scopes=frozenset({"record"}))
    for principal in (NOBODY, recorder):
        assert RunStore(world).seen_by(principal).list_projects() == ()


def test_a_token_sees_the_runs_of_its_projects_alone(world: Database[Document]) -> None:
    token = load_principal(world, "ana", kind="token", scopes=["read"], projects=["closed"])
    assert {run.id for run in RunStore(world).seen_by(token).find_runs(RunQuery())} == {7009}
    admins = load_principal(world, "root", site=["admin"], kind="token", scopes=["read"], projects=["closed"])
    assert {run.id for run in RunStore(world).seen_by(admins).find_runs(RunQuery())} == {7007, 7009}


def test_looking_as_somebody_shows_what_both_see(world: Database[Document]) -> None:
    ana, ben = load_principal(world, "ana"), load_principal(world, "ben")
    looking = RunStore(world).seen_by(ana.looking_as(ben))

    assert {run.id for run in looking.find_runs(RunQuery())} == SITE.seen_by("ana") & SITE.seen_by("ben")
    assert not looking.principal.may("manage", project="closed")
    as_root = load_principal(world, "root", site=["admin"]).looking_as(ben)
    assert {run.id for run in RunStore(world).seen_by(as_root).find_runs(RunQuery())} == SITE.seen_by("ben")


# ---- rights other than seeing (published hole 13: EDIT could delete)

RIGHTS: dict[str, dict[str, str]] = {  # of run 7001, ana's in digits, and of that project
    #          a run: see edit manage delete;   its project: see edit manage;   the site, the audit log
    "ana": {"run": "see edit manage delete", "project": "see edit manage", "site": ""},
    "ben": {"run": "see", "project": "see", "site": ""},
    "cleo": {"run": "see edit", "project": "see edit", "site": ""},
    "mallory": {"run": "", "project": "", "site": ""},
    "guest": {"run": "", "project": "", "site": ""},
    "otto": {"run": "", "project": "", "site": "audit"},
    "root": {"run": "see edit manage delete", "project": "see edit manage", "site": "site audit"},
}


@pytest.mark.parametrize("name", sorted(RIGHTS))
def test_each_role_has_exactly_these_rights(world: Database[Document], name: str) -> None:
    principal = seen_by(world, name).principal
    run = RunStore(world).load_run(7001)

    assert [right for right in ("see", "edit", "manage", "delete") if principal.may(right, run=run)] == RIGHTS[name][
        "run"
    ].split()
    assert [right for right in ("see", "edit", "manage") if principal.may(right, project="digits")] == RIGHTS[name][
        "project"
    ].split()
    assert [right for right in ("site", "audit") if principal.may(right)] == RIGHTS[name]["site"].split()


def test_a_token_may_what_its_scopes_say(world: Database[Document]) -> None:
    run = RunStore(world).load_run(7001)
    for scopes, rights in (
        ({"read"}, ["see"]),
        ({"record"}, []),
        ({"read", "record"}, ["see", "edit"]),
        ({"read", "admin"}, ["see", "edit", "manage", "delete"]),
    ):
        token = load_principal(world, "ana", kind="token", scopes=scopes)  # type: ignore[arg-type]
        assert [right for right in ("see", "edit", "manage", "delete") if token.may(right, run=run)] == rights


def test_a_token_that_is_limited_to_projects_manages_nothing_else(world: Database[Document]) -> None:
    run = RunStore(world).load_run(7001)
    for name, site in (("ana", []), ("root", ["admin"])):
        token = load_principal(world, name, site=site, kind="token", projects=["open"])  # type: ignore[arg-type]
        assert not token.may("manage", project="digits")
        assert not token.may("manage", run=run)
        assert not token.may("site")
        assert token.may("manage", project="open") == token.may("manage") == (name == "root")


def test_a_private_run_is_not_managed_by_an_admin_who_does_not_see_it(world: Database[Document]) -> None:
    run = RunStore(world).load_run(7004)
    assert not load_principal(world, "ana").may("delete", run=run)


# ---- everything that the store reads


def test_a_hidden_run_answers_every_read_like_one_that_never_was(world: Database[Document]) -> None:
    store = seen_by(world, "mallory")

    for run_id in (HIDDEN, MISSING):
        for read in (
            lambda run_id=run_id: store.load_run(run_id),
            lambda run_id=run_id: store.list_metrics(run_id),
            lambda run_id=run_id: store.load_history(run_id),
            lambda run_id=run_id: store.explain_visibility(run_id),
        ):
            with pytest.raises(RunNotFound, match=str(run_id)):
                read()
        for read in (
            lambda run_id=run_id: store.load_points(run_id, "m7002"),
            lambda run_id=run_id: store.load_curve(run_id, "m7002"),
        ):
            with pytest.raises(MetricNotFound, match="It has none yet"):
                read()
        assert store.load_console(run_id).pieces == ()
    assert store.find_run_by_uid(f"uid-{HIDDEN}") is None
    assert store.load_checkpoints(f"uid-{HIDDEN}") == {}
    assert store.count_queued("digits") == 0
    assert {change.run_id for change in store.changes_since(datetime(2020, 1, 1, tzinfo=timezone.utc))} == SITE.seen_by(
        "mallory"
    )


def test_lists_counts_and_columns_know_nothing_of_hidden_runs(world: Database[Document]) -> None:
    """Published hole 12: totals, facets and pages are those of what is seen."""
    store = seen_by(world, "mallory")
    page = store.list_runs(RunQuery(project="digits", page_size=1))

    assert (page.total, len(page.runs)) == (2, 1)
    assert store.find_project("digits").run_count == 2
    columns = store.discover_columns("digits")
    assert {column for column in columns.config if column.startswith("only_")} == {"only_7003", "only_7005"}
    assert set(columns.metrics) == {"m7003", "m7005"}
    assert store.list_runs(RunQuery(text="tag-7002")).total == 0
    assert store.list_runs(RunQuery(text="7002")).total == 0
    assert store.list_runs(RunQuery(sort="config.secret_word")).total == len(SITE.seen_by("mallory"))


def test_a_project_of_hidden_runs_does_not_exist(world: Database[Document]) -> None:
    store = seen_by(world, "guest")
    with pytest.raises(ProjectNotFound) as refused:
        store.find_project("closed")
    with pytest.raises(ProjectNotFound) as unknown:
        store.find_project("clozed")
    assert str(refused.value).replace("closed", "clozed") == str(unknown.value)


def test_a_files_id_alone_opens_nothing(world: Database[Document]) -> None:
    """Published hole 35: a guessed file id is no right to its bytes."""
    store = seen_by(world, "ben")
    own = store.load_run(7001)

    assert store.open_blob("blob-7001", own).read() == b"content"
    for run in (None, own):
        with pytest.raises(BlobNotFound):
            store.open_blob("blob-7002", run)
    with pytest.raises(BlobNotFound):  # a record that was read with more rights does not help
        store.open_blob("blob-7002", RunStore(world).load_run(HIDDEN))


def test_the_database_of_a_store_holds_no_hidden_run_for_any_question(world: Database[Document]) -> None:
    runs = seen_by(world, "mallory").database["runs"]
    expected = SITE.seen_by("mallory")

    assert {run["_id"] for run in runs.find()} == expected
    assert runs.find_one({"_id": HIDDEN}) is None
    assert runs.find_one(HIDDEN) is None
    assert runs.count_documents({}) == runs.estimated_document_count() == len(expected)
    assert set(runs.distinct("_id")) == expected
    assert {run["_id"] for run in runs.aggregate([{"$match": {}}])} == expected
    for stage in ({"$unionWith": "runs"}, {"$out": "stolen"}, {"$merge": "stolen"}):
        with pytest.raises(NotImplementedError):
            runs.aggregate([stage])
    with pytest.raises(AttributeError):
        runs.watch()
    with pytest.raises(NotImplementedError):
        seen_by(world, "mallory").database.aggregate([])


def test_nothing_is_changed_through_a_filter(database: Database[Document]) -> None:
    SITE.store(database, PEOPLE)
    store = seen_by(database, "mallory")

    assert not store_sharing(store.database, HIDDEN, Sharing("site"))
    assert store.database["runs"].update_many({}, {"$set": {"touched": 1}}).matched_count == len(
        SITE.seen_by("mallory")
    )
    assert store.database["runs"].delete_one({"_id": HIDDEN}).deleted_count == 0
    assert database["runs"].find_one({"_id": HIDDEN, "touched": {"$exists": False}}) is not None


def test_a_seen_store_of_a_database_for_reading_writes_nothing(world: Database[Document]) -> None:
    store = RunStore(read_only(world)).seen_by(load_principal(world, "ana"))
    with pytest.raises(WritesNotWanted):
        store_sharing(store.database, 7001, Sharing("site"))


def test_a_store_without_a_principal_is_that_of_a_script(world: Database[Document]) -> None:
    assert RunStore(world).principal is LOCAL
    assert len(RunStore(world).find_runs(RunQuery())) == len(SITE.runs)


# ---- what a run says of itself


def test_a_run_is_recorded_with_its_visibility(start: Any, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(visibility="private", shared_with=["ana", "group:vision team"]) as run:
        pass
    assert run.wait_until_stored()
    found = store.find_run_by_uid(run.uid)
    assert found is not None
    assert (found.visibility, found.shared_people, found.shared_groups) == ("private", ("ana",), ("vision team",))

    monkeypatch.setenv("CLOISTER_VISIBILITY", "site")
    monkeypatch.setenv("CLOISTER_SHARED_WITH", "ben group:speech")
    with start() as run:
        pass
    assert run.wait_until_stored()
    found = store.find_run_by_uid(run.uid)
    assert found is not None
    assert (found.visibility, found.shared_people, found.shared_groups) == ("site", ("ben",), ("speech",))


def test_a_visibility_that_there_is_not_is_refused_with_the_three() -> None:
    with pytest.raises(BadVisibility, match="'public' is no visibility"):
        parse_visibility("public")
    for given in (["$where"], [""], ["x" * 201], [7], ["a\nb"], [f"n{n}" for n in range(201)]):
        with pytest.raises(BadSharing, match="cannot be shared with"):
            parse_shared_with(given)


# ---- rights change in any order, and every person sees what the rule says afterwards


class ChangingRights(RuleBasedStateMachine):
    """Members come and go, groups fill, runs are shared: after each step all see exactly what they may."""

    databases: ClassVar[list[Database[Document]]]  # in a list: a database says yes to every attribute it is asked for

    @property
    def database(self) -> Database[Document]:
        return self.databases[0]

    @initialize()
    def begin(self) -> None:
        for name in ("runs", "groups", "projects"):
            self.database[name].delete_many({})
        self.site = Site(groups={"vision": set(), "speech": set()})
        for group in self.site.groups:
            add_group(self.database, group)
        for number, (project, owner) in enumerate(
            (project, owner) for project in ("digits", "other", "closed") for owner in ("ana", "ben", "")
        ):
            self.site.runs[number] = Grant(project, owner)
            self.database["runs"].insert_one({"_id": number, "cloister": {"project": project, "owner": owner}})

    @rule(project=st.sampled_from(["digits", "other", "*"]), name=NAMES, role=st.sampled_from(["viewer", "admin"]))
    def give_a_role(self, project: str, name: str, role: Any) -> None:
        put_member(self.database, project, Member("person", name, role))
        self.site.members.setdefault(project, {})[f"person:{name}"] = role

    @rule(project=st.sampled_from(["digits", "other"]), group=GROUPS)
    def give_a_group_a_role(self, project: str, group: str) -> None:
        put_member(self.database, project, Member("group", group, "viewer"))
        self.site.members.setdefault(project, {})[f"group:{group}"] = "viewer"

    @rule(
        project=st.sampled_from(["digits", "other", "*"]),
        who=st.tuples(st.just("person"), NAMES) | st.tuples(st.just("group"), GROUPS),
    )
    def take_a_role(self, project: str, who: tuple[str, str]) -> None:
        remove_member(self.database, project, *who)
        self.site.members.get(project, {}).pop(":".join(who), None)

    @rule(group=GROUPS, people=st.sets(NAMES))
    def fill_a_group(self, group: str, people: set[str]) -> None:
        if group in self.site.groups:
            set_people(self.database, group, people)
            self.site.groups[group] = people

    @precondition(lambda self: "speech" in self.site.groups)
    @rule()
    def remove_a_group(self) -> None:
        remove_group(self.database, "speech")
        del self.site.groups["speech"]
        for given in self.site.members.values():
            given.pop("group:speech", None)
        for run in self.site.runs.values():
            run.groups = tuple(group for group in run.groups if group != "speech")

    @precondition(lambda self: "speech" not in self.site.groups)
    @rule()
    def make_it_again(self) -> None:
        add_group(self.database, "speech")
        self.site.groups["speech"] = set()
        assert find_group(self.database, "speech").people == ()

    @rule(project=st.sampled_from(["digits", "closed"]), visibility=st.sampled_from(["private", "project", "site"]))
    def choose_a_default(self, project: str, visibility: str) -> None:
        set_default_visibility(self.database, project, visibility)
        self.site.defaults[project] = visibility

    @rule(
        number=st.integers(0, 8),
        visibility=st.sampled_from(["", "private", "project", "site"]),
        people=st.sets(NAMES, max_size=2),
        groups=st.sets(GROUPS, max_size=1),
    )
    def share_a_run(self, number: int, visibility: str, people: set[str], groups: set[str]) -> None:
        groups &= set(self.site.groups)
        assert store_sharing(self.database, number, Sharing(visibility, tuple(people), tuple(groups)))
        run = self.site.runs[number]
        run.visibility, run.people, run.groups = visibility or None, tuple(people), tuple(groups)

    @invariant()
    def all_see_what_they_may(self) -> None:
        for name in ("ana", "ben", "cleo"):
            principal = load_principal(self.database, name)
            found = {run["_id"] for run in self.database["runs"].find(visible_runs(principal), {"_id": 1})}
            assert found == self.site.seen_by(name), name


def test_rights_hold_through_any_changes(database: Database[Document]) -> None:
    ChangingRights.databases = [database]
    settings = hypothesis.settings(
        max_examples=5, stateful_step_count=20, suppress_health_check=list(hypothesis.HealthCheck)
    )
    hypothesis.stateful.run_state_machine_as_test(ChangingRights, settings=settings)
