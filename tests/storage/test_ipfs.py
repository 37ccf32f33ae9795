"""IPFS daemons that lie, hang, send without end or break off, and what a store takes from them."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from ledger.canonical import MAX_DOCUMENT_BYTES
from ledger.checks import Check
from ledger.cid import CHUNK_BYTES, PayloadHasher, PayloadRef, digest_of
from ledger.errors import PayloadCorrupt, PayloadMissing, UnavailableError, UsageError
from storage import IpfsStore
from storage.daemon import Address
from storage.files import pieces
from storage.ipfs import _blocks
from tests.storage.daemons import (
    KEPT,
    ONLINE_ALONE,
    broken_off,
    deaf,
    dribbling,
    endless,
    faulty,
    refused,
    says,
    silent,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.peers import Peer
    from tests.storage.daemons import Answer, Behaviour

DATA = b"an update of some hospital" * 3
REF = PayloadRef(digest_of(DATA), len(DATA))
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + bytes(1 << 16) + b"\r\n"


def _patient(*addresses: str) -> IpfsStore:
    return IpfsStore(addresses, timeout=120)


def _hasty(*addresses: str) -> IpfsStore:
    """For daemons of which nothing is to come."""
    return IpfsStore(addresses, timeout=0.5)


def _read_all(store: IpfsStore, folder: Path) -> Iterator[Exception]:
    """Read in every way, which must fail, and leave nothing."""
    for read in (
        lambda: store.get(REF),
        lambda: store.fetch(REF, folder / "into"),
        lambda: store.verify(REF),
        lambda: store.document(REF.digest),
    ):
        with pytest.raises((PayloadCorrupt, UnavailableError)) as caught:
            read()
        assert list(folder.iterdir()) == []
        yield caught.value


# -- answers -------------------------------------------------------------------------------------------------

ENDLESS: dict[str, Behaviour] = {
    "chunked": endless(CHUNKED, CHUNK),
    "a length beyond measure": endless(HEAD + b"Content-Length: %d\r\n\r\n" % (1 << 60), bytes(1 << 16)),
    "one chunk beyond measure": endless(CHUNKED + b"7fffffffffffffff\r\n", bytes(1 << 16)),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_answer_is_cut_off_at_the_declared_length(kind: str, tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=ENDLESS[kind]) as daemon:
        tracemalloc.start()
        try:
            *sized, document = _read_all(_patient(daemon.address), tmp_path)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * MAX_DOCUMENT_BYTES
        assert daemon.gone.wait(60)
        for error in sized:
            assert isinstance(error, PayloadCorrupt)
            assert error.check is Check.UPDATE_LENGTH
            assert daemon.address in str(error)
        assert isinstance(document, PayloadCorrupt)
        assert document.check is Check.DOCUMENT_DIGEST


ENDLESS_HEADS: dict[str, Behaviour] = {
    "a header line": endless(HEAD + b"X-Long: ", b"x" * (1 << 16)),
    "headers": endless(HEAD, b"X-Many: again\r\n"),
    "a status line": endless(b"HTTP/1.1 200 ", b"O" * (1 << 16)),
    "a chunk's length": endless(CHUNKED + b"1;", b"x" * (1 << 16)),
}


@pytest.mark.parametrize("kind", ENDLESS_HEADS)
def test_a_head_without_end_is_no_answer(kind: str, tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=ENDLESS_HEADS[kind]) as daemon:
        store = IpfsStore([daemon.address], timeout=120, attempts=1)
        for error in _read_all(store, tmp_path):
            assert isinstance(error, UnavailableError)
            assert "breaks off or is not an IPFS daemon's" in str(error)
        assert daemon.gone.wait(60)


SLOW: dict[str, Behaviour] = {
    "silence": silent,
    "silence after the head": lambda answer: (answer.write(CHUNKED), silent(answer)),  # type: ignore[func-returns-value]
    "a status line, byte by byte": dribbling(b"HTTP/1.1 200 ", b"O"),
    "headers, one by one": dribbling(HEAD, b"X-Many: again\r\n"),
    "interim answers without end": dribbling(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body, byte by byte": dribbling(HEAD + b"Content-Length: 78\r\n\r\n", b"x"),
    "chunks, one by one": dribbling(CHUNKED, b"1\r\nx\r\n"),
    "a chunk's length, byte by byte": dribbling(CHUNKED + b"1;", b"x"),
    "trailers without end": dribbling(CHUNKED + b"0\r\n", b"X-Many: again\r\n"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_daemon_that_does_not_get_on_is_left(kind: str) -> None:
    with faulty(pin_ls=KEPT, cat=SLOW[kind]) as daemon:
        with pytest.raises(UnavailableError, match=r"was silent or too slow for 0\.5 s") as caught:
            _hasty(daemon.address).get(PayloadRef(REF.digest, 1 << 19))
        assert daemon.address in str(caught.value)
        assert daemon.asked.count("cat") <= 1  # asking again would only wait again


@pytest.mark.parametrize("call", ["pin_ls", "block_stat", "add"])
def test_a_daemon_that_is_silent_to_a_question_is_left(call: str) -> None:
    with faulty(**{call: silent}) as daemon, pytest.raises(UnavailableError, match="was silent or too slow"):
        _hasty(daemon.address).put(DATA)


def test_a_daemon_that_stops_listening_is_left(tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as file:
        file.truncate(64 << 20)  # more than any socket buffers
    with faulty(add=deaf) as daemon, pytest.raises(UnavailableError, match="was silent or too slow"):
        _hasty(daemon.address).put_file(tmp_path / "long")


def test_a_large_payload_passes_through_in_pieces(js_ipfs_daemon: Peer, tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as file:
        file.truncate(64 << 20)
    store = _patient(js_ipfs_daemon.address)
    tracemalloc.start()
    try:
        ref = store.put_file(tmp_path / "long")
        store.verify(ref)
        store.fetch(ref, tmp_path / "fetched")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert (tmp_path / "fetched").stat().st_size == 64 << 20


def test_whether_a_silent_daemon_has_something_cannot_be_found_out() -> None:
    with faulty(pin_ls=silent) as daemon, pytest.raises(UnavailableError, match="was silent or too slow"):
        _hasty(daemon.address).has(REF)


BROKEN: dict[str, Behaviour] = {
    "nothing": broken_off(b""),
    "half a status line": broken_off(b"HTTP/1.1"),
    "no length": broken_off(HEAD + b"Connection: close\r\n\r\n" + DATA),
    "half a header": broken_off(HEAD + b"Content-Le"),
    "half a body": broken_off(HEAD + b"Content-Length: 78\r\n\r\n" + DATA[:39]),
    "half a chunk": broken_off(CHUNKED + b"4e\r\n" + DATA[:39]),
    "no last chunk": broken_off(CHUNKED + b"27\r\n" + DATA[:39] + b"\r\n"),
    "another protocol": broken_off(b"\x13/multistream/1.0.0\n"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_answer_that_breaks_off_is_asked_for_again_and_is_no_verdict(kind: str, tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=BROKEN[kind]) as daemon:
        store = IpfsStore([daemon.address], timeout=120, attempts=2)
        for error in _read_all(store, tmp_path):
            assert isinstance(error, UnavailableError)
            assert not isinstance(error, PayloadMissing)
            assert daemon.address in str(error)
        assert daemon.asked.count("cat") == 2 * 4


def test_a_daemon_that_comes_back_is_asked_again() -> None:
    answers = iter([broken_off(b""), broken_off(HEAD), whole(DATA)])

    def next_answer(answer: Answer) -> None:
        next(answers)(answer)

    with faulty(pin_ls=KEPT, cat=next_answer) as daemon:
        assert _patient(daemon.address).get(REF) == DATA


def test_other_bytes_are_corrupt_and_name_the_daemon(tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=whole(bytes(len(DATA)))) as daemon:
        for error in _read_all(_patient(daemon.address), tmp_path):
            assert isinstance(error, PayloadCorrupt)
            assert f"from the IPFS daemon at {daemon.address}/http" in str(error)


def test_a_compressed_answer_is_not_unpacked() -> None:
    """A kilobyte can stand for a gigabyte."""
    packed = gzip.compress(bytes(1 << 26))
    with (
        faulty(pin_ls=KEPT, cat=whole(packed, Content_Encoding="gzip")) as daemon,
        pytest.raises(PayloadCorrupt, match="got more"),
    ):
        _patient(daemon.address).get(REF)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int, tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=whole(DATA)) as other:
        away = whole(b"", status, Location=f"http://127.0.0.1:{other.port}/api/v0/cat")
        with faulty(pin_ls=KEPT, cat=away, block_stat=away, add=away) as daemon:
            store = IpfsStore([daemon.address], timeout=120, attempts=1)
            for error in _read_all(store, tmp_path):
                assert isinstance(error, UnavailableError)
            with pytest.raises(UnavailableError):
                store.put(DATA + b"other")
        assert other.asked == []


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty() as proxy, faulty(pin_ls=KEPT, cat=whole(DATA)) as daemon:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert _patient(daemon.address).get(REF) == DATA
        assert proxy.asked == []


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_an_error_that_is_not_a_daemons_is_unavailable(status: int, tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=whole(b"<html>", status)) as daemon:
        for error in _read_all(IpfsStore([daemon.address], timeout=120, attempts=1), tmp_path):
            assert isinstance(error, UnavailableError)
            assert f"answered {status}; is it an IPFS daemon? check [store]" in str(error)


@pytest.mark.parametrize("text", [b'{"Message": "' + b"x" * (1 << 20), b"[" * (1 << 20), b"{\n" * (1 << 19)])
def test_an_error_text_without_end_is_cut_off(text: bytes) -> None:
    head = b"HTTP/1.1 500 Error\r\nConnection: close\r\n\r\n"
    with faulty(pin_ls=KEPT, cat=endless(head, text)) as daemon:
        with pytest.raises(UnavailableError):
            IpfsStore([daemon.address], timeout=120, attempts=1).get(REF)
        assert daemon.gone.wait(60)


def test_a_daemons_own_error_is_shown_in_one_line() -> None:
    error = says({"Message": "disk\nfull\x1b[2J " + "x" * 9999, "Type": "error"}, 500)
    with faulty(add=error) as daemon:
        with pytest.raises(UnavailableError, match="refused: disk full") as caught:
            _patient(daemon.address).put(DATA)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500
        assert daemon.asked.count("add") == 1  # it would refuse again


NO_ADDRESSES = {
    "another payload's": {"Hash": PayloadRef(digest_of(b"other"), 5).cid},
    "the same digest as a tree": {"Hash": PayloadRef(REF.digest, CHUNK_BYTES + 1).cid},
    "spelled in another way": {"Hash": REF.cid.upper()},
    "a path": {"Hash": "../../etc/passwd"},
    "a number": {"Hash": 7},
    "none": {"Name": "bytes"},
    "a list": [REF.cid],
    "a text": REF.cid,
}


@pytest.mark.parametrize("kind", NO_ADDRESSES)
def test_a_payload_that_a_daemon_keeps_under_another_address_is_not_stored(kind: str, tmp_path: Path) -> None:
    (tmp_path / "update").write_bytes(DATA)
    with faulty(add=says(NO_ADDRESSES[kind])) as daemon:
        store = IpfsStore([daemon.address], timeout=120, attempts=1)
        for put in (lambda: store.put(DATA), lambda: store.put_file(tmp_path / "update")):
            with pytest.raises(UnavailableError, match=daemon.address):
                put()


@pytest.mark.parametrize("text", [b"", b"{", b"no JSON", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 10_000])
def test_an_answer_that_is_no_json_is_no_answer(text: bytes) -> None:
    with faulty(add=whole(text)) as daemon, pytest.raises(UnavailableError, match=daemon.address):
        IpfsStore([daemon.address], timeout=120, attempts=1).put(DATA)


def test_json_without_end_is_cut_off() -> None:
    with faulty(add=endless(CHUNKED, b"10\r\n" + b" " * 16 + b"\r\n")) as daemon:
        with pytest.raises(UnavailableError):
            IpfsStore([daemon.address], timeout=120, attempts=1).put(DATA)
        assert daemon.gone.wait(60)


# -- missing -------------------------------------------------------------------------------------------------


def test_a_daemon_that_has_it_not_asks_its_peers() -> None:
    with faulty(swarm_peers=says({"Peers": [{"Peer": "other"}]}), cat=whole(DATA)) as daemon:
        store = _patient(daemon.address)
        assert not store.has(REF)
        assert store.get(REF) == DATA


@pytest.mark.parametrize("cat", [silent, refused], ids=["silent", "refused"])
def test_what_no_peer_gives_is_missing(cat: Behaviour) -> None:
    with (
        faulty(swarm_peers=says({"Peers": [{"Peer": "other"}]}), cat=cat) as daemon,
        pytest.raises(PayloadMissing, match="and its peers do not give it"),
    ):
        IpfsStore([daemon.address], timeout=4).get(REF)


def test_what_a_daemon_without_peers_has_not_is_missing_at_once() -> None:
    with faulty(swarm_peers=ONLINE_ALONE, cat=silent) as daemon:
        with pytest.raises(PayloadMissing, match="which has no peers to ask"):
            _patient(daemon.address).get(REF)
        assert "cat" not in daemon.asked


# -- several daemons -----------------------------------------------------------------------------------------


def _nobody() -> str:
    """Return an address where nothing listens any more."""
    with faulty() as daemon:
        return daemon.address


def test_a_daemon_that_is_not_there_says_what_to_do() -> None:
    address = _nobody()
    store = IpfsStore([address], attempts=2)
    for ask in (lambda: store.get(REF), lambda: store.put(DATA), lambda: store.has(REF), store.exposure):
        with pytest.raises(UnavailableError) as caught:
            ask()
        wanted = f"the IPFS daemon at {address}/http does not answer; start it, or check [store]"
        assert str(caught.value) == wanted


def test_a_daemon_that_speaks_no_tls_is_not_spoken_to_without() -> None:
    with faulty(pin_ls=KEPT, cat=whole(DATA)) as daemon:
        with pytest.raises(
            UnavailableError, match="speaks no TLS, or has no certificate that this machine trusts"
        ):
            IpfsStore([f"{daemon.address}/https"], timeout=120, attempts=1).get(REF)
        assert daemon.asked == []


FIRST: dict[str, dict[str, Behaviour]] = {
    "lies": {"pin_ls": KEPT, "cat": whole(bytes(len(DATA)))},
    "breaks off": {"pin_ls": KEPT, "cat": broken_off(HEAD)},
    "has nothing": {"swarm_peers": ONLINE_ALONE},
    "is no daemon": {"pin_ls": whole(b"hello")},
}


@pytest.mark.parametrize("fault", FIRST)
def test_a_payload_comes_from_the_next_daemon(js_ipfs_daemon: Peer, tmp_path: Path, fault: str) -> None:
    good = _patient(js_ipfs_daemon.address)
    good.put(DATA)
    with faulty(**FIRST[fault]) as daemon:
        store = IpfsStore([_nobody(), daemon.address, js_ipfs_daemon.address], timeout=120, attempts=1)
        assert store.has(REF)
        assert store.get(REF) == store.document(REF.digest) == DATA
        store.verify(REF)
        store.fetch(REF, tmp_path / "into")
        assert (tmp_path / "into").read_bytes() == DATA


def test_a_silent_daemon_does_not_keep_a_payload_back(js_ipfs_daemon: Peer) -> None:
    _patient(js_ipfs_daemon.address).put(DATA)
    with faulty(pin_ls=KEPT, cat=silent) as daemon:
        assert IpfsStore([daemon.address, js_ipfs_daemon.address], timeout=10).get(REF) == DATA


def test_a_payload_goes_to_the_first_daemon_that_takes_it(js_ipfs_daemon: Peer) -> None:
    data = DATA + b"to the first that takes it"
    with faulty(add=refused) as full, faulty() as unasked:
        store = _patient(_nobody(), full.address, js_ipfs_daemon.address, unasked.address)
        ref = store.put(data)
        assert "add" in full.asked
        assert unasked.asked == []
    assert _patient(js_ipfs_daemon.address).get(ref) == data


def test_what_daemons_say_goes_before_silence() -> None:
    """That it is damaged before that it is missing, and both before no answer."""
    lies = {"pin_ls": KEPT, "cat": whole(b"lie")}
    with faulty(**lies) as lying, faulty(swarm_peers=ONLINE_ALONE) as empty:
        with pytest.raises(PayloadCorrupt):
            _patient(_nobody(), empty.address, lying.address).get(REF)
        with pytest.raises(PayloadMissing):
            _patient(empty.address, _nobody()).get(REF)


def test_a_disk_that_refuses_is_no_daemons_fault(tmp_path: Path) -> None:
    with faulty(pin_ls=KEPT, cat=whole(DATA)) as first, faulty() as second:
        with pytest.raises(UnavailableError, match="cannot write into"):
            _patient(first.address, second.address).fetch(REF, tmp_path / "nowhere" / "into")
        assert second.asked == []


# -- addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical", "loopback"),
    [
        ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001/http", True),
        ("/ip4/127.9.9.9/tcp/5001/http", "/ip4/127.9.9.9/tcp/5001/http", True),
        (" /ip6/::1/tcp/5001 ", "/ip6/::1/tcp/5001/http", True),
        ("/ip4/10.0.0.7/tcp/65535/https", "/ip4/10.0.0.7/tcp/65535/https", False),
        ("/dns/kubo/tcp/5001", "/dns/kubo/tcp/5001/http", False),
        ("/dns/ipfs.clinic-7.example/tcp/443/https", "/dns/ipfs.clinic-7.example/tcp/443/https", False),
        ("/dns/localhost/tcp/5001", "/dns/localhost/tcp/5001/http", False),
    ],
)
def test_a_daemons_address_is_a_multiaddr(text: str, canonical: str, *, loopback: bool) -> None:
    address = Address.parse(text)
    assert (str(address), address.is_loopback) == (canonical, loopback)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "127.0.0.1:5001",
        "http://127.0.0.1:5001",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/tcp",
        "/ip4/127.0.0.1/tcp/",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/05001",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/+5001",
        "/ip4/127.0.0.1/tcp/٥٠٠١",
        "/ip4/127.0.0.1/udp/5001",
        "/ip4/127.0.0.1/tcp/5001/",
        "/ip4/127.0.0.1/tcp/5001/ws",
        "/ip4/127.0.0.1/tcp/5001/http/extra",
        "/ip4/127.1/tcp/5001",
        "/ip4/::1/tcp/5001",
        "/ip6/127.0.0.1/tcp/5001",
        "/ip6/fe80::1%eth0/tcp/5001",
        "/dns4/kubo/tcp/5001",
        "/dns//tcp/5001",
        "/dns/user:secret@kubo/tcp/5001",
        "/dns/kubo#x/tcp/5001",
        "/dns/kubo?x/tcp/5001",
        "/dns/kubo\r\nX: y/tcp/5001",
        "/dns/kubo\n/tcp/5001",
        "/dns/-kubo/tcp/5001",
        "/dns/kubo..example/tcp/5001",
        f"/dns/{'x' * 64}/tcp/5001",
        "/unix/socket/tcp/5001",
    ],
)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a multiaddr like /ip4/127\.0\.0\.1/tcp/5001"):
        IpfsStore([text])


@pytest.mark.parametrize("arguments", [{"addresses": []}, {"timeout": 0}, {"attempts": 0}])
def test_a_store_needs_a_daemon_a_time_limit_and_an_attempt(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected an address, a time limit, an attempt"):
        IpfsStore(**{"addresses": ["/ip4/127.0.0.1/tcp/5001"], **arguments})


# -- who can see the payloads --------------------------------------------------------------------------------

LOOPBACK = {"API": "/ip4/127.0.0.1/tcp/5001", "Gateway": ["/ip4/127.0.0.1/tcp/8080", "/ip6/::1/tcp/8080"]}
QUIET = {"Addresses": {"Swarm": [], **LOOPBACK}, "Bootstrap": [], "Discovery": {"MDNS": {"Enabled": False}}}
NOT_ONLINE = says({"Message": "this command must be run in online mode", "Type": "error"}, 500)
NOWHERE = says({"Strings": []})


def test_a_daemon_on_loopback_that_is_offline_is_safe(js_ipfs_daemon: Peer) -> None:
    assert _patient(js_ipfs_daemon.address).exposure() is None


def test_a_daemon_that_says_it_is_offline_is_believed() -> None:
    online = says({**QUIET, "Bootstrap": ["/dnsaddr/bootstrap.example"]})  # were it started otherwise
    with faulty(swarm_peers=NOT_ONLINE, swarm_addrs_local=NOT_ONLINE, config_show=online) as daemon:
        assert _patient(daemon.address).exposure() is None


@pytest.mark.parametrize(
    "door", ["/ip4/0.0.0.0/tcp/8080", ["/ip4/127.0.0.1/tcp/1", "/dns/kubo/tcp/8080"], 7, "x"]
)
@pytest.mark.parametrize("name", ["API", "Gateway"])
def test_a_daemon_that_is_offline_serves_nobody_else_over_http(name: str, door: object) -> None:
    """Digests are on the chain, and a gateway gives everybody what has a digest."""
    config = says({**QUIET, "Addresses": {"API": "/ip4/127.0.0.1/tcp/5001", name: door}})
    with faulty(swarm_peers=NOT_ONLINE, swarm_addrs_local=NOT_ONLINE, config_show=config) as daemon:
        reason = _patient(daemon.address).exposure()
        assert reason is not None
        assert "serves its RPC or gateway beyond loopback" in reason


REACHABLE: dict[str, dict[str, Behaviour]] = {
    "it listens": {"swarm_addrs_local": says({"Strings": ["/ip4/0.0.0.0/tcp/4001"]})},
    "it listens unannounced": {"swarm_addrs_listen": says({"Strings": ["/ip4/10.0.0.7/tcp/4001"]})},
    "it has peers": {"swarm_peers": says({"Peers": [{"Peer": "other"}]})},
    "it would listen": {"config_show": says({**QUIET, "Addresses": {"Swarm": ["/ip4/0.0.0.0/tcp/4001"]}})},
    "it would dial": {"config_show": says({**QUIET, "Bootstrap": ["/dnsaddr/bootstrap.example"]})},
    "it would dial known peers": {"config_show": says({**QUIET, "Peering": {"Peers": [{"ID": "other"}]}})},
    "it would look around": {"config_show": says({**QUIET, "Discovery": {"MDNS": {"Enabled": True}}})},
}


@pytest.mark.parametrize("how", REACHABLE)
def test_a_daemon_that_others_may_reach_needs_a_private_network(how: str) -> None:
    calm = {"swarm_peers": ONLINE_ALONE, "swarm_addrs_local": NOWHERE, "config_show": says(QUIET)}
    with faulty(**calm) as daemon:
        assert _patient(daemon.address).exposure() is None
    with faulty(**{**calm, **REACHABLE[how]}) as daemon:
        reason = _patient(daemon.address).exposure()
        assert reason is not None
        assert reason.startswith(
            f"the IPFS daemon at {daemon.address}/http is not offline, and payloads are in"
        )
        assert IpfsStore([daemon.address], private_network=True).exposure() is None


def test_a_name_is_not_taken_for_loopback() -> None:
    """What it leads to is not this store's to say."""
    with faulty(swarm_peers=NOT_ONLINE, swarm_addrs_local=NOT_ONLINE) as daemon:
        reason = _patient(f"/dns/localhost/tcp/{daemon.port}").exposure()
        assert reason is not None
        assert "is not on loopback" in reason


