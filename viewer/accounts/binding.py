"""An app gets its accounts: who asks, what its forms carry, what its pages may know of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask

from .current import EXTENSION, Accounts, page_principal, page_user
from .form_protection import csrf_field, csrf_token, refuse_forged_requests, set_form_cookie

if TYPE_CHECKING:
    from ..store_access import StoreAccess


def bind_accounts(app: Flask, home: StoreAccess, *, may_be_local: bool = True) -> Accounts:
    """Give `app` the accounts in the first database, and ask for the CSRF token before whatever changes something."""
    accounts = Accounts(home, may_be_local)
    app.extensions[EXTENSION] = accounts
    app.before_request(refuse_forged_requests)
    app.after_request(set_form_cookie)
    app.jinja_env.globals.update(
        current_user=page_user,
        current_principal=page_principal,
        csrf_token=csrf_token,
        csrf_field=csrf_field,
    )
    return accounts
