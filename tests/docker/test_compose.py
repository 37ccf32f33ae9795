"""The container files: what can be said of them without building an image."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cli.conftest import FEDLEDGER
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
ROLES = {name: service for name, service in COMPOSE["services"].items() if service["image"] == "fedledger"}
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def test_the_pattern_has_a_chain_a_payload_store_an_aggregator_and_four_nodes() -> None:
    assert sum(name.startswith("validator-") for name in COMPOSE["services"]) == 4
    assert {"kubo", "proxy", "aggregator"} <= COMPOSE["services"].keys()
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
        assert not any("PASS" in key for key in service.get("environment", {}))
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
