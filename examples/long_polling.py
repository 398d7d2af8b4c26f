import json
import urllib.error
import urllib.request

HUB = "http://127.0.0.1:8080"


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(HUB + path, data, timeout=90) as answer:
        return json.loads(answer.read() or "null")


begun = ask("/poll")
session, cursor = begun["session"], begun["cursor"]
number = 0


def send(**command):
    global number
    number += 1
    (reply,) = ask(f"/send?session={session}&seq={number}", {"id": number, **command})["messages"]
    return reply


send(type="subscribe", channel="news")
for data in (1, 2, 3):
    send(type="publish", channel="news", data=data)

seen = []
while len(seen) < 3:
    told = ask(f"/poll?session={session}&cursor={cursor}")
    if told is not None:  # None: 204, nothing to say
        cursor = told["cursor"]
        seen += [message["data"] for message in told["messages"] if message["type"] == "publication"]
print(seen)
