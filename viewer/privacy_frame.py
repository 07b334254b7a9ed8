"""The privacy pages: which sections there are, who is shown which, and their Overview."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, current_app, render_template, url_for

bp = Blueprint("privacy", __name__, url_prefix="/privacy")


@dataclass(frozen=True)
class Section:
    """One page of the privacy pages, at `/privacy/<key>`.

    Attributes:
        endpoint: the view that shows it. While an app has no such view, the section is left out.
        rule: who is shown it in the list: "signed-in", or a right. Who may open it, access_rules.py says.
        icon: a symbol of icons.svg.
    """

    key: str
    title: str
    endpoint: str
    rule: str
    icon: str


# In the order of the list. Templates extend privacy/frame.html and set `section` to their key.
SECTIONS: tuple[Section, ...] = (
    Section("overview", "Overview", "privacy.show_overview", "signed-in", "shield"),
    Section("people", "People", "people.show_people", "site", "person"),
    Section("groups", "Groups", "people.show_groups", "site", "people"),
    Section("projects", "Projects", "project_settings.show_projects", "manage", "projects"),
    Section("redaction", "Redaction", "redaction.show_redaction", "site", "eye"),
    Section("keys", "Encryption keys", "encryption_keys.show_keys", "manage", "key"),
    Section("links", "Share links", "share_links.show_links", "signed-in", "link"),
    Section("retention", "Retention", "retention.show_retention", "manage", "clock"),
    Section("trash", "Trash", "trash.show_trash", "edit", "trash"),
    Section("audit", "Audit log", "audit.show_log", "audit", "file"),
)


def shown_sections() -> tuple[Section, ...]:
    """The sections that this app has and that the person may open."""
    from .accounts.current import current_principal  # accounts show pages of their own in this frame

    principal = current_principal()
    return tuple(
        section
        for section in SECTIONS
        if section.endpoint in current_app.view_functions
        and (principal.is_signed_in if section.rule == "signed-in" else principal.may(section.rule))  # type: ignore[arg-type]
    )


def section_address(section: Section) -> str:
    return url_for(section.endpoint)


def section_href(key: str) -> str | None:
    """Where a section lies, for whoever may open it."""
    return next((section_address(section) for section in shown_sections() if section.key == key), None)


@bp.app_context_processor
def _frame_values() -> dict[str, object]:
    return {"privacy_sections": shown_sections, "section_address": section_address, "section_href": section_href}


@bp.get("/", endpoint="start")
@bp.get("/overview")
def show_overview() -> str:
    from .privacy_overview import load_overview  # asks many parts that themselves have sections here

    return render_template("privacy/overview.html", overview=load_overview())
