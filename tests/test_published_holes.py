"""The holes published of other trackers, one row each: what let them in is tried here, or waits for its feature.

A row is a test of its own, named after the CVEs; its function gets a site with accounts. A row whose feature does not
exist yet is skipped under the feature's name: whoever builds it writes the function.
"""

# ruff: noqa: E501  # rows of a table, which nobody reads when they are folded

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from guarded_site import (
    Site,
    make_guarded_site,
)
from holes_in_code import (
    no_shell_is_started,
    nothing_is_unpickled,
    templates_come_from_files_alone,
    templates_escape,
    the_driver_is_new_enough,
    user_code_is_never_code_here,
    variables_stay_text,
    weak_hashes_prove_nothing,
)
from holes_in_input import (
    bodies_never_become_operators,
    foreign_names_and_origins_are_refused,
    hostile_headers_are_not_echoed,
    keys_of_objects_are_data,
    large_forms_are_refused,
    only_listed_addresses_do_anything,
    other_sites_change_and_read_nothing,
    parameters_never_become_operators,
    the_debugger_is_not_there,
)
from holes_in_paths import (
    WRAPPED,
    deleting_a_twice_encoded_name_deletes_nothing,
    downloads_are_whole,
    giant_names_are_refused_at_the_door,
    headers_take_no_name_over,
    ids_are_no_patterns,
    names_equal_after_decoding_are_one,
    names_for_other_systems_are_harmless,
    names_of_files_are_labels,
    no_flag_lowers_a_check,
    no_path_leads_out,
    no_secret_lies_where_files_are_served,
)
from holes_in_queries import queries_are_never_code, the_client_makes_nothing_that_a_server_names
from holes_in_rights import (
    a_role_may_what_its_line_says,
    answers_for_one_are_kept_by_nobody,
    every_route_asks_who_is_there,
    files_are_behind_the_same_door,
    links_and_errors_tell_nothing,
    lists_and_counts_leave_out_what_is_hidden,
    nobody_makes_an_account_for_himself,
    redirects_stay_here,
    secrets_are_not_in_the_code,
    sessions_are_the_servers,
    tokens_go_in_headers_and_into_no_log,
    what_ended_opens_nothing,
    what_is_hidden_is_not_there,
)
from pymongo import MongoClient
from watched_commands import WATCHED


@dataclass(frozen=True)
class Later:
    """The feature that this row is about does not exist yet."""

    feature: str


@dataclass(frozen=True)
class Elsewhere:
    """A test of another file holds this: `test_file.py::name`."""

    test: str


@dataclass(frozen=True)
class Hole:
    number: int
    names: str
    cause: str
    proof: Callable[[Site], None] | Later | Elsewhere


