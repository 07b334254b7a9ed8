"""Answers know nothing of hidden runs: each equals the answer of a database that holds only what the person may see.

For random grants every page and every API operation that reads is asked of two viewers over two databases: one with all
runs, one with those that the rule in access_world.py lets this person see. Counts, columns, pages, exports, error
messages and the number of questions to the database are the same, or something tells.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from access_world import HIDDEN, MISSING, PEOPLE, SITE, Grant, Site, signed_in
from cloister.observer.indexes import ensure_indexes
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.app import create_app
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener, CommandStartedEvent

Document = dict[str, Any]
PROJECTS = ("digits", "other", "closed", "open")

# Addresses that read runs. {run} and {project} are each run and each project there is; {number} is a run's number, of
# which its metric, file and tag have their names. What shows accounts and settings themselves is not among them.
PAGES = (
    "/",
    "/projects/menu?current={project}",
    "/p/{project}",
    "/p/{project}?q=tag",
    "/p/{project}?sort=-config.secret_word&page_size=1",
    "/p/{project}?part=table",
    "/p/{project}?group=config.lr",
    "/p/{project}?q=name+contains+run+or+id+%3E+7005",
    "/runs",
    "/runs?q=tags+has+file&sort=-config.secret_word",
    "/runs/keys?project={project}",
    "/search?q=run&project={project}",
    "/export/runs.csv?project={project}&columns=config.secret_word,tags",
    "/runs/{run}",
    "/runs/{run}/access",
    "/runs/{run}/header",
    "/runs/{run}/overview/top",
    "/runs/{run}/overview/side",
    "/runs/{run}/charts",
    "/runs/{run}/system",
    "/runs/{run}/config",
    "/runs/{run}/console",
    "/runs/{run}/console/lines",
    "/runs/{run}/console/download",
    "/runs/{run}/console/search?q=a",
    "/runs/{run}/source",
    "/runs/{run}/source/file?path=main.py",
    "/runs/{run}/source/diff.patch",
    "/runs/{run}/artifacts",
    "/runs/{run}/artifacts/list",
    "/runs/{run}/environment",
    "/runs/{run}/environment/requirements.txt",
    "/delete?runs={run}",
    "/privacy/trash",
    "/compare?runs={run}&project=digits",
    "/compare/part/tables?runs={run}",
    "/compare/console/{run}",
    "/compare/choices?q=tag&project={project}",
    "/p/{project}/explain",
    "/p/{project}/explain?view=scatter&x=config.lr&y=duration&by=tags",
    "/p/{project}/explain?view=boxes&target=duration&by=owner",
    "/p/{project}/explain/importance?view=importance",
    "/p/{project}/explain/data.csv?view=scatter&x=started&y=duration&by=tags",
    "/reports",
    "/p/{project}/reports",
    "/p/{project}/reports/report-{project}",
    "/p/{project}/reports/report-{project}/versions",
    "/p/{project}/reports/report-{project}/export.html",
    *(f"/p/{{project}}/reports/report-{{project}}/blocks/{number}" for number in range(4)),
)
API = (
    "/api/v1/projects",
    "/api/v1/projects/{project}",
    "/api/v1/projects/{project}/columns",
    "/api/v1/projects/{project}/runs",
    "/api/v1/projects/{project}/runs?text=file",
    "/api/v1/projects/{project}/runs?sort=-metrics.m{number}&page_size=2",
    "/api/v1/runs",
    "/api/v1/runs?query=id+%3E+7002&sort=-metrics.m{number}&project={project}",
    "/api/v1/groups-of-runs?by=config.lr&project={project}",
    "/api/v1/fields?project={project}",
    "/api/v1/fields",
    "/api/v1/query/check?query=config.l+%3D+1&project={project}",
    "/api/v1/query/complete?query=tags+has+&project={project}",
    "/api/v1/query/complete?query=config.",
    "/api/v1/reports?project={project}",
    "/api/v1/reports/report-{project}",
    "/api/v1/reports/report-{project}/versions",
    "/api/v1/views?project={project}",
    "/api/v1/layouts?project={project}",
    "/api/v1/changes?since=2020-01-01T00:00:00Z",
    "/api/v1/changes?since=2020-01-01T00:00:00Z&project={project}",
    "/api/v1/changes?since=2020-01-01T00:00:00Z&run={run}",
    "/api/v1/runs/{run}",
    "/api/v1/runs/{run}/access",
    "/api/v1/runs/{run}/events",
    "/api/v1/runs/{run}/stop",
    "/api/v1/runs/{run}/metrics",
    "/api/v1/runs/{run}/metrics/points?name=m{number}",
    "/api/v1/runs/{run}/console",
    "/api/v1/runs/{run}/artifacts",
    "/api/v1/runs/{run}/artifacts/blob-{number}",
    "/api/v1/runs/{run}/system-strip",
    "/api/v1/curves?runs={run}&metric=m{number}",
    "/api/v1/chart-sections?runs={run}",
    "/api/v1/compare?runs={run}",
    "/api/v1/chart-sections?runs={run}&kind=system",
    "/api/v1/chart-search?runs={run}&q=m",
    "/api/v1/run-values?runs={run}&key=config.lr",
    "/api/v1/sparks?runs={run}&metric=m{number}",
    "/api/v1/trash",
    "/api/v1/points.csv?runs={run}&metric=m{number}",
)
REPORT = """```runs
project: *
```

