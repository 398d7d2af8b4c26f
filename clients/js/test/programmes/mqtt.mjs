// An MQTT client (the package `mqtt`) that does what lines of JSON on its input say, and tells on its output what comes.
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import mqtt from "mqtt";

const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
let client;

const commands = {
  async connect({ url, options, method, key }) {
    if (method) options.properties = { ...options.properties, authenticationMethod: method };
    client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
    const sign = (data) => createHmac("sha256", key).update(data).digest();
    let authenticationData;
    client.handleAuth = ({ properties }, done) => {
      authenticationData = sign(properties.authenticationData);
      done(null, { cmd: "auth", reasonCode: 24, properties: { authenticationMethod: method, authenticationData } });
    };
    client.on("message", (topic, payload, packet) =>
      say({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain }),
    );
    await new Promise((resolve, reject) => {
      const tell = ({ sessionPresent: present, properties }) =>
        say({ present, mutual: method && properties.authenticationData.equals(sign(authenticationData)) });
      client.once("connect", (connack) => resolve(tell(connack)));
      client.once("error", (error) => (method ? resolve(say({ refused: error.code })) : reject(error)));
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
