"""JSON Web Tokens that PyJWT and joserfc have made, against a running server. See `run`."""
import http.server
import json
import sys
import tempfile
import threading
import time
import warnings

import httpx
import jwt
from joserfc import jwt as jose
from joserfc.jwk import ECKey, OKPKey, RSAKey

from clients import Server

# It has a newer name, too, which fewer libraries know.
warnings.filterwarnings("ignore", message="EdDSA is deprecated")

ISSUER, AUDIENCE = "https://id.example/", "https://api.example/"

ALGORITHMS = {
    "RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "rsa", "PS384": "rsa",
    "PS512": "rsa", "ES256": "p256", "ES384": "p384", "EdDSA": "ed25519",
}

KEYS = {
    "rsa": RSAKey.generate_key(2048),
    "p256": ECKey.generate_key("P-256"),
    "p384": ECKey.generate_key("P-384"),
    "ed25519": OKPKey.generate_key("Ed25519"),
}


class Keys(http.server.BaseHTTPRequestHandler):
    """The issuer's server of keys."""
    keys = []
    requests = 0

    def do_GET(self):
        type(self).requests += 1
        body = json.dumps({"keys": self.keys}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def public(name):
    return KEYS[name].as_dict(private=False) | {"kid": name, "use": "sig"}


def claims(**changes):
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "scope": "openid read",
            "iat": now, "nbf": now, "exp": now + 600}
    return said | changes


def by_pyjwt(algorithm, said):
    key = jwt.PyJWK(KEYS[ALGORITHMS[algorithm]].as_dict(private=True), algorithm).key
    return jwt.encode(said, key, algorithm=algorithm,
                      headers={"kid": ALGORITHMS[algorithm], "typ": "at+jwt"})


def by_joserfc(algorithm, said):
    header = {"alg": algorithm, "kid": ALGORITHMS[algorithm]}
    return jose.encode(header, said, KEYS[ALGORITHMS[algorithm]], algorithms=[algorithm])


def main(program):
    issuer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=issuer.serve_forever, daemon=True).start()
    Keys.keys = [public(name) for name in ["rsa", "p256", "p384"]]
    with tempfile.TemporaryDirectory() as folder:
        server = Server(
            program, folder, "--jwt-keys", f"http://127.0.0.1:{issuer.server_port}/",
            "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            def get(token):
                return client.get("/users/1", headers={"authorization": f"Bearer {token}"})

            # The last key is published now, and found when its first token arrives.
            Keys.keys.append(public("ed25519"))
            accepted = 0
            for encode in [by_pyjwt, by_joserfc]:
                for algorithm in ALGORITHMS:
                    response = get(encode(algorithm, claims()))
                    assert response.status_code == 404, (algorithm, response.headers)
                    expired = get(encode(algorithm, claims(exp=int(time.time()) - 120)))
                    assert expired.status_code == 401
                    assert "expired" in expired.headers["www-authenticate"], expired.headers
                    other = get(encode(algorithm, claims(aud="https://other.example/")))
                    assert "audience" in other.headers["www-authenticate"], other.headers
                    accepted += 1
            assert Keys.requests == 2, Keys.requests
            # A public key as a shared secret, and no signature at all.
            for token in [
                jwt.encode(claims(), public("rsa")["n"], algorithm="HS256",
                           headers={"kid": "rsa"}),
                jwt.encode(claims(), None, algorithm="none"),
            ]:
                refused = get(token)
                assert "algorithm" in refused.headers["www-authenticate"], refused.headers
        server.stop()
    print(f"{accepted} kinds of tokens are accepted")


if __name__ == "__main__":
    main(sys.argv[1])
