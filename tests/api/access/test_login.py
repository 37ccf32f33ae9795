"""``fedledger login``, ``whoami`` and ``logout``, and the client, at a service on a socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from eth_account import Account

from api.access import tokens
from api.access.message import spelled_time
from api.access.saved import SavedTokens
from api.client import Client
from cli.main import cli
from ledger.errors import UnavailableError, UsageError
from tests.api.access.desks import KEYS, START, account

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.api.access.desks import World


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder of settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return tmp_path / "settings"


@pytest.fixture
def key(tmp_path: Path) -> list[str]:
    """Options that name the auditor's keystore."""
    keystore = Account.encrypt(KEYS["auditor"].key, "secret", kdf="scrypt", iterations=2)
    (tmp_path / "auditor.json").write_text(json.dumps(keystore))
    (tmp_path / "passphrase").write_text("secret\n")
    return ["--key", str(tmp_path / "auditor.json"), "--passphrase-file", str(tmp_path / "passphrase")]


def run(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli, words)


def test_who_logs_in_is_known_until_he_logs_out(desk: World, key: list[str], settings: Path) -> None:
    at = ("--api", desk.desk.url + "/")
    done = run("login", *at, *key)
    assert done.exit_code == 0, done.output
    until = spelled_time(START + tokens.LIFETIME)
    said = f"{KEYS['auditor'].address.lower()}, auditor, until {until}\n"
    assert done.output == f"{desk.desk.url}: {said}"
    assert run("whoami", *at).output == said
    assert json.loads(run("whoami", *at, "--format", "json").output)["standing"] == "auditor"
    (file,) = (settings / "fedledger" / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    token = SavedTokens().get(desk.desk.url)
    assert Client(desk.desk.url, token=token).consortium().members
    desk.now += 600
    assert spelled_time(START + 600 + tokens.LIFETIME) in run("login", *at).output
    assert run("logout", *at).exit_code == 0
    assert list(file.parent.iterdir()) == []
    assert isinstance(run("whoami", *at).exception, UsageError)
    assert desk.ask("/runs", token).status_code == 401
    assert run("logout", *at).exit_code == 0


def test_a_login_for_a_browser_prints_a_code_that_is_good_once(desk: World, key: list[str]) -> None:
    done = run("login", "--api", desk.desk.url, "--browser", *key)
    assert done.exit_code == 0, done.output
    *_, page, code = done.output.splitlines()
    assert page.startswith(f"open {desk.desk.url}/sign-in ")
    assert desk.desk.codes.redeem(code) == account("auditor")
    assert desk.desk.codes.redeem(code) is None


def test_logging_out_of_a_sign_in_that_is_over_removes_it(desk: World, key: list[str]) -> None:
    at = ("--api", desk.desk.url)
    run("login", *at, *key)
    desk.now += tokens.LIFETIME
    assert isinstance(run("whoami", *at).exception, UsageError)
    assert run("logout", *at).exit_code == 0
    assert SavedTokens().get(desk.desk.url) is None


def test_a_key_is_not_used_at_a_service_that_calls_itself_otherwise(desk: World) -> None:
    """It could hand the signed message to the service whose name it wears."""
    url, desk.desk.url = desk.desk.url, "https://ledger.example.org"
    with pytest.raises(UsageError, match="address under which it is asked"):
        Client(url).sign_in(KEYS["auditor"])


@pytest.mark.parametrize(
    "address",
    ["http://ledger.example.org", "ledger.example.org", "ftp://127.0.0.1", "https://a/b", "https://u@a", "http://[",
     "https://"],
)  # fmt: skip
def test_an_address_that_is_none_or_shows_tokens_to_all_is_refused(address: str) -> None:
    done = run("whoami", "--api", address)
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith("--api: expected")


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    saved = SavedTokens(tmp_path)
    path = saved.put("https://a.example", "x" * 43)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others may read it"):
        saved.get("https://a.example")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"token": 1}', "\x00", "x" * 10_000])
def test_a_file_that_holds_no_token_is_said(tmp_path: Path, text: str) -> None:
    saved = SavedTokens(tmp_path)
    saved.put("https://a.example", "x" * 43).write_text(text)
    with pytest.raises(UsageError, match="got another file"):
        saved.get("https://a.example")


def test_a_token_that_cannot_be_kept_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot write"):
        SavedTokens(tmp_path / "file" / "tokens").put("https://a.example", "x" * 43)
