"""Who may log in to a running daemon, over a restart; and that none of it can be read anywhere."""

import json
import secrets
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from derms.auth import KeyRing
from tests.processes import Daemon, Program, Programs, told
from tests.stage import Broker, query

ROOT_WORD, BOB_WORD, NEW_WORD, TYPO = (f"{word} {secrets.token_hex(12)}" for word in ("root", "bobs", "new", "typo"))
USERS = json.dumps([{"username": "root", "password": ROOT_WORD, "role": "admin"}])


def call(daemon: Daemon, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    request = urllib.request.Request(
        daemon.api + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15.0) as response:
            return response.status, json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def login(daemon: Daemon, username: str, password: str) -> tuple[int, Any]:
    return call(daemon, "POST", "/api/auth/login", {"username": username, "password": password})


def started(programs: Programs, broker: Broker, url: str, state: Path, **more: object) -> Daemon:
    daemon = programs.serve(
        mqtt_url=broker.url, database_url=url, state_dir=state, auth_users=USERS, log_level="debug", **more
    )
    daemon.wait_logged("The controller runs")
    return daemon


def test_a_round_of_logins_outlasts_a_restart_and_leaves_no_secret_anywhere(
    programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    first = started(programs, stage_broker, postgres_url, state)
    status, root = login(first, "root", ROOT_WORD)
    assert status == 200
    made = {"username": "bob", "password": BOB_WORD, "role": "operator"}
    assert call(first, "POST", "/api/users", made, root["token"])[0] == 201
    left, kept = (login(first, "bob", BOB_WORD)[1] for _ in range(2))
    assert login(first, "bob", TYPO)[0] == login(first, TYPO, TYPO)[0] == 401
    assert call(first, "POST", "/api/auth/logout", token=left["token"])[0] == 204
    assert call(first, "GET", "/api/auth/me", token=left["token"])[0] == 401
    assert call(first, "GET", "/api/audit", token=kept["token"])[0] == 403
    status, next_ = call(first, "POST", "/api/auth/refresh", {"refresh_token": kept["refresh_token"]})
    assert status == 200
    assert first.terminate() == 0

    second = started(programs, stage_broker, postgres_url, state)
    assert call(second, "GET", "/api/auth/me", token=next_["token"])[1]["username"] == "bob"
    assert call(second, "GET", "/api/auth/me", token=left["token"])[0] == 401
    assert call(second, "POST", "/api/auth/refresh", {"refresh_token": left["refresh_token"]})[0] == 401
    assert call(second, "POST", "/api/auth/refresh", {"refresh_token": kept["refresh_token"]})[0] == 401  # was spent
    assert call(second, "GET", "/api/auth/me", token=next_["token"])[0] == 401  # and took its login along
    _, root = login(second, "root", ROOT_WORD)
    assert call(second, "POST", "/api/users/bob/reset", {"password": NEW_WORD}, root["token"])[0] == 204
    assert login(second, "bob", BOB_WORD)[0] == 401
    assert login(second, "bob", NEW_WORD)[0] == 200
    assert call(second, "PATCH", "/api/users/root", {"disabled": True}, root["token"])[0] == 409
    audit = call(second, "GET", "/api/audit?limit=1000", token=root["token"])[1]["lines"]
    assert second.terminate() == 0

    rows = query(postgres_url, "SELECT action, subject, before::text, after::text FROM audit_log ORDER BY audit_id")
    told = [(action, subject) for action, subject, *_ in rows]
    for line in [
        ("user.create", "root"), ("auth.login", "root"), ("user.create", "bob"), ("auth.login", "bob"),
        ("auth.logout", "bob"), ("auth.refused", "bob"), ("auth.refused", "(unknown)"), ("auth.reuse", "bob"),
        ("user.reset", "bob"),
    ]:  # fmt: skip
        assert line in told
    key = (state / "jwt-secret").read_text().strip()
    words = [ROOT_WORD, BOB_WORD, NEW_WORD, TYPO, key, "$argon2", "eyJ"]
    words += [one[name] for one in (left, kept, next_, root) for name in ("token", "refresh_token")]
    everywhere = [program.stdout + program.stderr for program in (first, second)] + [repr(rows), json.dumps(audit)]
    for word in words:
        assert not any(word in place for place in everywhere), word[:8]
    dump = repr([query(postgres_url, f"SELECT * FROM {table}") for table in ("users", "sessions", "ended_tokens")])
    assert not any(word in dump for word in words if word != "$argon2")


def test_a_key_is_changed_without_ending_what_the_old_one_signed(
    programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    first = started(programs, stage_broker, postgres_url, state)
    old = login(first, "root", ROOT_WORD)[1]["token"]
    first.terminate()
    file, newest = state / "jwt-secret", secrets.token_urlsafe(48)
    oldest = file.read_text().strip()
    file.write_text(f"{newest}\n{oldest}\n")
    second = started(programs, stage_broker, postgres_url, state)
    assert call(second, "GET", "/api/auth/me", token=old)[0] == 200
    made = programs.derms("token", "--role", "admin", state_dir=state)
    assert made.wait() == 0
    assert call(second, "GET", "/api/users", token=made.stdout.strip())[0] == 200
    assert KeyRing(newest).newest.kid != KeyRing(oldest).newest.kid
    second.terminate()
    file.write_text(f"{newest}\n")
    third = started(programs, stage_broker, postgres_url, state)
    assert call(third, "GET", "/api/auth/me", token=old)[0] == 401
    assert call(third, "GET", "/api/auth/me", token=made.stdout.strip())[0] == 200


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"jwt_secret": "demo-scenario-secret-change-me-please"}, "is easily guessed"),
        ({"api_tls_cert_file": "nowhere.pem", "api_tls_key_file": "nowhere.key"}, "cannot be used"),
    ],
    ids=["secret", "certificate"],
)
def test_what_would_not_be_safe_does_not_start(
    settings: dict[str, str], text: str, programs: Programs, stage_broker: Broker, postgres_url: str
) -> None:
    daemon: Program = programs.serve(mqtt_url=stage_broker.url, database_url=postgres_url, **settings)
    assert daemon.wait() == 2
    assert text in told(daemon.stderr)
    assert "demo-scenario" not in daemon.stderr
    assert "The API listens" not in daemon.stderr


def test_tls_older_than_1_2_is_not_spoken(
    programs: Programs, stage_broker: Broker, postgres_url: str, tmp_path: Path
) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    daemon = started(
        programs, stage_broker, postgres_url, tmp_path / "state", api_tls_cert_file=cert, api_tls_key_file=key
    )
    assert daemon.api.startswith("https://")
    spoken = {}
    for version in ("-tls1_1", "-tls1_2", "-tls1_3"):
        told = subprocess.run(
            ["openssl", "s_client", "-connect", daemon.api.removeprefix("https://"), "-CAfile", cert,
             "-cipher", "DEFAULT:@SECLEVEL=0", "-verify_return_error", version],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        spoken[version] = told.returncode == 0
    assert spoken == {"-tls1_1": False, "-tls1_2": True, "-tls1_3": True}
    context = ssl.create_default_context(cafile=str(cert))
    with urllib.request.urlopen(f"{daemon.api}/api/health", timeout=10, context=context) as response:
        assert response.headers["Strict-Transport-Security"]
