"""Python's requests and httpx: `client.py MODE CA`, MODE is requests, httpx-h1, httpx-h2 or httpx-h2c. Cases on
standard input, statuses on standard output."""

import sys
import time

mode, ca = sys.argv[1:]


def parts(content, pause):
    yield content[:65536]
    if pause:
        time.sleep(6)
    yield content[65536:]


if mode == "requests":
    import requests

    session = requests.Session()
    session.verify = ca

    def send(method, url, headers, body):
        return session.request(method, url, headers=headers, data=body, timeout=60), None

else:
    import httpx

    version = mode.removeprefix("httpx-")
    client = httpx.Client(verify=ca, timeout=60, http1=version == "h1", http2=version != "h1")

    def send(method, url, headers, body):
        answer = client.request(method, url, headers=headers, content=body)
        return answer, {"HTTP/1.1": "h1", "HTTP/2": version if version != "h1" else "h2"}[answer.http_version]


for line in sys.stdin:
    name, method, url, key, framing, file, encoding = line.rstrip("\n").split("\t")
    with open(file, "rb") as opened:
        content = opened.read()
    headers = {"x-key": key} | ({"content-encoding": encoding} if encoding else {})
    body = content if framing == "length" else parts(content, framing == "slow")
    try:
        answer, spoken = send(method, url, headers, body)
        status = str(answer.status_code)
        print(name, status if spoken in (None, mode.removeprefix("httpx-")) else spoken, sep="\t", flush=True)
    except Exception as error:
        print(name, repr(error), sep="\t", flush=True)