def test_a_private_network_is_refused_where_the_daemon_shows_that_it_has_none() -> None:
    listeners = says({"Strings": ["/ip4/10.0.0.7/tcp/4001", "/ip4/10.0.0.7/udp/4001/quic-v1"]})
    with faulty(swarm_addrs_local=listeners) as daemon:
        reason = IpfsStore([daemon.address], private_network=True).exposure()
        assert reason is not None
        assert "is in no private network" in reason


@pytest.mark.parametrize("answer", [[], {}, {"Strings": 7}, {"Strings": {}}, "x"])
def test_a_daemon_that_does_not_say_is_not_taken_for_safe(answer: object) -> None:
    said = says(answer)
    with faulty(swarm_addrs_local=said, swarm_peers=said, config_show=said) as daemon:
        store = IpfsStore([daemon.address], attempts=1)
        with pytest.raises(UnavailableError, match=daemon.address):
            store.exposure()


def test_every_daemon_must_be_safe(js_ipfs_daemon: Peer) -> None:
    listens = says({"Strings": ["/ip4/0.0.0.0/tcp/4001"]})
    with faulty(swarm_addrs_local=listens, config_show=says(QUIET)) as daemon:
        assert _patient(js_ipfs_daemon.address, daemon.address).exposure() is not None


# -- against js-ipfs -----------------------------------------------------------------------------------------


