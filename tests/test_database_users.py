"""MongoDB's accounts for Cloister: what each kind may do, over TLS, by password and by certificate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloister
import pymongo
import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.database_users import KINDS, add_user, find_kind, list_users
from cloister.observer.database_users.kinds import ADDED_ONCE, AUDIT, REWRITTEN, RULES, RUN_RECORDS, SITE
from cloister.observer.database_users.making import BadUserName, UserExists
from cloister.observer.indexes import ensure_indexes
from cloister.observer.mongo import DatabaseUnreachable, LoginRefused, UnsafeTls, check, client_for
from cloister.observer.runs import RunStore
from conftest import free_port, running_mongod
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from recorded_script import wait_for
from running_viewer import ask, insert_run, running_viewer

pytest.importorskip("cryptography", reason="needs cryptography")
from tls_certificates import Authority, both

HOME = "cloister"
TLS = "directConnection=true&tls=true&tlsCAFile="


@dataclass(frozen=True)
class Guarded:
    """A mongod with accounts and TLS."""

    root: pymongo.MongoClient[dict[str, Any]]
    root_uri: str
    port: int
    authority: Authority

    def uri_of(self, user: Any, **words: str) -> str:
        uri = user.uri(self.root_uri)
        return uri.replace("CLIENT.pem", words.get("certificate", ""))

    def client_of(self, user: Any, **words: str) -> pymongo.MongoClient[dict[str, Any]]:
        return client_for(self.uri_of(user, **words))


@pytest.fixture(scope="module")
def mongod_with_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder / "certificates")
    data = folder / "data"
    data.mkdir()
    key = folder / "key"
    key.write_text("c2VjcmV0" * 8)
    key.chmod(0o600)
    options = ["--keyFile", str(key), "--tlsMode", "preferTLS", "--tlsCAFile", str(authority.ca)]
    options += ["--tlsCertificateKeyFile", str(both(*authority.server())), "--tlsAllowConnectionsWithoutCertificates"]
    port = free_port()
    with running_mongod(data, *options, port=port) as uri:
        with pymongo.MongoClient(uri) as client:
            client.admin.command("createUser", "root", pwd="root", roles=["root"])
        root_uri = f"mongodb://root:root@127.0.0.1:{port}/{HOME}?{TLS}{authority.ca}&authSource=admin"
        with client_for(root_uri) as client:
            ensure_indexes(client[HOME])
            insert_run(client[HOME], 1, config={"lr": "the team's secret"})
            client[HOME]["users"].insert_one({"_id": "ana", "password": "x"})
            client[HOME]["audit"].insert_one({"_id": 1, "hash": "x"})
            yield Guarded(client, root_uri, port, authority)


def record_a_run(uri: str, root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record a run by `uri` and wait until it is in the database `root`."""
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    with cloister.start_run(uri=uri, project="digits", capture="none", hardware=False) as run:
        for step in range(5):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
        run.log_artifact(__file__)
    wait_for(
        lambda: root["runs"].find_one({"cloister.uid": run.uid, "status": "COMPLETED"}), "the run was delivered", 20
    )


