"""TLS, client certificates, the token and the unix socket: who is let in, and who is not."""

import os
import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from relay.admin.access import Access, AccessError, read_access
from relay.config.admin import AdminKeys
from tests.admin.conftest import TEXT, Rig

TOKEN = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(ca: trustme.CA, tmp_path: Path) -> Path:
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "host.key")
    (tmp_path / "host.crt").write_bytes(b"".join(it.bytes() for it in issued.cert_chain_pems))
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    return tmp_path


def tls(files: Path, *, clients: bool = False) -> str:
    client_ca = f', client_ca = "{files}/ca.pem"' if clients else ""
    return f'tls = {{ certificate = "{files}/host.crt", key = "{files}/host.key"{client_ca} }}\n'


def context(ca: trustme.CA, client: trustme.CA | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context()
    ca.configure_trust(made)
    if client is not None:
        client.issue_cert("client").configure_cert(made)
    return made


def client_of(rig: Rig, verify: ssl.SSLContext) -> httpx.AsyncClient:
    url = rig.url().replace("http:", "https:")
    return httpx.AsyncClient(base_url=url, verify=verify, timeout=5)


async def test_over_tls_only_who_speaks_it_is_answered(
    rig: Rig, files: Path, ca: trustme.CA
) -> None:
    rig.reload(rig.listen(tls(files)))
    async with rig.serving() as plain:
        async with client_of(rig, context(ca)) as client:
            assert (await client.get("/healthz")).text == "ok\n"
        with pytest.raises(httpx.TransportError):
            await plain.get("/healthz")
        old = context(ca)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with client_of(rig, old) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("/healthz")


async def test_tls_1_2_where_it_is_allowed(rig: Rig, files: Path, ca: trustme.CA) -> None:
    rig.reload(rig.listen(tls(files).replace(" }", ', min_version = "1.2" }')))
    old = context(ca)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    async with rig.serving(), client_of(rig, old) as client:
        assert (await client.get("/healthz")).text == "ok\n"


async def test_a_client_certificate_is_required_and_must_be_of_the_authority(
    rig: Rig, files: Path, ca: trustme.CA
) -> None:
    rig.reload(rig.listen(tls(files, clients=True)))
    async with rig.serving():
        async with client_of(rig, context(ca, ca)) as client:
            assert (await client.get("/metrics")).status_code == 200
        for stranger in (None, trustme.CA()):
            async with client_of(rig, context(ca, stranger)) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get("/healthz")


async def test_a_handshake_that_does_not_end_is_cut_off(
    rig: Rig, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.admin.lifetime.KEEP_ALIVE_SECONDS", 0.3)
    rig.reload(rig.listen(tls(files)))
    async with rig.serving(), await rig.connect() as stream:
        await stream.send_all(b"\x16\x03\x01")
        assert await stream.receive_some() == b""


async def test_the_token_opens_every_page_and_probes_need_none(rig: Rig, files: Path) -> None:
    rig.relay.ledger.listener("net").bound = False
    rig.reload(rig.listen(f'token_file = "{files}/token"'))
    async with rig.serving() as client, rig.local() as local:
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/", "/metrics", "/ledger", "/senders", "/memory", "/nowhere"):
                answer = await client.get(path, headers=wrong)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/healthz")).text == "ok\n"
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "phase": "running"})
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get("/metrics", headers=right)).status_code == 200
        assert "reasons" in (await client.get("/readyz", headers=right)).json()
        refused = 'relay_admin_requests_refused_total{reason="token"} 18.0\n'
        assert refused in (await local.get("/metrics")).text


async def test_a_token_does_not_make_changes_possible_over_tcp(rig: Rig, files: Path) -> None:
    rig.reload(rig.listen(f'token_file = "{files}/token"'))
    right = {"Authorization": f"Bearer {TOKEN}"}
    async with rig.serving() as client:
        answer = await client.post("/memory/recent/clear", headers=right)
        assert answer.status_code == 403


async def test_a_reload_renews_token_and_certificate_and_keeps_them_where_they_are_bad(
    rig: Rig, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig.reload(rig.listen(f'token_file = "{files}/token"'))

    async def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.get("/metrics", headers=headers)).status_code

    async with rig.serving() as client:
        assert await status(TOKEN) == 200
        (files / "token").write_text("another-token-for-scrapes")
        rig.relay.reloaded.unpark_all()
        while await status("another-token-for-scrapes") != 200:
            await trio.sleep(0.01)
        assert await status(TOKEN) == 401
        (files / "token").chmod(0o644)
        rig.relay.reloaded.unpark_all()
        while "keeps the certificate and token it has" not in caplog.text:
            await trio.sleep(0.01)
        assert await status("another-token-for-scrapes") == 200


