// An MQTT client (the package `mqtt`) that does what lines of JSON on its input say, and tells on its output what comes.
import { createInterface } from "node:readline";
import mqtt from "mqtt";

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let client;

const commands = {
  async connect({ url, options }) {
    client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
    client.on("message", (topic, payload, packet) =>
      say({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }),
    );
    await new Promise((resolve, reject) => {
      client.once("connect", (connack) => resolve(say({ present: connack.sessionPresent })));
      client.once("error", reject);
    });
  },
  async subscribe({ filter, qos }) {
    const granted = await client.subscribeAsync(filter, { qos });
    say({ granted: granted.map((each) => each.qos) });
  },
  async publish({ topic, payload, qos, retain }) {
    await client.publishAsync(topic, payload, { qos, retain });
    say({ published: true });
  },
  async cut() {
    client.stream.destroy();
    say({ cut: true });
  },
  async close() {
    await client.endAsync();
    say({ closed: true });
    process.exit(0);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { command, ...rest } = JSON.parse(line);
  await commands[command](rest);
}