def test_a_payload_is_pinned(js_ipfs_daemon: Peer) -> None:
    """So that the daemon's garbage collection leaves it, also where it was there unpinned before."""
    store = _patient(js_ipfs_daemon.address)
    data = os.urandom(100)
    ref = store.put(data)
    js_ipfs_daemon.ask("pin/rm", arg=ref.cid)
    assert not store.has(ref)
    assert store.get(ref) == data
    store.put(data)
    js_ipfs_daemon.ask("repo/gc")
    assert store.has(ref)
    assert store.get(ref) == data


def _zeros(length: int) -> PayloadRef:
    hasher = PayloadHasher()
    for _ in range(length // CHUNK_BYTES):
        hasher.update(bytes(CHUNK_BYTES))
    hasher.update(bytes(length % CHUNK_BYTES))
    return hasher.ref()


@pytest.mark.slow
@pytest.mark.parametrize("length", [174 * CHUNK_BYTES, 174 * CHUNK_BYTES + 1])
def test_the_tree_branches_where_js_ipfs_branches_it(js_ipfs_daemon: Peer, length: int) -> None:
    options = {"only-hash": "true", "cid-version": "1", "raw-leaves": "true", "cid-base": "base32"}
    answer = js_ipfs_daemon.ask("add", data=bytes(length), chunker="size-1048576", **options)
    assert answer.json()["Hash"] == _zeros(length).cid


@pytest.mark.slow
def test_a_payloads_blocks_are_those_that_js_ipfs_makes(js_ipfs_daemon: Peer, tmp_path: Path) -> None:
    """They are what is removed to replace a damaged copy; 176 leaves need nodes between."""
    path = tmp_path / "long"
    with path.open("wb") as file:
        file.truncate(176 * CHUNK_BYTES)
    ref = _patient(js_ipfs_daemon.address).put_file(path)
    options = {"recursive": "true", "cid-base": "base32"}
    lines = js_ipfs_daemon.ask("refs", arg=ref.cid, **options).text.splitlines()
    root, *below = _blocks(pieces(path), ref)
    assert root == ref.cid
    assert set(below) == {json.loads(line)["Ref"] for line in lines}