```table
project: *
columns: tags, owner, config.lr
```

```chart
metric: m7001
runs: 7000, 7001, 7002, 7003, 7004
```

```explain
target: duration
```"""
# Read no runs, or a file by a key that only its run's own page knows.
NOT_ASKED = frozenset(
    (
        "api.show_layout",
        "api.stream_changes",
        "charts.send_line_chart",
        "run_artifacts_page.download_artifact",
        "run_artifacts_page.play_media",
        "run_artifacts_page.send_pdf",
        "run_artifacts_page.show_image",
    )
)


class Questions(CommandListener):
    """What the database is asked: the name of each command and its collection."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.asked.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


@pytest.fixture(scope="module")
def questions() -> Questions:
    return Questions()


@pytest.fixture(scope="module")
def client(mongod: str, questions: Questions) -> Iterator[pymongo.MongoClient[Document]]:
    with pymongo.MongoClient(mongod, tz_aware=True, event_listeners=[questions]) as found:
        yield found


def make_database(client: pymongo.MongoClient[Document], name: str) -> Database[Document]:
    client.drop_database(name)
    database: Database[Document] = client[name]
    ensure_indexes(database)
    return database


@pytest.fixture(scope="module")
def whole(client: pymongo.MongoClient[Document]) -> Iterator[Database[Document]]:
    database = make_database(client, "test_oracle_whole")
    SITE.store(database, PEOPLE)
    store_reports(database)
    yield database
    client.drop_database(database.name)


@pytest.fixture(scope="module")
def app(whole: Database[Document]) -> Flask:
    return create_app(RunStore(whole))


def store_reports(database: Database[Document]) -> None:
    """One of each project, which asks for all runs there are."""
    for project in PROJECTS:
        report = {"_id": f"report-{project}", "project": project, "title": "Report", "text": REPORT, "version": 1}
        database["reports"].insert_one(report)


def random_site(seed: int) -> Site:
    """People, groups, members and a dozen runs with any rights."""
    chance = random.Random(seed)  # repeatable on purpose
    people = ("ana", "ben", "cleo")
    return Site(
        groups={group: set(chance.sample(people, chance.randint(0, 2))) for group in ("vision", "speech")},
        members={
            project: {
                who: chance.choice(("viewer", "editor", "admin"))
                for who in chance.sample([*(f"person:{name}" for name in people), "group:vision", "group:speech"], 1)
            }
            for project in chance.sample(PROJECTS, 2)
        },
        defaults={project: chance.choice(("private", "private", "site")) for project in chance.sample(PROJECTS, 2)},
        runs={
            7000 + number: Grant(
                chance.choice(PROJECTS),
                owner=chance.choice((*people, "", "somebody")),
                visibility=chance.choice((None, None, "private", "private", "project", "site")),
                people=tuple(chance.sample(people, chance.choice((0, 0, 1)))),
                groups=tuple(chance.sample(("vision", "speech"), chance.choice((0, 0, 1)))),
            )
            for number in range(12)
        },
    )


def plain(text: str) -> str:
    """An answer without what differs between any two requests: the moment, and the secrets of a session."""
    text = re.sub(r'(data-live-since|name="csrf-token" content|name="csrf_token" value)="[^"]*"', "", text)
    text = re.sub(r'"X-CSRF-Token": "[^"]*"', "", text)
    text = re.sub(r" · \d+ ms", "", text)  # how long a list took
    text = text.replace("test_oracle_whole", "DATABASE").replace("test_oracle_part", "DATABASE")
    text = re.sub(r"Exported [-0-9:+ ]+", "", text)
    text = re.sub(r'"p\d{4,}(?=")', '"p', text)  # Bokeh numbers its models on and on
    return re.sub(r'"next_since": ?"[^"]*"', "", text)


