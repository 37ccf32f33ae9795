"""The container files: what can be said of them without building an image."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from aggregator.config import AggregatorConfig
from api.config import ApiConfig
from node.config import NodeConfig
from tests.cli.conftest import FEDLEDGER
from tests.docs.conftest import run
from tests.docs.pages import BY_NAME, ROOT, Command, blocks, commands

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
ROLES = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "fedledger"}
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def test_the_pattern_has_a_chain_a_payload_store_an_aggregator_and_four_nodes() -> None:
    assert sum(name.startswith("validator-") for name in COMPOSE["services"]) == 4
    assert {"kubo", "proxy", "aggregator", "api", "postgres"} <= COMPOSE["services"].keys()
    assert sum(name.startswith("node-") for name in ROLES) == 4


@pytest.mark.parametrize("name", ROLES)
def test_the_command_of_a_role_is_one_that_the_program_takes(name: str, tmp_path: Path) -> None:
    """Run outside, it gets as far as its settings, which lie in the container."""
    done = subprocess.run(
        [FEDLEDGER, *ROLES[name]["command"]], capture_output=True, encoding="utf-8", check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(r"fedledger: /etc/fedledger/\w+\.toml: expected a .*file, got no such file", line), (
        line
    )


@pytest.mark.parametrize("name", ROLES)
def test_a_role_runs_without_rights_on_a_read_only_file_system(name: str) -> None:
    service = ROLES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["networks"] == ["inside"]
    assert "ports" not in service
    assert service["healthcheck"]["test"][:2] == ["CMD", "python"]


def test_nothing_but_the_proxy_listens_outside() -> None:
    assert COMPOSE["networks"]["inside"]["internal"]
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["proxy"]


def test_every_secret_is_a_file_and_every_volume_is_declared() -> None:
    for service in COMPOSE["services"].values():
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
        passwords = [key for key in service.get("environment", {}) if "PASS" in key]
        assert all(key.endswith("_FILE") for key in passwords)
    assert all(list(secret) == ["file"] for secret in COMPOSE["secrets"].values())


def test_the_image_copies_every_package_and_runs_as_a_user_of_its_own() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)) == set(packages)
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["fedledger"]
    assert 'ENTRYPOINT ["fedledger"]' in DOCKERFILE


def test_besus_settings_have_the_rules_that_the_contracts_are_compiled_for() -> None:
    network = json.loads((DOCKER / "besu" / "qbft.json").read_text(encoding="utf-8"))
    config = network["genesis"]["config"]
    assert config["pragueTime"] == 0
    assert config["zeroBaseFee"]
    assert network["blockchain"]["nodes"]["count"] == 4
    assert int(network["genesis"]["gasLimit"], 16) >= 30_000_000


# -- the page that fills the folders ----------------------------------------------------------------------

PAGE = BY_NAME["docs/how-to/run-a-consortium-on-besu-and-kubo.md"]
NETWORK = f"""
[chain]
endpoints = ["http://validator-0:8545"]
chain_id = 5
consortium = "0x{"01" * 20}"
round_ledger = "0x{"02" * 20}"
"""


def _commands(word: str) -> list[Command]:
    found = [command for block in blocks(PAGE) if block.language == "console" for command in commands(block)]
    return [command for command in found if word in command.line]


def test_the_page_makes_the_settings_of_each_role_as_its_container_has_them(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "consortium.toml").write_text(NETWORK, encoding="utf-8")
    for command in (*_commands(" init "), *_commands("sed -i")):
        assert run(command.line, tmp_path).returncode == 0, command.line
    for name, service in ROLES.items():
        role = name.removeprefix("node-")
        settings: Any = {"aggregator": AggregatorConfig, "api": ApiConfig}.get(role, NodeConfig)
        config = settings.read(tmp_path / "settings" / f"{role}.toml")
        assert f"./settings/{role}.toml:" in service["volumes"][0]
        if role == "api":
            secrets = [config.database_password_file]
            assert config.database == "postgresql://fedledger@postgres/fedledger"
            assert config.listen.host == "0.0.0.0"  # noqa: S104 - inside, behind the proxy
        else:
            secrets = [config.key.keystore, config.key.passphrase_file]
        assert [secret.name for secret in secrets] == service["secrets"]
        assert str(config.state) in service["volumes"][-1]
        assert (config.store.shared, config.store.private_network) == ("/dns/kubo/tcp/5001", True)
        assert config.monitoring.port == 9100


def test_the_page_gives_each_validator_its_key_and_lists_them_all(tmp_path: Path) -> None:
    """The folders are as Besu makes them."""
    for n in range(4):
        folder = tmp_path / "besu" / "network" / "keys" / f"0x{n:040x}"
        folder.mkdir(parents=True)
        (folder / "key").write_text(f"0x{n:064x}", encoding="utf-8")
        (folder / "key.pub").write_text(f"0x{n:0128x}", encoding="utf-8")
    (command,) = _commands("static-nodes.json")
    assert run(command.line, tmp_path).returncode == 0
    nodes = json.loads((tmp_path / "besu" / "static-nodes.json").read_text(encoding="utf-8"))
    for n, node in enumerate(nodes):
        service = COMPOSE["services"][f"validator-{n}"]
        assert node == f"enode://{n:0128x}@{service['networks']['inside']['ipv4_address']}:30303"
        assert f"./besu/validator-{n}/key:/etc/besu/key:ro" in service["volumes"]
        assert int((tmp_path / "besu" / f"validator-{n}" / "key").read_text(encoding="utf-8"), 16) == n


def test_the_page_makes_each_secret_that_a_service_asks_for() -> None:
    (loop,) = _commands("fedledger keys new")
    roles = re.findall(r"for who in ([a-z ]+);", loop.line)[0].split()
    made = {f"./secrets/{who}.{end}" for who in roles for end in ("json", "passphrase")}
    asked = {secret["file"] for secret in COMPOSE["secrets"].values()}
    (password,) = _commands("secrets/postgres.password")
    assert password.line.endswith("> secrets/postgres.password")
    assert asked <= made | {"./secrets/swarm.key", "./secrets/postgres.password"}
