"""The first administrator: made on the page with a one-time code that only the machine's own log shows.

There is no default user and no default password. While nobody administers the page, each start of the service prints
a new code; its digest is kept in memory and nowhere else. Once an administrator is there the code opens nothing.
"""

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.one_time import grouped, recovery_digest
from appliance.errors import Refused
from appliance.review import members
from appliance.review.entrance import came_from_here, fields, open_session, proofs_of, visiting
from appliance.review.language import _, capital, tr, use
from appliance.review.ledgers import Ledgers, page_of
from appliance.world import accounts

CODE_CHARACTERS = 20  # 100 bits in base 32
LOG = logging.getLogger("appliance")


class Beginning:
    """Holds the digest of the one-time code, as long as it is good."""

    def __init__(self, ledgers: Ledgers, token: str) -> None:
        self._digest = ""
        with ledgers.eyes().begin() as c:
            if accounts.count_administrators(c):
                return
        code = base64.b32encode(hashlib.sha256(token.encode()).digest()).decode()[:CODE_CHARACTERS]
        self._digest = recovery_digest(code)
        LOG.warning(
            "nobody administers the review page yet: open /first there with the one-time code %s", grouped(code)
        )

    def page(self, request: Request) -> Response:
        return self._form(request, "", 200)

    async def make(self, request: Request) -> Response:
        """Makes the first administrator and signs them in: 403 for a wrong code, 400 for a name or password of none."""
        form = await fields(request)
        chosen = form.get("language", "")
        use(chosen)
        if not came_from_here(request, form):
            return await run_in_threadpool(
                self._form, request, _("The form was too old. Please try again."), 403, chosen
            )
        page, failures = page_of(request), proofs_of(request).failures
        address = request.client.host if request.client else ""
        wait_s = failures.wait_s("", address, page.clock())
        if wait_s:
            said = _("Too many failed tries. Wait %(wait)s s, then try again.", wait=f"{wait_s:.0f}")
            return await run_in_threadpool(self._form, request, said, 429, chosen)
        if not self._digest or not hmac.compare_digest(recovery_digest(form.get("code", "")[:40]), self._digest):
            failures.add("", address, page.clock())
            return await run_in_threadpool(self._form, request, _("The code is wrong, or was used."), 403, chosen)
        return await run_in_threadpool(self._make, request, form)

    def _make(self, request: Request, form: Mapping[str, str]) -> Response:
        page, chosen = page_of(request), form.get("language", "")
        name, password = form.get("name", ""), form.get("password", "")
        with page.ledgers.eyes().begin() as c:
            if accounts.count_administrators(c):  # made on the command line meanwhile
                self._digest = ""
                return self._form(request, "", 404)
        try:
            members.add_user(page.ledgers, name, password, at=page.clock(), role="administrator")
        except Refused as fault:
            return self._form(request, capital(f"{tr(fault.text)}. {tr(fault.hint)}"), 400, chosen)
        self._digest = ""
        return open_session(request, name, language=chosen)

    def _form(self, request: Request, said: str, status: int, chosen: str = "") -> Response:
        if not self._digest:
            told = {"title": _("Nothing to begin"), "said": _("Somebody administers this page already.")}
            shown = {"reader": None, **told, "link": "/sign-in", "link_text": _("Sign in")}
            return page_of(request).render(request, "problem.html", shown, status_code=404)
        return visiting(request, "first.html", {"said": said}, status, chosen)