@pytest.fixture(scope="module")
def site(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all rows. What a row changes is its own affair: a person, a run, a file that nobody else looks at."""
    name = "test_published_holes"
    with MongoClient[dict[str, Any]](mongod, tz_aware=True, event_listeners=[WATCHED]) as client:
        client.drop_database(name)
        yield make_guarded_site(client[name], tmp_path_factory.mktemp("holes"))
        client.drop_database(name)


HOLES: tuple[Hole, ...] = (
    Hole(1, "CVE-2023-1177 -2780 -3765 -6909 -6977", "artifact path joined without confinement", no_path_leads_out),
    Hole(2, "CVE-2024-1483 -1594 -2928 -3848", "the resolver honoured a fragment", lambda site: no_path_leads_out(site, WRAPPED[2])),
    Hole(3, "CVE-2024-1593 -8859", "smuggled in parameters", lambda site: no_path_leads_out(site, WRAPPED[3])),
    Hole(4, "CVE-2024-3573", "an odd scheme taken for a local file", lambda site: no_path_leads_out(site, WRAPPED[4])),
    Hole(5, "CVE-2024-1560 CVE-2023-6831", "decoded twice, then deleted", deleting_a_twice_encoded_name_deletes_nothing),
    Hole(6, "CVE-2023-6018 -6015 -6976 CVE-2025-11201 CVE-2026-2033", "upload path chosen by the client", names_of_files_are_labels),
    Hole(7, "CVE-2026-2614", "a tag switched validation off", no_flag_lowers_a_check),
    Hole(8, "CVE-2025-15031 -15036 -8917 -51463 CVE-2024-6829", "archives extracted", Later("bundles")),
    Hole(9, "CVE-2023-6014 CVE-2025-1473 -1474 -11200", "accounts made by anybody", nobody_makes_an_account_for_himself),
    Hole(10, "CVE-2026-0545 -2652", "routes beside the guarded app", every_route_asks_who_is_there),
    Hole(11, "CVE-2025-15381 CVE-2026-2651 -8147 -13484 -33866", "endpoints without a check", what_is_hidden_is_not_there),
    Hole(12, "CVE-2026-2734 -3198", "lists not filtered", lists_and_counts_leave_out_what_is_hidden),
    Hole(13, "CVE-2024-4263", "an editor could delete", a_role_may_what_its_line_says),
    Hole(14, "CVE-2023-6568", "Content-Type reflected", hostile_headers_are_not_echoed),
    Hole(15, "CVE-2026-33865 CVE-2024-24594 -8863 CVE-2023-6778", "stored scripts", Elsewhere("test_web_security_browser.py::test_no_text_of_a_run_or_a_person_runs_anywhere")),
    Hole(16, "CVE-2025-51464", "user code in viewers' browsers", user_code_is_never_code_here),
    Hole(17, "CVE-2024-27132 -27133", "cells and templates unescaped", templates_escape),
    Hole(18, "CVE-2023-6709", "template injection", templates_come_from_files_alone),
    Hole(19, "CVE-2024-37052..37060 -24590 CVE-2020-22083", "unpickling", nothing_is_unpickled),
    Hole(20, "CVE-2023-6974 CVE-2025-52967 CVE-2026-2393 -64849", "server-side requests by webhooks", Later("webhooks")),
    Hole(21, "CVE-2025-14279 CVE-2026-2611 -21883", "DNS rebinding, loose Origin", foreign_names_and_origins_are_refused),
    Hole(22, "CVE-2024-2196 -7760 -24593", "cross-site requests", other_sites_change_and_read_nothing),
    Hole(23, "CVE-2024-2195 -8238 CVE-2025-5321", "query language evaluated as Python", queries_are_never_code),
    Hole(24, "aim#3412 #3422 #3423", "methods called by name", only_listed_addresses_do_anything),
    Hole(25, "aim#3421", "client calls a class that the server names", the_client_makes_nothing_that_a_server_names),
    Hole(26, "CVE-2024-6396 -6483 -8769 -6851", "names used as patterns", ids_are_no_patterns),
    Hole(27, "CVE-2024-6227 -8061 -10110 CVE-2025-0189", "one connection blocks all", Elsewhere("test_viewer_security.py::test_hundreds_of_slow_connections_keep_nobody_out")),
    Hole(28, "CVE-2024-6838 CVE-2025-0453", "giant names and batches", giant_names_are_refused_at_the_door),
    Hole(29, "CVE-2024-3099", "names equal after decoding", names_equal_after_decoding_are_one),
    Hole(30, "CVE-2025-10279 CVE-2026-4137 CVE-2024-27134 CVE-2022-0736", "open temporary folders", Elsewhere("test_journal.py::test_files_are_for_the_owner_alone")),
    Hole(31, "CVE-2026-4035", "variables expanded", variables_stay_text),
    Hole(32, "CVE-2023-4033 -6940 CVE-2024-37061 CVE-2025-14287 -15379 CVE-2026-0596", "values in a shell", no_shell_is_started),
    Hole(33, "CVE-2024-0520", "file name from a header", headers_take_no_name_over),
    Hole(34, "CVE-2026-10803", "weak hash as identity", weak_hashes_prove_nothing),
    Hole(35, "CVE-2024-24592", "file server without a login", files_are_behind_the_same_door),
    Hole(36, "CVE-2024-24595", "plain passwords, constant keys", secrets_are_not_in_the_code),
    Hole(37, "CVE-2024-43779", "what was disabled stayed readable", what_ended_opens_nothing),
    Hole(38, "CVE-2024-24591", "paths on the downloader's disk", Elsewhere("test_worker.py::test_a_source_that_would_leave_its_folder_is_refused")),
    Hole(39, "CVE-2024-7340", "secrets under a served folder", no_secret_lies_where_files_are_served),
    Hole(40, "CVE-2026-4992 -4993 -4994 -4995", "share ids, messages, secrets in errors", links_and_errors_tell_nothing),
    Hole(41, "W&B git URL cleaner", "a token as user name survives", Elsewhere("test_snapshot_remote_urls.py::")),
    Hole(42, "Omniboard", "query JSON goes to MongoDB", parameters_never_become_operators),
    Hole(43, "CVE-2024-53900 CVE-2025-23061 CVE-2026-42334", "nested operators", bodies_never_become_operators),
    Hole(44, "CVE-2019-17426 CVE-2022-2564 -24304 CVE-2023-3696 CVE-2026-73562", "types and prototypes", keys_of_objects_are_data),
    Hole(45, "Omniboard", "any origin, method override, inline artifacts", other_sites_change_and_read_nothing),
    Hole(46, "Omniboard", "downloads cut after a chunk", downloads_are_whole),
    Hole(47, "Omniboard", "one shared user, no lockout", sessions_are_the_servers),
    Hole(48, "CVE-2024-5629", "out-of-bounds read in BSON", the_driver_is_new_enough),
    Hole(49, "CVE-2024-34069 CVE-2019-14806", "debugger reachable", the_debugger_is_not_there),
    Hole(50, "CVE-2023-25577 -46136 CVE-2024-49767", "multipart blow-up", large_forms_are_refused),
    Hole(51, "CVE-2024-49766 CVE-2025-66221 CVE-2026-21860", "device names of Windows", names_for_other_systems_are_harmless),
    Hole(52, "CVE-2023-30861 CVE-2020-25032 CVE-2024-6221", "cookies cached by a proxy", answers_for_one_are_kept_by_nobody),
    Hole(53, "CVE-2022-24757 CVE-2020-26232 CVE-2023-39968", "open redirect after login", redirects_stay_here),
    Hole(54, "CVE-2022-24439 CVE-2023-40590 -41040 CVE-2026-42215 -42284", "hostile repositories", Elsewhere("test_snapshot_hostile_repository.py::")),
    Hole(55, "TensorBoard", "listens on all addresses without a login", Elsewhere("test_serve_command.py::test_it_does_not_listen_beyond_this_machine_without_being_told_twice")),
    Hole(56, "Trackio", "token in log and URL", tokens_go_in_headers_and_into_no_log),
)  # fmt: skip


@pytest.mark.parametrize("hole", [pytest.param(hole, id=f"{hole.number:02} {hole.names}") for hole in HOLES])
def test_what_was_a_hole_elsewhere_is_none_here(site: Site, hole: Hole) -> None:
    if isinstance(hole.proof, Later):
        pytest.skip(f"there is no {hole.proof.feature} yet: {hole.cause}")
    if isinstance(hole.proof, Elsewhere):
        file, _, name = hole.proof.test.partition("::")
        text = Path(__file__).with_name(file).read_text()
        assert f"def {name}(" in text if name else "def test_" in text
        return
    hole.proof(site)


def test_all_rows_are_there_once() -> None:
    assert [hole.number for hole in HOLES] == list(range(1, 57))
