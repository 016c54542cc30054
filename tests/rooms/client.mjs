// A member of a live room with the WebSocket that Node has, which is that of browsers.
//
// node client.mjs ws://host:port ROOM: says something, hears it, is dismissed when the room stops, and prints one line
// of JSON.
const [base, room] = process.argv.slice(2);

const seen = [];
const socket = new WebSocket(`${base}/ws?room_id=${room}&user_id=node`);
const limit = setTimeout(() => {
    console.error("nothing came in 20 s; so far", seen);
    process.exit(1);
}, 20_000);

socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ type: "danmu", content: "Grüße aus Node \u{1f600}", id: 1 }));
});
socket.addEventListener("message", async (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "presence") return;
    seen.push(message);
    if (message.type !== "ack") return;
    const url = `${base.replace("ws", "http")}/api/v1/rooms/${room}/stop`;
    const answer = await fetch(url, { method: "POST", headers: { "X-User-Id": "ada" } });
    if (!answer.ok) console.error(answer.status, await answer.text());
});
socket.addEventListener("close", (event) => {
    clearTimeout(limit);
    const { code, reason, wasClean } = event;
    console.log(JSON.stringify({ seen, code, reason, wasClean }));
});
