const hub = "http://127.0.0.1:8080/";

async function say(message) {
  await fetch(`${hub}send?clientId=page`, { method: "POST", body: JSON.stringify(message) });
}

await say({ type: "login", content: "Page" });
await say({ type: "message", content: "hello" });
for (let heard = ""; heard !== "hello"; ) {
  const answer = await fetch(`${hub}poll?clientId=page`);
  if (answer.status === 204) continue;
  const told = await answer.json();
  const messages = told.type === "batch" ? told.messages.map((text) => JSON.parse(text)) : [told];
  for (const message of messages) {
    if (message.type === "message") heard = message.content;
    console.log(message.type, message.content ?? message.username ?? message.users);
  }
}
