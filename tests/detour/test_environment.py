"""The variables and how each shell reads them back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from detour.ca import ca_paths
from detour.environment import SHELLS, assignments, reachable, variables

CA = ca_paths(Path("/home/ann/.local/share/detour/ca"))
AWKWARD = 'it\'s "quoted" $HOME `id` \\ back\\\\slash \u2019typographic\u2018 %PATH% !x'


def test_every_variable_of_the_contract_is_set():
    found = variables("127.0.0.1:8080", CA, {})

    assert {n: found[n] for n in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")} == dict.fromkeys(
        ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:8080"
    )
    assert found["NO_PROXY"] == found["no_proxy"] == "localhost,127.0.0.1,::1"
    assert found["NODE_EXTRA_CA_CERTS"] == str(CA.cert_pem)
    replacing = (
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "CODEX_CA_CERTIFICATE",
    )
    assert {found[name] for name in replacing} == {str(CA.bundle)}
    assert found["NODE_USE_ENV_PROXY"] == "1"


@pytest.mark.parametrize(
    ("listening", "connected"),
    [
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("[::]:8080", "[::1]:8080"),
        ("[fd00::1]:8080", "[fd00::1]:8080"),
        ("box.lan:8080", "box.lan:8080"),
    ],
)
def test_an_address_that_cannot_be_connected_to_is_replaced(listening, connected):
    assert reachable(listening) == connected


def test_the_users_exemptions_stay_but_not_the_one_for_everything():
    found = variables("127.0.0.1:8080", CA, {"NO_PROXY": " .corp.example, *,localhost"})

    assert found["NO_PROXY"] == "localhost,127.0.0.1,::1,.corp.example"


def test_a_client_key_goes_into_the_url_encoded():
    found = variables("127.0.0.1:8080", CA, {}, SecretStr("p@ss/word:1"))

    assert found["HTTPS_PROXY"] == "http://detour:p%40ss%2Fword%3A1@127.0.0.1:8080"


def test_further_roots_of_a_user_stay_trusted_by_node():
    found = variables("127.0.0.1:8080", CA, {"NODE_EXTRA_CA_CERTS": "/etc/corp.pem"})

    assert found["NODE_EXTRA_CA_CERTS"] == str(CA.bundle)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh"])
def test_posix_shells_read_back_what_was_written(shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = assignments({"X": AWKWARD, "Y": ""}, "sh") + 'printf %s "$X"'

    assert subprocess.run([shell, "-c", script], capture_output=True, text=True).stdout == AWKWARD


def test_fish_reads_back_what_was_written():
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    script = assignments({"X": AWKWARD}, "fish") + "printf %s $X"

    assert subprocess.run(["fish", "-c", script], capture_output=True, text=True).stdout == AWKWARD


def test_one_assignment_a_line_in_every_shell():
    written = {shell: assignments({"A": "1", "B": "it's \\ ’q"}, shell) for shell in SHELLS}

    assert written == {
        "sh": "export A='1'\nexport B='it'\\''s \\ ’q'\n",
        "fish": "set -gx A '1'\nset -gx B 'it\\'s \\\\ ’q'\n",
        "powershell": "$Env:A = '1'\n$Env:B = 'it''s \\ ’’q'\n",
    }