def answer(browser: FlaskClient, path: str) -> tuple[int, list[tuple[str, str]], str]:
    response = browser.get(path)
    headers = [(name, value) for name, value in response.headers if name not in ("Date", "Set-Cookie")]
    assert response.status_code < 500, f"{path}: {response.get_data(as_text=True)[:300]}"
    return (
        response.status_code,
        [item for item in headers if item[0] != "Content-Length"],
        plain(response.get_data(as_text=True)),
    )


def paths(templates: tuple[str, ...], runs: Any, projects: Any) -> Iterator[str]:
    for template in templates:
        if "{run}" in template:
            yield from (template.format(run=run, number=run, project="digits") for run in runs)
        elif "{project}" in template:
            yield from (template.format(project=project, number=7000) for project in projects)
        else:
            yield template


@pytest.mark.parametrize("seed", [4])  # more of them find nothing more, and take 4 s each
def test_every_answer_is_that_of_a_database_with_only_what_one_may_see(
    client: pymongo.MongoClient[Document], seed: int
) -> None:
    site = random_site(seed)
    name = ("ana", "ben", "cleo")[seed % 3]
    visible = site.seen_by(name)
    assert set() < visible < set(site.runs), "choose another seed: nothing, or everything, is seen"
    browsers = []
    for database_name, runs in (("test_oracle_whole_2", None), ("test_oracle_part_2", visible)):
        database = make_database(client, database_name)
        site.store(database, ("ana", "ben", "cleo"), only=runs)
        store_reports(database)
        browsers.append(signed_in(create_app(RunStore(database)), database, name))

    hidden = sorted(set(site.runs) - visible)
    chosen = [min(visible), hidden[0]]
    for path in paths((*PAGES, *API), chosen, (*PROJECTS, "none")):
        assert answer(browsers[0], path) == answer(browsers[1], path), path
    everything = ",".join(map(str, site.runs))
    together = ("/compare?show=config&", "/compare/part/source?", "/compare/part/environment?", "/api/v1/compare?")
    charts = (f"/api/v1/chart-sections?runs={everything}", f"/api/v1/sparks?metric=m7001&runs={everything}")
    for path in (*charts, *(f"{page}runs={everything}" for page in together)):
        assert answer(browsers[0], path) == answer(browsers[1], path), path
    for database_name in ("test_oracle_whole_2", "test_oracle_part_2"):
        client.drop_database(database_name)


def test_a_hidden_run_costs_the_same_questions_as_a_missing_one(
    app: Flask, whole: Database[Document], questions: Questions
) -> None:
    """Same answer, byte for byte, and the same work of the database: a clock has nothing to tell either."""
    browser = signed_in(app, whole, "mallory")
    browser.get("/")  # what is looked up once for a process is known from here on
    templates = [template for template in (*PAGES, *API) if "{run}" in template]
    for template in templates:
        found = []
        for run in (HIDDEN, MISSING):
            questions.asked.clear()
            status, headers, text = answer(browser, template.format(run=run, number=HIDDEN, project="digits"))
            found.append((status, headers, text.replace(str(MISSING), str(HIDDEN)), list(questions.asked)))
        assert found[0] == found[1], template


def test_a_project_of_hidden_runs_costs_the_same_questions_as_a_missing_one(
    app: Flask, whole: Database[Document], questions: Questions
) -> None:
    browser = signed_in(app, whole, "guest")
    for path in ("/", "/export/runs.csv"):  # what is looked up, or made, once for a process is there from here on
        browser.get(path)
    for template in [template for template in (*PAGES, *API) if "{project}" in template]:
        found = []
        for project in ("closed", "clozed"):
            questions.asked.clear()
            status, headers, text = answer(browser, template.format(project=project, number=1))
            headers = [(key, value.replace("clozed", "closed")) for key, value in headers]  # files are called by it
            found.append((status, headers, text.replace("clozed", "closed"), list(questions.asked)))
        assert found[0] == found[1], template


def test_every_address_that_reads_runs_is_asked(app: Flask) -> None:
    """A new address that reads runs belongs into the lists above."""
    adapter = app.url_map.bind("localhost")
    asked = {adapter.match(path.partition("?")[0], "GET")[0] for path in paths((*PAGES, *API), [7001], ["digits"])}
    readers = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and RULES[rule.endpoint] == "see"
    }
    assert readers - asked - NOT_ASKED == set(), "not asked by any test here"
