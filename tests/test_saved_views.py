"""Tables kept under a name: whose they are, who sees them, and who changes them."""

from __future__ import annotations

from typing import Any

import pytest
from access_world import signed_in
from cloister.observer.access.principal import LOCAL, Principal
from cloister.observer.access.project_settings import Member, put_member
from cloister.observer.runs import RunStore
from cloister.observer.saved_views import (
    VIEWS_LIMIT,
    BadView,
    MayNotChangeView,
    ViewNotFound,
    change_view,
    delete_view,
    list_views,
    save_view,
)
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from pymongo.database import Database
from running_viewer import insert_run
from seeded_runs import text_of
from signing_in import emptied

Documents = Database[dict[str, Any]]
ANA = Principal("ana", "person", roles={"digits": "editor"})
BEN = Principal("ben", "person", roles={"digits": "viewer"})
CLEO = Principal("cleo", "person", roles={"digits": "admin"})
MALLORY = Principal("mallory", "person", roles={"other": "admin"})
ROOT = Principal("root", "person", site=frozenset({"admin"}))
ADDRESS = "q=status+%3D+failed&columns=config.lr"


@pytest.fixture
def database(one_database: Documents) -> Documents:
    return emptied(one_database)


def names(database: Documents, who: Principal, project: str | None = "digits") -> list[str]:
    return [view.name for view in list_views(database, who, project)]


def test_a_view_is_its_owners_until_it_is_shared_with_the_project(database: Documents) -> None:
    view = save_view(database, ANA, project="digits", name=" failed  runs ", address="?" + ADDRESS)
    assert (view.name, view.address, view.owner) == ("failed runs", ADDRESS, "ana")
    assert [names(database, who) for who in (ANA, BEN, MALLORY, LOCAL)] == [["failed runs"], [], [], []]
    change_view(database, ANA, view.id, shared=True)
    assert [names(database, who) for who in (ANA, BEN, MALLORY)] == [["failed runs"], ["failed runs"], []]
    assert names(database, BEN, "other") == []
    assert list_views(database, ANA, "digits", place="/db/sacred") == ()


def test_the_owner_and_admins_of_the_project_change_a_view_and_nobody_else(database: Documents) -> None:
    view = save_view(database, ANA, project="digits", name="mine", address=ADDRESS, shared=True)
    with pytest.raises(MayNotChangeView, match=r"The view 'mine' is ana's\. Only its owner, or an admin"):
        change_view(database, BEN, view.id, name="his")
    for stranger in (MALLORY, Principal("", "share", run_id=1), Principal("ana", "person", viewed_by="root")):
        with pytest.raises((ViewNotFound, MayNotChangeView)):
            delete_view(database, stranger, view.id)
    assert change_view(database, CLEO, view.id, name="ours").name == "ours"
    assert delete_view(database, ANA, view.id).name == "ours"
    with pytest.raises(ViewNotFound, match="There is no saved view"):
        change_view(database, ANA, view.id, name="again")


def test_views_of_all_projects_are_for_everybody_and_admins_of_the_site_change_them(database: Documents) -> None:
    view = save_view(database, ANA, project=None, name="night runs", address=ADDRESS, shared=True)
    assert names(database, MALLORY, None) == ["night runs"]
    with pytest.raises(MayNotChangeView, match="an admin of the site"):
        change_view(database, CLEO, view.id, name="x")
    assert change_view(database, ROOT, view.id, shared=False).shared is False
    assert names(database, ROOT, None) == []


def test_a_name_is_one_view_of_its_owner(database: Documents) -> None:
    first = save_view(database, ANA, project="digits", name="mine", address="q=a")
    assert save_view(database, ANA, project="digits", name="mine", address="q=b").id == first.id
    save_view(database, BEN, project="digits", name="mine", address="q=c", shared=True)
    assert [view.address for view in list_views(database, ANA, "digits")] == ["q=b", "q=c"]


@pytest.mark.parametrize(
    ("name", "address", "words"),
    [
        (" ", "q=a", "'' cannot be the name of a view"),
        ("a\x00b", "q=a", "cannot be the name"),
        ("x" * 81, "q=a", "Take 1 to 80 letters"),
        ("x", "q=\n", "is the query of a table's address"),
        ("x", "q=" + "a" * 8000, "This one has 8,002"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(
    database: Documents, name: str, address: str, words: str
) -> None:
    with pytest.raises(BadView, match=words):
        save_view(database, ANA, project="digits", name=name, address=address)


def test_nobody_keeps_more_views_than_a_menu_holds(database: Documents) -> None:
    mine = {"project": "digits", "place": "", "owner": "ana"}
    database["views"].insert_many([{"_id": str(number), **mine} for number in range(VIEWS_LIMIT)])
    with pytest.raises(BadView, match="You have 200 views here already"):
        save_view(database, ANA, project="digits", name="one more", address="")


def test_views_are_kept_listed_and_shared_by_rest_and_in_the_menu(database: Documents) -> None:
    insert_run(database, 1)
    add_user(database, "root", site=["admin"])
    for name in ("ana", "ben", "mallory"):
        add_user(database, name, site=[])
    put_member(database, "digits", Member("person", "ana", "editor"))
    put_member(database, "digits", Member("person", "ben", "viewer"))
    app = create_app(RunStore(database))
    ana, ben, mallory = (signed_in(app, database, name) for name in ("ana", "ben", "mallory"))
    page = ana.get("/p/digits").get_data(as_text=True)
    token = page.partition('name="csrf-token" content="')[2].partition('"')[0]
    body = {"project": "digits", "name": "<b>failed", "address": "q=status%20%3D%20failed"}
    assert ana.post("/api/v1/views", json=body).status_code == 403, "a page of others has no token"
    view = ana.post("/api/v1/views", json=body, headers={"X-CSRF-Token": token}).get_json()
    assert ben.get("/api/v1/views?project=digits").get_json() == {"views": []}
    assert mallory.get("/api/v1/views?project=digits").status_code == 404
    path = f"/api/v1/views/{view['id']}"
    assert ana.patch(path, json={"shared": True}, headers={"X-CSRF-Token": token}).get_json()["shared"] is True
    menu = ben.get("/p/digits?part=views&q=status = failed").get_data(as_text=True)
    assert "<b>failed by ana" in text_of(menu)
    assert 'href="/p/digits?q=status%20%3D%20failed" aria-current="true"' in menu
    assert "data-view-delete" not in menu, "ben may look, not change"
    assert "View: &lt;b&gt;failed" in ana.get("/p/digits?q=status = failed").get_data(as_text=True)
    assert ana.delete(path, headers={"X-CSRF-Token": token}).status_code == 204


def test_columns_that_omniboard_had_are_a_view(database: Documents) -> None:
    insert_run(database, 1)
    columns = [
        {"kind": "metric", "title": "Loss", "metric": "val/loss", "value": "min"},
        {"kind": "field", "title": "Rate", "path": "config.opt.lr"},
        {"kind": "metric", "title": "broken"},
    ]
    database["viewer_settings"].insert_one({"_id": "omniboard", "columns": columns})
    menu = create_app(RunStore(database)).test_client().get("/p/digits?part=views").get_data(as_text=True)
    assert "Columns of Omniboard adopted" in text_of(menu)
    assert "/p/digits?columns=min%28metrics.val/loss%29,config.opt.lr,started,tags" in menu
