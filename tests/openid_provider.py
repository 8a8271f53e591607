"""An OpenID provider that other people wrote (idpyoidc), with its login form, on loopback under TLS.

The HTTP around it is ours, the protocol is theirs: what is asked for, what is answered, and how the token is signed.
"""

import json
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from idpyoidc.message.oidc import AuthorizationRequest
from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.exception import FailedAuthentication

from appliance.config import Config, Places
from appliance.review import line

CLIENT_ID = "review-page-3"
PASSWORD = "a lantern on the quay"
LOGIN = """<!doctype html><html lang="en"><title>Harbour login</title><h1>{{ page_header }}</h1>
<form method="post" action="{{ action }}"><input type="hidden" name="token" value="{{ token }}">
<label>{{ user_label }} <input name="username"></label>
<label>{{ passwd_label }} <input name="password" type="password"></label>
<button>{{ submit_btn }}</button></form></html>"""
CLAIMS = ("sub", "name", "preferred_username", "roles")


@dataclass
class Provider:
    """What a test may know and turn.

    people  claims by login name; all have the same password
    asked   every authentication request that came
    """

    issuer: str
    people: dict[str, dict[str, Any]]
    server: Server
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def authorize(self) -> str:
        return f"{self.issuer}/authorization"

    def keys(self) -> bytes:
        """Its public keys, as at its jwks_uri."""
        return self.server.keyjar.export_jwks_as_json(issuer_id="").encode()

    def knows(self, page: str) -> None:
        """Registers a page by the one address to which answers may go."""
        self.server.context.cdb[CLIENT_ID] = {
            "client_id": CLIENT_ID,
            "client_secret": "not used by this page, which asks for ID tokens only",
            "redirect_uris": [(f"{page}sign-in/answer", {})],
            "response_types_supported": ["id_token"],
            "token_endpoint_auth_method": "none",
            "allowed_scopes": ["openid", "profile"],
        }


def configured(issuer: str, people: dict[str, dict[str, Any]], folder: Path) -> Server:
    (folder / "login.html").write_text(LOGIN)
    (folder / "people.json").write_text(json.dumps(dict.fromkeys(people, PASSWORD)))
    keys = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
    cookie_keys = [{"type": "OCT", "use": [use], "kid": use} for use in ("enc", "sig")]
    told = {
        "issuer": issuer,
        "httpc_params": {"verify": False},
        "key_conf": {"key_defs": keys},
        "keys": {"key_defs": keys},
        "scopes_to_claims": {"openid": ["sub"], "profile": list(CLAIMS)},
        "claims_interface": {"class": "idpyoidc.server.session.claims.ClaimsInterface", "kwargs": {}},
        "cookie_handler": {
            "class": "idpyoidc.server.cookie_handler.CookieHandler",
            "kwargs": {
                "keys": {"key_defs": cookie_keys},
                "name": {"session": "oidc_op", "register": "oidc_op_rp", "session_management": "sman"},
            },
        },
        "endpoint": {
            "authorization": {
                "path": "authorization",
                "class": "idpyoidc.server.oidc.authorization.Authorization",
                "kwargs": {
                    "client_authn_method": None,
                    "response_types_supported": ["id_token"],
                    "response_modes_supported": ["form_post"],
                },
            },
        },
        "token_handler_args": {
            "id_token": {"class": "idpyoidc.server.token.id_token.IDToken", "kwargs": {"add_claims_by_scope": True}},
        },
        "userinfo": {"class": "idpyoidc.server.user_info.UserInfo", "kwargs": {"db": people}},
        "authentication": {
            "user": {
                "acr": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
                "class": "idpyoidc.server.user_authn.user.UserPassJinja2",
                "kwargs": {
                    "verify_endpoint": "/verify",
                    "template": "login.html",
                    "db": {
                        "class": "idpyoidc.server.util.JSONDictDB",
                        "kwargs": {"filename": str(folder / "people.json")},
                    },
                    "page_header": "Harbour login",
                },
            }
        },
        "template_dir": str(folder),
    }
    return Server(OPConfiguration(told, base_path=str(folder)), cwd=str(folder))


@contextmanager
def provider(folder: Path, people: dict[str, dict[str, Any]]) -> Iterator[Provider]:
    """A running provider under the name localhost: for a page at 127.0.0.1 that is another site."""
    folder.mkdir(parents=True, exist_ok=True)
    own = line.line_of(Config.model_validate({"review": {"tls": "own"}}), Places(folder), time.time())
    assert own is not None
    listener = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    listener.daemon_threads = True
    listener.socket = own.context().wrap_socket(listener.socket, server_side=True)
    issuer = f"https://localhost:{listener.server_address[1]}"
    made = Provider(issuer, people, configured(issuer, people, folder))
    listener.provider = made  # type: ignore[attr-defined]
    running = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    running.start()
    try:
        yield made
    finally:
        listener.shutdown()
        running.join(10)
        listener.server_close()


class Desk(BaseHTTPRequestHandler):
    """Two addresses: where people come asking, and where its login form goes."""

    def do_GET(self) -> None:
        made: Provider = self.server.provider  # type: ignore[attr-defined]
        place = urlsplit(self.path)
        if place.path != "/authorization":
            self._say(404, "")
            return
        asked = dict(parse_qsl(place.query))
        made.asked.append(asked)
        endpoint = made.server.get_endpoint("authorization")
        told = {"headers": {}, "cookie": self._cookies()}
        request = endpoint.parse_request(asked, http_info=told)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = endpoint.process_request(request, http_info=told)
        self._answer(answer, endpoint, request)

    def do_POST(self) -> None:
        made: Provider = self.server.provider  # type: ignore[attr-defined]
        said = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        endpoint, method = made.server.get_endpoint("authorization"), made.server.context.authn_broker["user"]["method"]
        try:
            user = method.verify(username=said.get("username", ""), password=said.get("password", ""))
        except FailedAuthentication:
            self._say(403, "That was not right.")
            return
        asked = method.unpack_token(said["token"])
        request = AuthorizationRequest().from_urlencoded(asked["query"])
        session = endpoint.create_session(request, user, asked["authn_class_ref"], int(time.time()), method)
        self._answer(endpoint.authz_part2(request=request, session_id=session), endpoint, request)

    def _answer(self, answer: Any, endpoint: Any, request: Any) -> None:
        if "http_response" in answer:
            self._say(200, answer["http_response"])
        elif "response_msg" in answer:
            self._say(200, answer["response_msg"], answer.get("cookie", []))
        else:
            self._say(400, json.dumps(dict(answer)))

    def _cookies(self) -> list[dict[str, str]]:
        pairs = (each.partition("=") for each in self.headers.get("cookie", "").split("; ") if each)
        return [{"name": name, "value": value} for name, _, value in pairs]

    def _say(self, status: int, html: str, cookies: list[dict[str, Any]] = []) -> None:  # noqa: B006
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(html.encode())))
        self.send_header("Referrer-Policy", "no-referrer")  # as widely used providers do
        for each in cookies:
            self.send_header("Set-Cookie", f"{each['name']}={each['value']}; Path=/; Secure; HttpOnly; SameSite=None")
        self.end_headers()
        self.wfile.write(html.encode())

    def log_message(self, *_told: object) -> None:
        pass