async def test_without_usable_files_tcp_is_closed_until_they_are_there(
    rig: Rig, files: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (files / "token").unlink()
    rig.reload(rig.listen(f'token_file = "{files}/token"'))
    async with rig.serving() as client, rig.local() as local:
        assert (await local.get("/metrics")).status_code == 200
        assert "admin server does not listen on TCP: token_file" in caplog.text
        with trio.move_on_after(0.2) as waited:
            await client.get("/healthz")  # the socket is there, and nobody accepts
        assert waited.cancelled_caught
        (files / "token").write_text(TOKEN)
        (files / "token").chmod(0o600)
        rig.relay.reloaded.unpark_all()
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 401


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (TOKEN, 0o604, "is open to everyone (mode 0604), expected 0600"),
        ("short", 0o600, "expected one word of 16 to 1024"),
        ("two words of sixteen", 0o600, "expected one word"),
        ("", 0o600, "expected one word"),
        ("x" * 1025, 0o600, "expected one word"),
        ("x" * (1 << 21), 0o600, "is larger than 1 MiB"),
    ],
)
def test_a_token_file_that_is_refused(tmp_path: Path, content: str, mode: int, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(
        AccessError, match=f"token_file .*{text}".replace("(", r"\(").replace(")", r"\)")
    ):
        read_access(AdminKeys(token_file=str(path)))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "fifo", tmp_path):
        with pytest.raises(AccessError, match=r"is no file|is a directory"):
            read_access(AdminKeys(token_file=str(path)))


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("host.crt", None, "tls.certificate .*no such file"),
        ("host.crt", b"", "tls.certificate .* with tls.key"),
        ("host.crt", b"garbage", "tls.certificate .* with tls.key"),
        ("host.key", None, "tls.key .*no such file"),
        ("host.key", trustme.CA().issue_cert("x").private_key_pem.bytes(), "mismatch"),
        ("ca.pem", b"", "tls.client_ca .*is empty"),
        ("ca.pem", b"garbage", "tls.client_ca"),
        ("ca.pem", b"x" * (2 << 20), "is larger than 1 MiB"),
    ],
)
def test_certificates_that_cannot_be_used(
    files: Path, file: str, content: bytes | None, text: str
) -> None:
    if content is None:
        (files / file).unlink()
    else:
        (files / file).write_bytes(content)
    names = {"certificate": f"{files}/host.crt", "key": f"{files}/host.key"}
    with pytest.raises(AccessError, match=text):
        read_access(AdminKeys.model_validate({"tls": {**names, "client_ca": f"{files}/ca.pem"}}))


def test_a_scheme_is_read_without_regard_to_case_and_a_token_is_not() -> None:
    access = Access(token=TOKEN.encode())
    assert access.admits(f"bEARER {TOKEN}".encode())
    assert not access.admits(f"Bearer {TOKEN.upper()}".encode())
    assert not access.admits(None)
    assert not access.admits(b"Bearer \xff\xfe")


# -- the unix socket


async def test_the_unix_socket_is_its_owners_alone(rig: Rig) -> None:
    rig.reload(rig.listen())
    async with rig.serving(), rig.local() as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert stat.S_IMODE(os.stat(rig.unix).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(rig.unix)).st_mode) == 0o700
    assert not os.path.exists(rig.unix)


async def test_a_stale_socket_file_is_replaced(rig: Rig) -> None:
    os.mkdir(os.path.dirname(rig.unix), 0o700)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(rig.unix)
    rig.reload(rig.listen())
    async with rig.serving() as client:
        await client.get("/healthz")
        async with rig.local() as local:
            assert (await local.get("/healthz")).text == "ok\n"


@pytest.mark.parametrize(
    ("mode", "alive", "text"),
    [(0o755, False, "is open to others"), (0o710, False, "expected 0700"), (0o700, True, "in use")],
)
async def test_a_directory_of_others_or_a_living_socket_is_respected(
    rig: Rig, caplog: pytest.LogCaptureFixture, mode: int, alive: bool, text: str
) -> None:
    """It is told, tried again, and TCP goes on."""
    directory = Path(rig.unix).parent
    directory.mkdir()
    directory.chmod(mode)
    with socket.socket(socket.AF_UNIX) as other:
        if alive:
            other.bind(rig.unix)
            other.listen()
        rig.reload(rig.listen())
        async with rig.serving() as client:
            assert (await client.get("/healthz")).text == "ok\n"
            while text not in caplog.text:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("extra", "warned"), [("", "whoever reaches it reads"), ("TOKEN", "in clear text")]
)
async def test_an_address_that_is_open_is_told(
    rig: Rig, files: Path, caplog: pytest.LogCaptureFixture, extra: str, warned: str
) -> None:
    extra = f'token_file = "{files}/token"' if extra else ""
    text = TEXT.replace('"fd:admin"', f'"0.0.0.0:0"\n{extra}')
    rig.reload(text)
    async with rig.serving():
        while warned not in caplog.text:
            await trio.sleep(0.01)
