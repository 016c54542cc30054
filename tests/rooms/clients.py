"""Members of live rooms, with the library `websockets`; HTTP by Python's standard library.

Each command plays one scene against a running server and prints one line of JSON, which tests/rooms_clients.rs judges.
Nothing of the server's own kit is used.
"""

import argparse
import asyncio
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus


class Api:
    """The HTTP API, as one user."""

    def __init__(self, base, user=None, token=None):
        self.base, self.user, self.token = base, user, token

    def call(self, method, path, body=None):
        """Status and JSON of one request."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.user:
            headers["X-User-Id"] = self.user
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def live_room(self, title):
        status, room = self.call("POST", "/api/v1/rooms", {"title": title})
        assert status == 201, room
        status, started = self.call("POST", f"/api/v1/rooms/{room['id']}/start", {})
        assert (status, started["status"]) == (200, 1), started
        return room["id"]

    def socket(self, room, **query):
        """A member's socket, to be awaited or entered."""
        query = {"room_id": room, **query}
        if self.token:
            query["token"] = self.token
        elif self.user:
            query["user_id"] = self.user
        text = urllib.parse.urlencode(query)
        return connect(f"{self.base.replace('http', 'ws', 1)}/ws?{text}", max_size=None, max_queue=None)


async def receive(socket, kind, seconds=10):
    """The next object of this type; presence is passed over, anything else is a fault."""
    while True:
        message = json.loads(await asyncio.wait_for(socket.recv(), seconds))
        if message["type"] == kind:
            return message
        assert message["type"] == "presence" or kind == "presence", f"no {kind} but {message}"


async def talk(arguments):
    """Two members chat, give, like, are seen, acknowledged, and dismissed when the room stops."""
    ada, bob = (Api(arguments.base, user) for user in ("ada", "bob"))
    room = await asyncio.to_thread(ada.live_room, "Talk")
    seen = {}
    async with ada.socket(room) as a, bob.socket(room) as b:
        seen["hello"] = [await receive(socket, "hello") for socket in (a, b)]
        for kind, more in (
            ("danmu", {"content": "Grüße, 世界 \U0001f600"}),
            ("gift", {"content": "rose", "data": {"value": 5, "count": 2}}),
            ("like", {"content": ""}),
        ):
            await a.send(json.dumps({"type": kind, **more}))
            seen[kind] = [await receive(socket, kind) for socket in (a, b)]
        await b.send(json.dumps({"type": "danmu", "content": "kept", "id": "b-1"}))
        for socket in (a, b):
            await receive(socket, "danmu")
        seen["ack"] = await receive(b, "ack")
        await b.send(json.dumps({"type": "danmu", "content": "kept", "id": "b-1"}))
        seen["ack_again"] = await receive(b, "ack")
        await a.send(b"binary")
        seen["binary"] = await receive(a, "error")
        await a.send(json.dumps({"type": "no such thing"}))
        seen["unknown"] = await receive(a, "error")
        pong = await a.ping()
        await asyncio.wait_for(pong, 10)

        _, seen["viewers"] = await asyncio.to_thread(ada.call, "GET", f"/api/v1/rooms/{room}/viewers")
        _, seen["hot"] = await asyncio.to_thread(ada.call, "GET", "/api/v1/stats/hot")
        _, seen["online"] = await asyncio.to_thread(ada.call, "GET", "/api/v1/stats/online")
        _, seen["messages"] = await asyncio.to_thread(ada.call, "GET", f"/api/v1/rooms/{room}/messages")

        cleo = Api(arguments.base, "cleo")
        async with cleo.socket(room) as c:
            await receive(c, "hello")
            while "cleo" not in (presence := await receive(a, "presence"))["joined"]:
                pass
            seen["joined"] = presence
        while "cleo" not in (presence := await receive(a, "presence"))["left"]:
            pass
        seen["left"] = presence

        _, seen["stopped"] = await asyncio.to_thread(ada.call, "POST", f"/api/v1/rooms/{room}/stop", {})
        seen["closing"] = [await receive(socket, "closing") for socket in (a, b)]
        seen["closed"] = []
        for socket in (a, b):
            try:
                await asyncio.wait_for(socket.recv(), 10)
            except ConnectionClosed as closed:
                seen["closed"].append([closed.rcvd.code, closed.rcvd.reason])
    return seen


async def publish(api, room, rate, until, sent):
    """Sends `rate` messages a second, and reads what comes."""
    async with api.socket(room) as socket:

        async def read():
            async for _ in socket:
                pass

        reading = asyncio.create_task(read())
        begin, number = time.monotonic(), 0
        while not until.is_set():
            await socket.send(json.dumps({"type": "danmu", "content": f"{api.user} {number}"}))
            number += 1
            await asyncio.sleep(max(0, begin + number / rate - time.monotonic()))
        sent.append(number)
        reading.cancel()


