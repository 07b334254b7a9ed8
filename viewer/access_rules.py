"""Who may call which address: one row for each endpoint, checked before any of them runs (THREATS R12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from flask import Flask, Response, redirect, request

from .accounts.current import current_principal
from .errors_page import NOT_FOUND_SENTENCE, NOT_FOUND_TITLE, Problem, render_problem
from .security import SAFE_METHODS
from .store_access import current_store, shared_root

if TYPE_CHECKING:
    from ..observer.access.principal import Principal, Right

# "anyone": without an account too. "signed-in": with any account. "see": who may see runs at all; which ones the store
# decides. "edit", "manage": of the run or project that the address names (`run_id`, `project`); where it names none,
# of any. "site": admins of the site. "audit": who may read the audit log. "own": people, for what is their own.
Rule = Literal["anyone", "signed-in", "see", "edit", "manage", "site", "audit", "own"]

# A route without a row here is not answered, and a test fails. In the order of the modules that answer them.
RULES: dict[str, Rule] = {
    "static": "anyone",
    # accounts/
    "login.check_second_factor": "anyone",
    "login.confirm_second_factor": "anyone",
    "login.log_in": "anyone",
    "login.log_out": "anyone",
    "login.show_code_form": "anyone",
    "login.show_login": "anyone",
    "login.show_set_up": "anyone",
    "profile.add_token": "own",
    "profile.change_name": "own",
    "profile.change_password": "own",
    "profile.end_one_session": "own",
    "profile.end_other_sessions": "own",
    "profile.revoke_own_token": "own",
    "profile.show_profile": "own",
    "second_factor.begin": "own",
    "second_factor.confirm": "own",
    "second_factor.renew_codes": "own",
    "second_factor.turn_off": "own",
    # api/
    "api.list_projects": "see",
    "api.show_project": "see",
    "api.list_all_runs": "see",
    "api.list_runs": "see",
    "api.group_runs": "see",
    "api.list_fields": "see",
    "api.check_query": "see",
    "api.complete_query": "see",
    "api.list_columns": "see",
    "api.show_run": "see",
    "api.compare_runs": "see",
    # api/reports: observer/reports.py checks whose each is
    "api.list_reports": "see",
    "api.show_report": "see",
    "api.list_versions": "see",
    "api.write_report": "see",
    "api.save_report": "see",
    "api.delete_report": "see",
    # api/managing: of many runs, run_managing.py checks each
    "api.edit_run": "edit",
    "api.change_runs": "see",
    "api.rename_project": "manage",
    "api.list_metrics": "see",
    "api.list_points": "see",
    "api.show_console": "see",
    "api.list_artifacts": "see",
    "api.download_artifact": "see",
    "api.list_changes": "see",
    "api.stream_changes": "see",
    "api.show_description": "signed-in",
    "api.show_me": "signed-in",
    "api.list_own_tokens": "own",
    "api.make_own_token": "own",
    "api.revoke_own_token": "own",
    "api.list_own_sessions": "own",
    "api.end_own_session": "own",
    "api.list_accounts": "site",
    "api.add_account": "site",
    "api.change_account": "site",
    "api.view_as": "own",
    "api.view_as_oneself": "own",
    "api.show_access": "see",
    "api.change_access": "manage",
    "api.show_settings": "manage",
    "api.change_settings": "manage",
    "api.list_groups": "site",
    "api.put_group": "site",
    "api.delete_group": "site",
    # api/audit
    "api.list_audit": "audit",
    "api.list_shares": "signed-in",
    "api.make_share": "manage",
    "api.revoke_share": "signed-in",
    "api.delete_run": "manage",
    "api.list_events": "see",
    "api.show_stop": "see",
    "api.stop_run": "edit",
    "api.list_trash": "see",
    "api.restore_run": "see",
    "api.purge_run": "see",
    "api.hold_run": "manage",
    "api.lift_run": "manage",
    "api.show_retention": "manage",
    "api.change_retention": "manage",
    "api.hold_project": "manage",
    "api.lift_project": "manage",
    "api.list_purges": "manage",
    # api/layouts: whose a shared one is, it checks itself
    "api.show_layouts": "see",
    "api.show_layout": "see",
    "api.keep_own_layout": "own",
    "api.forget_own_layout": "own",
    "api.share_a_layout": "own",
    "api.change_layout": "own",
    "api.delete_layout": "own",
    # api/views: whose one is, it checks itself
    "api.list_views": "see",
    "api.save_view": "see",
    "api.change_view": "see",
    "api.delete_view": "see",
    # audit_page
    "audit.export_log": "audit",
    "audit.show_log": "audit",
    "audit.show_state": "audit",
    "audit.verify_log": "audit",
    # bokeh_assets, health: the same for everybody
    "bokeh_assets.send_bokeh_script": "anyone",
    "health.show_liveness": "anyone",
    "health.show_readiness": "anyone",
    # charts
    "charts.search_charts": "see",
    "charts.send_curves": "see",
    "charts.send_run_values": "see",
    "charts.send_line_chart": "see",
    "charts.send_points": "see",
    "charts.send_sections": "see",
    "charts.send_sparks": "see",
    "charts.send_system_strip": "see",
    # compare_page
    "compare.show_choices": "see",
    "compare.show_comparison": "see",
    "compare.show_console_column": "see",
    "compare.show_part": "see",
    # encryption_keys_page
    "encryption_keys.show_keys": "manage",
    # explain_page
    "explain.send_data": "see",
    "explain.show_explain": "see",
    "explain.show_importance": "see",
    # identity/
    "oidc.come_back": "anyone",
    "oidc.leave": "anyone",
    # looking_page
    "looking.begin": "own",
    "looking.show_choices": "own",
    "looking.stop": "own",
    # people_page
    "people.add_person": "site",
    "people.add_to_group": "site",
    "people.delete_group": "site",
    "people.disable": "site",
    "people.enable": "site",
    "people.make_group": "site",
    "people.remove_from_group": "site",
    "people.set_site_rights": "site",
    "people.show_group": "site",
    "people.show_groups": "site",
    "people.show_people": "site",
    "people.sign_out_everywhere": "site",
    # privacy_frame
    "privacy.show_overview": "signed-in",
    "privacy.start": "signed-in",
    # project_settings_page
    "project_settings.remove_member": "manage",
    "project_settings.set_member": "manage",
    "project_settings.set_name": "manage",
    "project_settings.set_visibility": "manage",
    "project_settings.show_project": "manage",
    "project_settings.show_projects": "manage",
    # pdf_frame: nothing of anybody
    "pdf_frame.send_frame_file": "anyone",
    "pdf_frame.show_frame": "anyone",
    # projects_page, runs_page
    "projects.show_projects": "signed-in",
    "projects.show_project_menu": "signed-in",
    "runs.show_runs": "see",
    "runs.show_all_runs": "see",
    "runs.list_keys": "see",
    "run_exports.send_table": "see",
    # redaction_page, and what the REST API has of it
    "api.set_recording": "site",
    "api.show_recording": "site",
    "redaction.change_redaction": "site",
    "redaction.show_redaction": "site",
    "redaction.try_rules": "site",
    # retention_page, trash_page: of runs in the trash, run_deletion.py checks each
    "retention.hold": "manage",
    "retention.preview": "manage",
    "retention.set_project": "manage",
    "retention.set_site": "site",
    "retention.show_project": "manage",
    "retention.show_retention": "manage",
    "trash.ask": "see",
    "trash.delete": "see",
    "trash.hold": "manage",
    "trash.lift": "see",
    "trash.purge": "see",
    "trash.restore": "see",
    "trash.show_trash": "see",
    # reports_page, report_edit_page: who may change which is asked of the report too
    "reports.export_report": "see",
    "reports.list_all": "see",
    "reports.list_of_project": "see",
    "reports.show_block": "see",
    "reports.show_report": "see",
    "reports.show_versions": "see",
    "report_edit.delete": "edit",
    "report_edit.edit": "edit",
    "report_edit.make": "edit",
    "report_edit.preview": "edit",
    "report_edit.restore": "edit",
    "report_edit.save": "edit",
    "report_edit.write": "edit",
    # run_page and its tabs
    "run.preview_notes": "edit",
    "run.show_header": "see",
    "run.show_overview_part": "see",
    "run.show_run": "see",
    "run_access.change_access": "manage",
    "run_access.show_access": "see",
    "run_artifacts_page.download_artifact": "see",
    "run_artifacts_page.play_media": "see",
    "run_artifacts_page.send_pdf": "see",
    "run_artifacts_page.show_artifacts": "see",
    "run_artifacts_page.show_image": "see",
    "run_artifacts_page.show_list": "see",
    "run_charts_page.show_charts": "see",
    "run_config.show_config": "see",
    "run_console_page.download_console": "see",
    "run_console_page.search_lines": "see",
    "run_console_page.show_console": "see",
    "run_console_page.show_lines": "see",
    "run_environment_page.download_requirements": "see",
    "run_environment_page.show_environment": "see",
    "run_source_page.download_diff": "see",
    "run_source_page.download_source": "see",
    "run_source_page.show_source": "see",
    "run_system_page.show_system": "see",
    # search_page
    "search.search": "see",
    # styleguide_page: where the viewer was started with it
    "styleguide.show_styleguide": "signed-in",
    # share_page: there for whoever came by a link; share_links_page
    "share_page.download_shared": "anyone",
    "share_page.play_shared_media": "anyone",
    "share_page.send_shared_pdf": "anyone",
    "share_page.show_shared": "anyone",
    "share_page.show_shared_image": "anyone",
    "share_links.make_link": "manage",
    "share_links.revoke_link": "own",
    "share_links.show_form": "manage",
    "share_links.show_links": "own",
}

LOGIN_PATH = "/login"
_WHILE_LOOKING = frozenset(  # as somebody else
    {"api.view_as", "api.view_as_oneself", "looking.begin", "looking.show_choices", "looking.stop"}
)


def enforce_rules(app: Flask) -> None:
    """Have each request of `app` meet the rule of its endpoint first."""

    @app.before_request
    def refuse_by_rule() -> Response | None:
        if request.endpoint is None:
            return None  # no such address, or not by this method: Flask says so
        return find_refusal(RULES.get(request.endpoint), request.view_args or {})


def _changes_as_another(principal: Principal) -> bool:
    """Whether somebody who only looks at the site as another would change something, or see what is their own."""
    is_safe = request.method in SAFE_METHODS and RULES.get(request.endpoint or "") != "own"
    return bool(principal.viewed_by) and not is_safe and request.endpoint not in _WHILE_LOOKING


def find_refusal(rule: Rule | None, arguments: dict[str, Any]) -> Response | None:
    """The answer to a request that does not meet `rule`; None for one that does."""
    if rule == "anyone":
        return None
    if rule is None:
        return render_problem(_not_found())
    principal = current_principal()
    if principal.kind == "share" and rule == "see":  # share_scope.py let it through, which has a list of its own
        return None
    if not principal.is_signed_in:
        return _ask_for_login()
    if _changes_as_another(principal):
        return render_problem(_looking_on(principal))
    if rule in ("edit", "manage"):
        return _refuse_change(principal, rule, arguments)
    return None if _is_met(rule, principal) else render_problem(_not_found())


def _is_met(rule: Rule, principal: Principal) -> bool:
    if rule == "see":
        return principal.sees_runs
    if rule == "own":
        return principal.kind in ("local", "person")
    if rule == "site":
        return principal.may("site")
    if rule == "audit":
        return principal.may("audit")
    return rule == "signed-in"


def _refuse_change(principal: Principal, right: Right, arguments: dict[str, Any]) -> Response | None:
    """What may be seen and not changed says so; what may not be seen is not there."""
    run = current_store().load_run(arguments["run_id"]) if "run_id" in arguments else None  # raises RunNotFound
    project = arguments.get("project")
    # A token that may only record writes nothing that is read by others.
    if principal.may(right, project=project, run=run) and (right != "edit" or principal.sees_runs):
        return None
    if run is None and (project is None or not principal.may("see", project=project)):
        return render_problem(_not_found())
    what = f"run {run.name!r}" if run is not None else f"project {project!r}"
    who = _WHO_MAY[right] if run is not None else "An admin of the project"
    return render_problem(Problem(403, "You may look at this, not change it", f"{who} can change {what}."))


_WHO_MAY = {"edit": "Its owner, or an editor of its project,", "manage": "Its owner, or an admin of its project,"}


def _looking_on(principal: Principal) -> Problem:
    return Problem(
        403,
        "You are looking as somebody else",
        f"While {principal.viewed_by} views the site as {principal.name or 'others'}, nothing can be changed.",
    )


def _not_found() -> Problem:
    return Problem(404, NOT_FOUND_TITLE, NOT_FOUND_SENTENCE)


def _ask_for_login() -> Response:
    if request.headers.get("HX-Request"):  # a part of a page whose session has ended: the whole page signs in anew
        page = urlsplit(request.headers.get("HX-Current-URL", ""))
        return Response(status=401, headers={"HX-Redirect": _login_address(f"{page.path}?{page.query}")})
    if request.method in ("GET", "HEAD") and not request.path.startswith("/api/"):
        # As the browser sent it: what is escaped twice in it stays so.
        here = request.environ.get("REQUEST_URI") or quote(request.full_path)
        return redirect(_login_address(here), 303)  # type: ignore[return-value]
    response = render_problem(
        Problem(401, "Log in first", "This viewer has accounts. Log in, or send a token: Authorization: Bearer ...")
    )
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _login_address(here: str) -> str:
    """The login page, which leads back to `here`. There is one for all databases."""
    here = here.removeprefix(shared_root()).rstrip("?")
    return f"{shared_root()}{LOGIN_PATH}?next={quote(here, safe='/')}"
