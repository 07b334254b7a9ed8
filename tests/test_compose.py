"""The team's server: docker-compose.yml against the Compose specification, its commands as plain processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pymongo
import pytest
import yaml
from cloister.observer.embedded import find_mongod
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import free_port
from pymongo.errors import OperationFailure
from recorded_script import RecordedScript, wait_for

ROOT = Path(__file__).parent.parent
SPECIFICATION = Path(__file__).parent / "compose_spec" / "compose-spec.json"
ENTRYPOINT = Path(__file__).parent / "mongo_image_entrypoint.py"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


class TestTheFile:
    def test_it_satisfies_the_compose_specification(self, compose: dict[str, Any]) -> None:
        schema = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
        validator = jsonschema.validators.validator_for(schema)
        validator.check_schema(schema)
        assert [error.message for error in validator(schema).iter_errors(compose)] == []

    def test_the_specification_would_notice_a_misspelt_key(self, compose: dict[str, Any]) -> None:
        schema = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
        broken = json.loads(json.dumps(compose).replace("cap_drop", "cap_dorp"))
        assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(broken))

    def test_every_container_has_no_more_rights_than_it_needs(self, compose: dict[str, Any]) -> None:
        for name, service in services(compose).items():
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert service["read_only"] is True, name
            assert "privileged" not in service, name
            assert not {"cap_add", "devices", "pid", "network_mode", "ipc"} & service.keys(), name

    def test_nobody_in_a_container_is_root(self, compose: dict[str, Any]) -> None:
        assert services(compose)["mongo"]["user"] == "999:999"
        last_user = re.findall(r"^USER (\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)[-1]
        assert last_user == "10001:10001"

    def test_only_the_viewer_is_published_and_only_to_the_server_itself(self, compose: dict[str, Any]) -> None:
        published = {name: service["ports"] for name, service in services(compose).items() if "ports" in service}
        assert published == {"viewer": ["127.0.0.1:6390:6390"]}
        assert compose["networks"]["database"] == {"internal": True}
        assert services(compose)["mongo"]["networks"] == ["database"]

    def test_no_secret_is_in_an_environment_variable_or_in_git(self, compose: dict[str, Any]) -> None:
        for name, service in services(compose).items():
            for variable, value in service.get("environment", {}).items():
                secret = re.search(r"PASSWORD|URI|KEY|TOKEN", variable)
                assert not secret or (variable.endswith("_FILE") and value.startswith("/run/secrets/")), (
                    name,
                    variable,
                )
            for secret_name in service.get("secrets", []):
                assert compose["secrets"][secret_name]["file"] == f"./deploy/secrets/{secret_name}"
        ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/secrets/cloister-uri"], cwd=ROOT)
        assert ignored.returncode == 0

    def test_data_outlive_the_containers(self, compose: dict[str, Any]) -> None:
        assert services(compose)["mongo"]["volumes"] == ["mongo-data:/data/db"]
        assert services(compose)["viewer"]["volumes"] == ["viewer-data:/var/lib/cloister"]
        assert services(compose)["viewer"]["environment"]["CLOISTER_HOME"] == "/var/lib/cloister"
        assert "/var/lib/cloister" in (ROOT / "Dockerfile").read_text(encoding="utf-8")  # owned by the viewer's user
        assert compose["volumes"].keys() == {"mongo-data", "viewer-data"}

    def test_the_image_is_built_from_files_that_exist_and_are_let_through(self) -> None:
        let_through = [
            line[1:]
            for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
            if line.startswith("!")
        ]
        assert all((ROOT / path).exists() for path in let_through)
        copied = re.findall(r"^COPY (?!--)(\S+) ", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(copied) - {"."} <= set(let_through)


def test_secrets_are_made_once_and_each_is_another(tmp_path: Path) -> None:
    script = tmp_path / "deploy" / "make_secrets.sh"
    script.parent.mkdir()
    script.write_bytes((ROOT / "deploy" / "make_secrets.sh").read_bytes())

    def make() -> dict[str, str]:
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        return {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "deploy" / "secrets").iterdir()}

    made = make()

    assert make() == made
    assert made.keys() == {"mongo-root-password", "cloister-uri", "viewer-key"}
    assert re.fullmatch(r"[0-9a-f]{64}", made["viewer-key"])
    assert re.fullmatch(r"[0-9a-f]{48}", made["mongo-root-password"])
    assert made["mongo-root-password"] not in made["cloister-uri"]
    assert (tmp_path / "deploy" / "secrets").stat().st_mode & 0o777 == 0o700


@dataclass
class TeamServer:
    """The services of docker-compose.yml as processes; paths, ports and host names are this machine's."""

    folder: Path
    port: int
    compose: dict[str, Any]

    @property
    def uri(self) -> str:
        return self.secret("cloister-uri").read_text(encoding="utf-8")

    def secret(self, name: str) -> Path:
        return self.folder / "secrets" / name

    def here(self, text: str) -> str:
        """A word of the compose file with this machine's paths and ports."""
        places = {
            "/data/db": str(self.folder / "data"),
            "/run/secrets": str(self.folder / "secrets"),
            "--port=27017": f"--port={self.port}",
            "mongo:27017": f"127.0.0.1:{self.port}",
            "--bind_ip=0.0.0.0": "--bind_ip=127.0.0.1",
            "/opt/cloister": str(ROOT / "deploy"),
            "/var/lib/cloister": str(self.folder / "home"),
            "${CLOISTER_ALLOWED_HOST:-localhost}": "localhost",
            "$$": "$",
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def command(self, service: str) -> list[str]:
        parts = services(self.compose)[service]
        return [self.here(word) for word in (*parts.get("entrypoint", ()), *parts["command"])]

    def environment(self, service: str, **more: str) -> dict[str, str]:
        given = services(self.compose)[service]["environment"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
        return {**environment, **{name: self.here(value) for name, value in given.items()}, **more}


@pytest.fixture(scope="module")
def team_server(tmp_path_factory: pytest.TempPathFactory, compose: dict[str, Any]) -> Iterator[TeamServer]:
    """MongoDB as the service `mongo` starts it, set up as `database-setup` does."""
    folder = tmp_path_factory.mktemp("team")
    server = TeamServer(folder, free_port(), compose)
    (folder / "data").mkdir()
    (folder / "secrets").mkdir()
    server.secret("mongo-root-password").write_text("0123456789abcdef", encoding="utf-8")
    server.secret("cloister-uri").write_text(
        f"mongodb://cloister:fedcba9876543210@127.0.0.1:{server.port}/cloister?authSource=admin&replicaSet=cloister",
        encoding="utf-8",
    )
    programs = folder / "bin"
    programs.mkdir()
    (programs / "mongod").symlink_to(find_mongod(load_settings()))
    (programs / "docker-entrypoint.sh").write_text(f'#!/bin/sh\nexec {sys.executable} {ENTRYPOINT} "$@"\n')
    (programs / "docker-entrypoint.sh").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    with (folder / "mongod.log").open("wb") as log:
        process = subprocess.Popen(
            server.command("mongo"),
            env=server.environment("mongo", PATH=path),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: answers_as_a_whole(server.port) or process.poll() is not None, "mongod answers")
        assert process.poll() is None, (folder / "mongod.log").read_text(encoding="utf-8")[-2000:]
        assert set_up(server).returncode == 0
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answers_as_a_whole(port: int) -> bool:
    """Whether the final mongod answers: the first one, which makes the root user, asks for no login."""
    with pymongo.MongoClient[dict[str, Any]](
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=200
    ) as client:
        try:
            client.admin.command("listDatabases")
        except OperationFailure:
            return True
        except pymongo.errors.PyMongoError:
            return False
        return False


def set_up(server: TeamServer) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *server.command("database-setup")[1:]]
    return subprocess.run(
        command, env=server.environment("database-setup"), capture_output=True, text=True, timeout=120
    )


class TestTheServer:
    def test_nobody_reads_without_a_login(self, team_server: TeamServer) -> None:
        with (
            pymongo.MongoClient[dict[str, Any]]("127.0.0.1", team_server.port, directConnection=True) as client,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            client["cloister"]["runs"].find_one()

    def test_nobody_makes_the_first_user_by_being_near(self, team_server: TeamServer) -> None:
        with (
            pymongo.MongoClient[dict[str, Any]]("127.0.0.1", team_server.port, directConnection=True) as client,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            client.admin.command("createUser", "mallory", pwd="m", roles=["root"])

    def test_cloisters_user_has_one_database_and_no_more(self, team_server: TeamServer) -> None:
        with pymongo.MongoClient[dict[str, Any]](team_server.uri) as client:
            client["cloister"]["runs"].find_one()
            with pytest.raises(OperationFailure, match="not authorized"):
                client["other"]["runs"].find_one()
            with pytest.raises(OperationFailure, match="not authorized"):
                client.admin.command("createUser", "mallory", pwd="m", roles=["root"])

    def test_the_health_check_knows_it_by_its_replica_set(self, team_server: TeamServer) -> None:
        check = services(team_server.compose)["mongo"]["healthcheck"]["test"][-1]
        assert "h.setName || h.isreplicaset" in check
        with pymongo.MongoClient[dict[str, Any]]("127.0.0.1", team_server.port, directConnection=True) as client:
            assert client.admin.command("hello")["setName"] == "cloister"  # answered without a login

    def test_the_key_file_is_for_mongod_alone(self, team_server: TeamServer) -> None:
        assert (team_server.folder / "data" / "keyfile").stat().st_mode & 0o777 == 0o600

    def test_setting_up_again_changes_nothing_but_a_new_password(self, team_server: TeamServer) -> None:
        old = team_server.uri
        new = old.replace("fedcba9876543210", "00112233445566778899")
        team_server.secret("cloister-uri").write_text(new, encoding="utf-8")
        try:
            assert set_up(team_server).returncode == 0
            with pymongo.MongoClient[dict[str, Any]](new) as client:
                client["cloister"]["runs"].find_one()
        finally:
            team_server.secret("cloister-uri").write_text(old, encoding="utf-8")
            assert set_up(team_server).returncode == 0

    def test_a_wrong_root_password_is_told(self, team_server: TeamServer) -> None:
        secret = team_server.secret("mongo-root-password")
        right = secret.read_text(encoding="utf-8")
        secret.write_text("wrong", encoding="utf-8")
        try:
            result = set_up(team_server)
        finally:
            secret.write_text(right, encoding="utf-8")
        assert result.returncode == 1
        assert "could not be set up" in result.stderr
        assert "Traceback" not in result.stderr

    def test_a_training_records_into_it_and_the_viewer_shows_it(
        self, team_server: TeamServer, tmp_path: Path, home: Path
    ) -> None:
        with pymongo.MongoClient[dict[str, Any]](team_server.uri, tz_aware=True) as client:
            store = RunStore(client["cloister"])
            script = RecordedScript(tmp_path / "project", team_server.uri, store)
            result = script.run(
                """
                from cloister import start_run

                with start_run(project="team", config={"lr": 0.1}) as run:
                    run.log({"loss": 0.5})
                """
            )
            assert result.returncode == 0, result.stderr
            run = script.only_run()
            assert run.status == "completed"

        with viewer_service(team_server) as address:
            page = urllib.request.urlopen(f"{address}p/team", timeout=10).read().decode()
            assert run.name in page
            assert urllib.request.urlopen(f"{address}healthz", timeout=10).status == 200


@contextmanager
def viewer_service(server: TeamServer) -> Iterator[str]:
    """The service `viewer`; yields its address."""
    command = [
        "--port=0" if word == "--port=6390" else "--host=127.0.0.1" if word == "--host=0.0.0.0" else word
        for word in server.command("viewer")[1:]
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "cloister", *command],
        env=server.environment("viewer", CLOISTER_HOME=str(server.folder / "home")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.removeprefix("Cloister is at ").strip()
    finally:
        process.terminate()
        process.communicate(timeout=30)