async def come_and_go(api, room, rng, until, result):
    """Reads in short visits that end in all ways, and asks at each for what it missed.

    The message that a visit ends in the middle of is not counted as seen, as in a client that dies.
    """
    epoch = last = None
    seen, visits, truncated = [], 0, 0
    while True:
        # After the end one visit more, to get the rest.
        final = until.is_set()
        query = {} if last is None else {"since": last, "epoch": epoch}
        async with api.socket(room, **query) as socket:
            hello = await receive(socket, "hello")
            visits += 1
            if last is None:
                epoch, last = hello["epoch"], hello["seq"]
            assert hello["epoch"] == epoch, hello
            leave = time.monotonic() + (10 if final else rng.uniform(0.0, 0.3))
            while time.monotonic() < leave and not (final and last >= hello["seq"]):
                try:
                    message = json.loads(await asyncio.wait_for(socket.recv(), max(0.001, leave - time.monotonic())))
                except TimeoutError:
                    break
                if message["type"] == "system" and message.get("code") == "history_truncated":
                    truncated += 1
                if "seq" in message:
                    seen.append(message["seq"])
                    last = message["seq"]
            if not final and rng.random() < 0.5:
                # No close frame, no end of the stream that is announced.
                socket.transport.abort()
        if final:
            break
        await asyncio.sleep(rng.uniform(0.0, 0.3))
    result.append({"seen": seen, "visits": visits, "truncated": truncated})


async def reconnect(arguments):
    """Readers come back with `since` at random moments while messages flow."""
    ada = Api(arguments.base, "ada")
    room = await asyncio.to_thread(ada.live_room, "Reconnect")
    until, sent, result = asyncio.Event(), [], []
    publishers, readers = 5, 6
    tasks = [
        publish(Api(arguments.base, f"publisher-{n}"), room, arguments.rate / publishers, until, sent)
        for n in range(publishers)
    ]
    rngs = [random.Random(arguments.seed + n) for n in range(readers)]
    tasks += [come_and_go(Api(arguments.base, f"reader-{n}"), room, rng, until, result) for n, rng in enumerate(rngs)]
    running = [asyncio.create_task(task) for task in tasks]
    done, _ = await asyncio.wait(running, timeout=arguments.seconds, return_when=asyncio.FIRST_EXCEPTION)
    until.set()
    await asyncio.wait_for(asyncio.gather(*running), 30)
    return {"sent": sum(sent), "readers": result}


async def tokens(arguments):
    """What a server with authentication takes and refuses."""
    anchor = Api(arguments.base, token=arguments.anchor)
    room = await asyncio.to_thread(anchor.live_room, "Tokens")

    async def status(token):
        try:
            async with Api(arguments.base, token=token).socket(room) as socket:
                await receive(socket, "hello")
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    seen = {
        "viewer": await status(arguments.viewer),
        "none": await status(None),
        "expired": await status(arguments.expired),
        "forged": await status(arguments.viewer[:-4] + "AAAA"),
        "garbage": await status("garbage"),
    }
    viewer = Api(arguments.base, token=arguments.viewer)
    # Who it is the token says, whatever the query says.
    async with viewer.socket(room, user_id="somebody-else") as socket:
        await receive(socket, "hello")
        await socket.send(json.dumps({"type": "danmu", "content": "it is me"}))
        seen["user"] = (await receive(socket, "danmu"))["user_id"]
        for name, user in (("viewer_stops", viewer), ("other_stops", Api(arguments.base, token=arguments.other))):
            seen[name], _ = await asyncio.to_thread(user.call, "POST", f"/api/v1/rooms/{room}/stop", {})
        await socket.send(json.dumps({"type": "system", "content": "I am the server"}))
        seen["system"] = (await receive(socket, "error"))["code"]
        await socket.send("x" * (512 * 1024 + 1))
        try:
            await receive(socket, "nothing")
        except ConnectionClosed as closed:
            seen["oversize"] = closed.rcvd.code
    async with Api(arguments.base, token=arguments.brief).socket(room) as socket:
        await receive(socket, "hello")
        seen["end_of_token"] = await receive(socket, "closing")
        try:
            await receive(socket, "nothing")
        except ConnectionClosed as closed:
            seen["end_of_token_code"] = closed.rcvd.code
    return seen


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--limit", type=float, default=60, help="seconds")
    scenes = parser.add_subparsers(dest="scene", required=True)
    scenes.add_parser("talk").set_defaults(play=talk)
    scene = scenes.add_parser("reconnect")
    scene.set_defaults(play=reconnect)
    scene.add_argument("--rate", type=float, default=500, help="messages a second")
    scene.add_argument("--seconds", type=float, default=8)
    scene.add_argument("--seed", type=int, default=0)
    scene = scenes.add_parser("tokens")
    scene.set_defaults(play=tokens)
    for name in ("anchor", "other", "viewer", "expired", "brief"):
        scene.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    print(json.dumps(await asyncio.wait_for(arguments.play(arguments), arguments.limit)))


asyncio.run(main())
