"""Which right opens which door of the page: the one table, and a route that carries its row.

A path that stands here not at all cannot be served: the application does not start. A test walks all of it as every
role. proof: the user shows again who they are, because the act bears their name or changes who may do what.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.routing import Match, Route
from starlette.types import Scope

from appliance.core.permits import Right


class Permit(NamedTuple):
    """right None: nobody need be signed in."""

    right: Right | None
    proof: bool = False


PERMITS: dict[tuple[str, str], Permit] = {
    ("GET", "/sign-in"): Permit(None),
    ("POST", "/sign-in"): Permit(None),
    ("GET", "/first"): Permit(None),
    ("POST", "/first"): Permit(None),
    ("GET", "/lock"): Permit(None),  # of a locked session: it knows whose it is, and shows nothing else
    ("POST", "/unlock"): Permit(None),
    ("POST", "/leave"): Permit(None),
    ("POST", "/sign-in/provider"): Permit(None),
    ("POST", "/sign-in/answer"): Permit(None),  # with a form that the provider's page sends
    ("POST", "/unlock/provider"): Permit(None),
    ("POST", "/lock"): Permit("stand"),
    ("POST", "/sign-out"): Permit("stand"),
    ("POST", "/prove/provider"): Permit("stand"),
    ("GET", "/pulse"): Permit("stand"),
    ("GET", "/events"): Permit("stand"),
    ("GET", "/banners"): Permit("stand"),
    ("GET", "/"): Permit("look"),
    ("GET", "/rows"): Permit("look"),
    ("POST", "/rows"): Permit("look"),  # with words to search for, which no address bears
    ("GET", "/studies/{number:int}"): Permit("look"),
    ("GET", "/studies/{number:int}/left"): Permit("look"),
    ("GET", "/studies/{number:int}/print"): Permit("look"),
    ("GET", "/studies/{number:int}/images"): Permit("look"),
    ("GET", "/studies/{number:int}/images/{image:int}/frames/{frame:int}"): Permit("look"),
    ("GET", "/studies/{number:int}/images/{image:int}/luts/{lut:int}"): Permit("look"),
    ("GET", "/studies/{number:int}/overlay"): Permit("look"),
    ("GET", "/studies/{number:int}/priors/{prior:int}/images"): Permit("look"),
    ("POST", "/studies/{number:int}/sign"): Permit("decide", proof=True),
    ("POST", "/studies/{number:int}/addendum"): Permit("decide", proof=True),
    ("POST", "/studies/{number:int}/late"): Permit("decide"),
    ("POST", "/studies/{number:int}/impression"): Permit("decide"),
    ("POST", "/studies/{number:int}/critical"): Permit("decide", proof=True),
    ("GET", "/studies/{number:int}/hold"): Permit("decide"),
    ("POST", "/studies/{number:int}/hold"): Permit("decide"),
    ("POST", "/studies/{number:int}/take"): Permit("decide"),
    ("POST", "/studies/{number:int}/command"): Permit("decide", proof=True),
    ("GET", "/display"): Permit("look"),
    ("POST", "/display"): Permit("decide"),
    ("GET", "/critical"): Permit("look"),
    ("GET", "/quality"): Permit("stand"),
    ("GET", "/quality/missed"): Permit("look"),
    ("GET", "/audits"): Permit("decide"),
    ("GET", "/audits/{audit:int}"): Permit("decide"),
    ("GET", "/audits/{audit:int}/images"): Permit("decide"),
    ("GET", "/audits/{audit:int}/images/{image:int}/frames/{frame:int}"): Permit("decide"),
    ("GET", "/audits/{audit:int}/images/{image:int}/luts/{lut:int}"): Permit("decide"),
    ("POST", "/audits/{audit:int}/answer"): Permit("decide", proof=True),
    ("GET", "/strays"): Permit("stand"),  # the old address of what follows
    ("GET", "/quarantine"): Permit("stand"),
    ("POST", "/quarantine/files/{stray:int}"): Permit("decide", proof=True),
    ("GET", "/status"): Permit("stand"),
    ("GET", "/outbox"): Permit("stand"),
    ("GET", "/models"): Permit("stand"),
    ("GET", "/models/switch"): Permit("operate"),
    ("POST", "/models/switch"): Permit("operate", proof=True),
    ("GET", "/certificates/{certificate}/withdraw"): Permit("operate"),
    ("POST", "/certificates/{certificate}/withdraw"): Permit("operate", proof=True),
    ("GET", "/account"): Permit("stand"),
    ("POST", "/account/language"): Permit("stand"),
    ("POST", "/account/password"): Permit("stand", proof=True),
    ("POST", "/account/factor"): Permit("stand", proof=True),
    ("GET", "/emergency"): Permit("lift"),
    ("POST", "/emergency"): Permit("lift", proof=True),
    ("POST", "/emergency/end"): Permit("lift"),
    ("GET", "/administration"): Permit("administer"),
    ("GET", "/administration/authority.pem"): Permit("administer"),
    ("POST", "/administration/users"): Permit("administer", proof=True),
    ("POST", "/administration/users/{name}"): Permit("administer", proof=True),
    ("POST", "/administration/sessions/{session}/end"): Permit("administer"),
    ("POST", "/administration/glass/{glass:int}/review"): Permit("administer"),
    ("GET", "/administration/self-test"): Permit("administer"),
    ("POST", "/administration/support-bundle"): Permit("administer", proof=True),
    ("GET", "/administration/viewers"): Permit("administer"),
    ("POST", "/administration/viewers"): Permit("administer", proof=True),
    ("POST", "/administration/viewers/{viewer:int}/revoke"): Permit("administer"),
    ("GET", "/dicomweb/studies"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/instances"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/metadata"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/metadata"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}/metadata"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}/rendered"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}/frames/{frames}"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}/frames/{frames}/rendered"): Permit("look"),
    ("GET", "/dicomweb/studies/{study}/series/{series}/instances/{object}/bulkdata/{bulk}"): Permit("look"),
}


class Door(Route):
    """A route that puts its permit into the request's scope, where the guards of entrance look for it."""

    def __init__(self, method: str, path: str, endpoint: Callable[..., Any]) -> None:
        self.permit = PERMITS[method, path]
        super().__init__(path, endpoint, methods=[method])

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        return match, {**child, "permit": self.permit} if match is Match.FULL else child
