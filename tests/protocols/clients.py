"""Python's clients against a running server. See `run`."""
import asyncio
import http.client
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile

import httpx

ANN = {"name": "Ann", "email": "ann@example.org"}


def make_certificate(folder, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.crt"],
        check=True, stderr=subprocess.DEVNULL)


class Server:
    def __init__(self, program, folder, *options):
        self.process = subprocess.Popen(
            [program, "--listen", "127.0.0.1:0", "--database", "memory:",
             "--drain-delay", "500ms", *options],
            cwd=folder, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"USHER_LOG_FORMAT": "text"})
        self.url = re.search(r"listening on (\S+)", self.wait_for("listening on"))[1]

    def wait_for(self, text):
        for line in self.process.stderr:
            if text in line:
                return line
        raise SystemExit(f"the server ended without {text!r}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.process.returncode


def with_http_client(url, trust):
    """http.client and ssl, in each version of TLS."""
    port = int(url.rsplit(":", 1)[1])
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        context = ssl.create_default_context(cafile=trust)
        context.minimum_version = context.maximum_version = version
        client = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        for _ in range(3):
            client.request("GET", "/users/1")
            response = client.getresponse()
            assert response.status == 404, response.status
            response.read()
        client.close()


async def users(client, url, version):
    """The life of a user, and many requests at once on one connection."""
    created = await client.post(f"{url}/users/", json=ANN)
    assert (created.status_code, created.http_version) == (200, version), created
    user = f"{url}/users/{created.json()['id']}"
    found = await client.get(user)
    assert found.json() == created.json()
    same = await client.get(user, headers={"if-none-match": found.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = await client.head(user)
    assert head.headers["content-length"] == str(len(found.content)) and not head.content
    redirect = await client.get(f"{url}/users")
    assert redirect.headers["location"] == f"{url}/users/", redirect.headers
    answers = await asyncio.gather(*[client.get(user) for _ in range(300)])
    assert all(answer.content == found.content for answer in answers)
    deleted = await client.delete(user)
    assert deleted.status_code == 204 and not deleted.content


async def through_reload(server, folder, url, trust):
    """Requests go on while the certificate is replaced."""
    done = asyncio.Event()

    async def ask(client):
        count = 0
        while not done.is_set():
            assert (await client.get(f"{url}/users/1")).status_code == 404
            count += 1
        return count

    both = ssl.create_default_context(cafile=trust)
    both.load_verify_locations(f"{folder}/next.crt")
    async with httpx.AsyncClient(http2=True, verify=both) as client:
        asking = asyncio.create_task(ask(client))
        shutil.copy(f"{folder}/next.key", f"{folder}/server.key")
        shutil.copy(f"{folder}/next.crt", f"{folder}/server.crt")
        await asyncio.to_thread(server.wait_for, "new connections have the certificate")
        done.set()
        count = await asking
    only_next = ssl.create_default_context(cafile=f"{folder}/next.crt")
    async with httpx.AsyncClient(http2=True, verify=only_next) as client:
        assert (await client.get(f"{url}/users/1")).status_code == 404
    return count


async def through_end(server, url):
    """Requests until the server refuses connections: each one sent has a response.

    By HTTP/1.1, because httpx fails with HTTP/2: its library takes a connection for closed at the
    first GOAWAY, by which a server says that it goes on for now (RFC 9113, 6.8).
    """
    counts = {"answered": 0, "lost": 0}

    async def ask():
        async with httpx.AsyncClient(verify=False) as client:
            while True:
                try:
                    response = await client.get(f"{url}/users/1")
                    assert response.status_code == 404
                    counts["answered"] += 1
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    print(f"lost: {error!r}")
                    counts["lost"] += 1
                    return

    asking = [asyncio.create_task(ask()) for _ in range(16)]
    while counts["answered"] < 500:
        await asyncio.sleep(0.01)
    await asyncio.to_thread(server.stop)
    await asyncio.gather(*asking)
    return counts


async def main(program):
    with tempfile.TemporaryDirectory() as folder:
        for name in ["server", "next"]:
            make_certificate(folder, name)
        shutil.copy(f"{folder}/server.crt", f"{folder}/trust.crt")
        trust = f"{folder}/trust.crt"
        verify = ssl.create_default_context(cafile=trust)
        server = Server(program, folder, "--tls-cert", "server.crt", "--tls-key", "server.key")
        url = server.url.replace("127.0.0.1", "localhost")
        with_http_client(url, trust)
        for http2, version in [(False, "HTTP/1.1"), (True, "HTTP/2")]:
            async with httpx.AsyncClient(http2=http2, verify=verify, timeout=30) as client:
                await users(client, url, version)
        count = await through_reload(server, folder, url, trust)
        print(f"{count} requests went on while the certificate was replaced")
        server.stop()

        server = Server(program, folder)
        async with httpx.AsyncClient(http1=False, http2=True, timeout=30) as client:
            await users(client, server.url, "HTTP/2")
        counts = await through_end(server, server.url)
        print(f"{counts['answered']} requests answered, {counts['lost']} lost at the end")
        assert counts["lost"] == 0
    print("Python's clients are served")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