@pytest.mark.parametrize("by", ["password", "certificate"])
def test_a_recorder_records_and_reads_nobody_elses_runs(
    mongod_with_tls: Guarded, home: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    certificate, subject = mongod_with_tls.authority.client("gpu-7")
    name = f"ana-{by}"
    user = add_user(mongod_with_tls.root, HOME, name, "recorder", subject=subject if by == "certificate" else None)
    uri = mongod_with_tls.uri_of(user, certificate=str(certificate))
    record_a_run(uri, mongod_with_tls.root[user.database], monkeypatch)
    [run] = mongod_with_tls.root[user.database]["runs"].find()
    assert run["status"] == "COMPLETED"
    assert run["cloister"]["summary"]["loss"]["count"] == 5
    assert len(run["artifacts"]) == 1
    other = add_user(mongod_with_tls.root, HOME, f"bert-{by}", "recorder")
    with client_for(uri) as client, mongod_with_tls.client_of(other) as others:
        for asked in (client[HOME], client[other.database], others[user.database], client["admin"], client["local"]):
            assert refused_all(asked), asked.name
        for collection in ("runs", "fs.files", "fs.chunks", "console", "metric_chunks"):
            assert is_refused(lambda name=collection: client[user.database][name].drop()), collection
        assert is_refused(lambda: client[user.database]["runs"].delete_many({}))
        assert is_refused(lambda: client[user.database].command("createUser", "x", pwd="x", roles=[]))
        assert is_refused(lambda: client[user.database].command("usersInfo", 1))
    assert mongod_with_tls.root[user.database]["runs"].count_documents({}) == 1


def refused_all(database: Any) -> bool:
    """Whether nothing of a database can be read, asked, written or deleted."""
    acts: list[Callable[[], Any]] = [lambda: database.list_collection_names()]
    for name in ("runs", "users", "sessions", "tokens", "audit", "fs.files", "fs.chunks", "console", "metrics"):
        runs = database[name]
        acts += [
            lambda runs=runs: runs.find_one(),
            lambda runs=runs: runs.count_documents({}),
            lambda runs=runs: runs.estimated_document_count(),
            lambda runs=runs: runs.distinct("_id"),
            lambda runs=runs: list(runs.aggregate([{"$limit": 1}])),
            # What an update matches is an answer too: letter by letter it reads a value.
            lambda runs=runs: runs.update_one({"config.lr": {"$regex": "^t"}}, {"$set": {"x": 1}}),
            lambda runs=runs: runs.insert_one({"x": 1}),
            lambda runs=runs: runs.delete_one({}),
        ]
    # By way of a collection of its own: joining and merging need the other one's rights too.
    return all(is_refused(act) for act in acts)


def is_refused(act: Callable[[], Any]) -> bool:
    try:
        act()
    except OperationFailure as error:
        return error.code == 13  # Unauthorized
    return False


def test_a_recorder_cannot_join_another_database_in(mongod_with_tls: Guarded) -> None:
    user = add_user(mongod_with_tls.root, HOME, "joiner", "recorder")
    with mongod_with_tls.client_of(user) as client:
        own = client[user.database]["runs"]
        own.insert_one({"_id": 1})
        for stage in (
            {"$lookup": {"from": {"db": HOME, "coll": "runs"}, "pipeline": [], "as": "x"}},
            {"$unionWith": {"coll": "../cloister.runs", "pipeline": []}},
            {"$merge": {"into": {"db": HOME, "coll": "runs"}}},
            {"$out": {"db": HOME, "coll": "runs"}},
        ):
            try:
                found = list(own.aggregate([stage]))
            except PyMongoError:
                continue
            assert found == [{"_id": 1}], stage  # a collection of that odd name in its own database: empty
    assert mongod_with_tls.root[HOME]["runs"].find_one({"_id": 1})["config"]["lr"] == "the team's secret"


def test_a_recorder_of_the_team_records_but_deletes_no_run_and_sees_no_accounts(
    mongod_with_tls: Guarded, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = add_user(mongod_with_tls.root, HOME, "team", "team-recorder")
    record_a_run(mongod_with_tls.uri_of(user), mongod_with_tls.root[HOME], monkeypatch)
    with mongod_with_tls.client_of(user) as client:
        team = client[HOME]
        for name in (*SITE, *AUDIT):
            assert is_refused(lambda name=name: team[name].find_one()), name
            assert is_refused(lambda name=name: team[name].insert_one({})), name
            assert is_refused(lambda name=name: team[name].update_one({}, {"$set": {"x": 1}})), name
        for name in (*RULES, *ADDED_ONCE):
            assert is_refused(lambda name=name: team[name].update_one({}, {"$set": {"x": 1}})), name
        for name in RUN_RECORDS:
            assert is_refused(lambda name=name: team[name].delete_many({})), name
        assert is_refused(lambda: client.drop_database(HOME))


def test_the_viewers_user_shows_everything_and_changes_no_audit_entry(mongod_with_tls: Guarded) -> None:
    user = add_user(mongod_with_tls.root, HOME, "viewer", "viewer")
    with mongod_with_tls.client_of(user) as client:
        mongod_with_tls.root[HOME]["users"].delete_many({})
        with running_viewer(RunStore(client[HOME]), uri=mongod_with_tls.uri_of(user)) as port:
            for path in ("/", "/p/digits", "/runs/1", "/api/v1/runs/1", "/readyz"):
                assert ask(port, path)[0].status == 200, path
        audit = client[HOME]["audit"]
        assert audit.find_one({"_id": 1}) is not None
        audit.insert_one({"_id": 2, "hash": "y"})
        assert is_refused(lambda: audit.update_one({"_id": 1}, {"$set": {"hash": "z"}}))
        assert is_refused(lambda: audit.delete_one({"_id": 1}))
        assert is_refused(lambda: audit.drop())
        assert is_refused(lambda: audit.rename("elsewhere"))
        assert is_refused(lambda: client["admin"]["system.users"].find_one())
        assert is_refused(lambda: client[HOME].command("createUser", "x", pwd="x", roles=[]))


def test_an_admin_may_do_all_in_this_database_and_nothing_elsewhere(mongod_with_tls: Guarded) -> None:
    user = add_user(mongod_with_tls.root, HOME, "boss", "admin")
    with mongod_with_tls.client_of(user) as client:
        client[HOME]["runs"].delete_one({"_id": 99})
        client[HOME].command("createUser", "by-boss", pwd="x", roles=["read"])
        assert refused_all(client["cloister_elsewhere"])


class TestTls:
    def test_a_client_that_does_not_know_the_authority_does_not_connect(self, mongod_with_tls: Guarded) -> None:
        uri = f"mongodb://root:root@127.0.0.1:{mongod_with_tls.port}/?authSource=admin&tls=true&directConnection=true"
        with client_for(uri, timeout_ms=500) as client, pytest.raises(ServerSelectionTimeoutError, match="certificate"):
            client.admin.command("ping")

    def test_a_server_of_another_authority_is_refused(self, mongod_with_tls: Guarded, tmp_path: Path) -> None:
        other = Authority(tmp_path / "other", "Evil CA")
        uri = mongod_with_tls.root_uri.replace(str(mongod_with_tls.authority.ca), str(other.ca))
        with client_for(uri, timeout_ms=500) as client, pytest.raises(DatabaseUnreachable, match="verify failed"):
            check(client)

    def test_a_certificate_of_another_authority_lets_nobody_in(self, mongod_with_tls: Guarded, tmp_path: Path) -> None:
        _, subject = mongod_with_tls.authority.client("impostor")
        user = add_user(mongod_with_tls.root, HOME, "impostor", "recorder", subject=subject)
        forged, _ = Authority(tmp_path / "other", "Lab CA").client("impostor")
        uri = mongod_with_tls.uri_of(user, certificate=str(forged))
        with client_for(uri, timeout_ms=500) as client, pytest.raises((LoginRefused, DatabaseUnreachable)):
            check(client)

    @pytest.mark.parametrize(
        "option", ["tlsAllowInvalidCertificates=true", "tlsInsecure=true", "tlsAllowInvalidHostnames=true"]
    )
    def test_checks_of_certificates_cannot_be_switched_off_beyond_this_machine(self, option: str) -> None:
        with pytest.raises(UnsafeTls, match="tlsCAFile"):
            client_for(f"mongodb://ana:geheim@db.lab/cloister?tls=true&{option}")
        client_for(f"mongodb://127.0.0.1/cloister?tls=true&{option}").close()
        client_for("mongodb://db.lab/cloister?tls=true&tlsInsecure=false").close()


class TestCommand:
    def run(self, guarded: Guarded, *words: str) -> Any:
        return CliRunner().invoke(main, ["db", "users", *words, "--uri", guarded.root_uri])

    def test_it_makes_lists_and_removes(self, mongod_with_tls: Guarded, tmp_path: Path) -> None:
        path = tmp_path / "uri"
        made = self.run(mongod_with_tls, "add", "carla", "--kind", "recorder", "--uri-file", str(path))
        assert made.exit_code == 0, made.output
        assert "--also carla=cloister_carla" in made.stderr
        assert path.stat().st_mode & 0o777 == 0o600
        uri = path.read_text().strip()
        assert "root:root" not in uri
        assert uri.split("@")[0].split(":")[2] not in made.output
        with client_for(uri) as client:
            check(client)
            assert client["cloister_carla"]["runs"].find_one() is None
        assert re.search(r"^carla +recorder +cloister_carla$", self.run(mongod_with_tls, "ls").stdout, re.M)
        assert self.run(mongod_with_tls, "renew").exit_code == 0
        assert self.run(mongod_with_tls, "remove", "carla").exit_code == 0
        with client_for(uri) as client, pytest.raises(LoginRefused):
            check(client)
        acts = [each["action"] for each in mongod_with_tls.root[HOME]["audit"].find({"target": "carla"})]
        assert acts == ["database-user-made", "database-user-removed"]

    def test_the_uri_is_printed_once_where_no_file_is_named(self, mongod_with_tls: Guarded) -> None:
        made = self.run(mongod_with_tls, "add", "dora", "--kind", "viewer")
        assert made.stdout.startswith("mongodb://dora:")
        assert "&authSource=cloister" in made.stdout
        stored = str(list(mongod_with_tls.root[HOME]["audit"].find()))
        assert made.stdout.split(":")[2].split("@")[0] not in stored

    @pytest.mark.parametrize("name", ["", "a b", "../x", "$where", "x" * 40, "a.b", "ana\n"])
    def test_a_name_that_could_be_more_than_one_is_refused(self, mongod_with_tls: Guarded, name: str) -> None:
        with pytest.raises(BadUserName):
            add_user(mongod_with_tls.root, HOME, name, "recorder")

    def test_a_name_is_given_once(self, mongod_with_tls: Guarded) -> None:
        add_user(mongod_with_tls.root, HOME, "emil", "recorder")
        with pytest.raises(UserExists, match="remove emil"):
            add_user(mongod_with_tls.root, HOME, "emil", "recorder")

    def test_an_account_that_may_not_make_users_is_told_what_is_missing(self, mongod_with_tls: Guarded) -> None:
        user = add_user(mongod_with_tls.root, HOME, "fritz", "viewer")
        done = CliRunner().invoke(main, ["db", "users", "ls", "--uri", mongod_with_tls.uri_of(user)])
        assert done.exit_code == 1
        assert "userAdminAnyDatabase" in done.stderr

    def test_kinds_are_named(self) -> None:
        said = CliRunner().invoke(main, ["db", "users", "kinds"]).stdout
        assert all(kind.name in said for kind in KINDS)
        with pytest.raises(LookupError, match="recorder, team-recorder, viewer, admin"):
            find_kind("root")


def test_every_collection_that_the_code_names_has_rights() -> None:
    known = {*RUN_RECORDS, *REWRITTEN, *ADDED_ONCE, *RULES, *SITE, *AUDIT}
    root = Path(cloister.__file__).parent
    named = collections_named_in([*root.glob("observer/**/*.py"), *root.glob("viewer/**/*.py")])
    assert len(named) > 20
    assert named <= known


def collections_named_in(paths: list[Path]) -> set[str]:
    """What stands in brackets behind a database: texts, and constants of any module that are texts."""
    texts = [path.read_text() for path in paths]
    constants = {name: value for text in texts for name, value in re.findall(r'^([A-Z_]+) = "([a-z_.]+)"', text, re.M)}
    place = r"(?:(?:database|home|trusted|readable|stored_for_good\(\w+\))\[|get_collection\()"
    behind = re.compile(place + r"""["']?([a-z_.]+|[A-Z_]+)["']?[\],)]""")
    found = {name for text in texts for name in behind.findall(text)}
    variables = {"name", "collection", "place.collection", "selection.collection", "self._rows", "self", "rows", "fs"}
    return {constants.get(name, name) for name in found if name.islower() or name in constants} - variables


def test_listing_shows_users_of_ours_alone(mongod_with_tls: Guarded) -> None:
    assert "root" not in [user.name for user in list_users(mongod_with_tls.root, HOME)]
