"""Watches a device with aiortc through the plain HTTP API and decodes pictures.

Prints one line of JSON: how many pictures and sounds were decoded, and the picture's size. Python's standard library
speaks HTTP here, as any client would; nothing of the server's own kit is used.
"""

import argparse
import asyncio
import json
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription, rtcdtlstransport
from aiortc.mediastreams import MediaStreamError


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        content = response.read()
    return json.loads(content) if content else None


async def decode(track, wanted, frames):
    """Decodes until `wanted` frames are there."""
    while len(frames) < wanted:
        try:
            frames.append(await track.recv())
        except MediaStreamError:
            return


async def watch(base, device, wanted):
    sessions = f"{base}/api/media/sessions"
    session = await asyncio.to_thread(post, sessions, {"deviceId": device, "userId": "aiortc"})
    url = f"{sessions}/{session['sessionId']}"

    peer = RTCPeerConnection()
    pictures, sounds, decoding, control = [], [], [], asyncio.get_running_loop().create_future()

    @peer.on("track")
    def on_track(track):
        frames = pictures if track.kind == "video" else sounds
        decoding.append(asyncio.create_task(decode(track, wanted, frames)))

    @peer.on("datachannel")
    def on_channel(channel):
        if not control.done():
            control.set_result(channel.label)

    await peer.setRemoteDescription(RTCSessionDescription(session["offer"]["sdp"], session["offer"]["type"]))
    await peer.setLocalDescription(await peer.createAnswer())

    # Trickled one by one, as a client that does not wait for its candidates does.
    description = peer.localDescription.sdp
    lines = description.splitlines()
    trickled = [line.removeprefix("a=") for line in lines if line.startswith("a=candidate:")]
    answer = "".join(line + "\r\n" for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates")))
    await asyncio.to_thread(post, f"{url}/answer", {"type": "answer", "sdp": answer})
    for candidate in dict.fromkeys(trickled):
        body = {"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}
        await asyncio.to_thread(post, f"{url}/ice-candidate", body)
    await asyncio.to_thread(post, f"{url}/ice-candidate", {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0})

    channel = await control
    await asyncio.gather(*decoding)
    await peer.close()
    return {
        "pictures": len(pictures),
        "sounds": len(sounds),
        "width": pictures[-1].width,
        "height": pictures[-1].height,
        "channel": channel,
    }


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--limit", type=float, default=30, help="seconds")
    parser.add_argument("--without-gcm", action="store_true", help="offer AES-CM alone for SRTP")
    arguments = parser.parse_args()
    if arguments.without_gcm:
        rtcdtlstransport.SRTP_PROFILES = [rtcdtlstransport.SRTP_AES128_CM_SHA1_80]
    result = await asyncio.wait_for(
        watch(arguments.base, arguments.device, arguments.frames), arguments.limit
    )
    print(json.dumps(result))


asyncio.run(main())
