// In a page, with the real libraries: `tools/page_test.mjs`.
import assert from "node:assert/strict";
import { test } from "node:test";
import { h, render } from "preact";
import { act as preactAct } from "preact/test-utils";
import { StrictMode, act as reactAct, createElement } from "react";
import { createRoot } from "react-dom/client";
import type { Client } from "../src/api.js";
import type { Hooks } from "../src/hooks.js";
import * as preact from "../src/preact.js";
import * as react from "../src/react.js";
import { MemoryNetwork } from "./memory_network.js";

Object.assign(globalThis, { IS_REACT_ACT_ENVIRONMENT: true });

interface Library {
  readonly hooks: Hooks;
  /** Mounts a component that shows a text, and shows it anew with other properties. */
  mount(node: Element, component: (props: any) => string): (props: object | null) => void;
  act(work: () => Promise<void>): Promise<void>;
}

const libraries: Record<string, Library> = {
  "React in StrictMode": {
    hooks: react,
    mount: (node, component) => {
      const root = createRoot(node);
      return (props) => (props ? root.render(createElement(StrictMode, null, createElement(component, props))) : root.unmount());
    },
    act: (work) => reactAct(work),
  },
  Preact: {
    hooks: preact,
    mount: (node, component) => (props) => render(props && h(component as any, props), node),
    act: (work) => preactAct(work) as Promise<void>,
  },
};

for (const [name, { hooks, mount, act }] of Object.entries(libraries)) {
  async function page(component: (props: { client: Client; channel: string }) => string) {
    const network = new MemoryNetwork();
    const client = network.client({ name: "Ada" });
    const node = document.createElement("div");
    const show = mount(node, component);
    const after = async (work: () => void) => {
      await act(async () => work());
      await act(async () => {
        await network.clock.advance(1_100);
        // A subscription is left a turn after the last component.
        await new Promise((resolve) => setTimeout(resolve));
        await network.clock.advance(100);
      });
    };
    return { network, client, node, show, after };
  }

  const Channel = ({ client, channel }: { client: Client; channel: string }) => {
    const { publications, members, active } = hooks.useSubscription<number>(client, channel, { presence: true, limit: 2 });
    return `${active} ${publications.map(({ data }) => data).join()} ${members.map((member) => member.name).join()}`;
  };

  test(`${name}: a component shows the newest publications and who is there`, async () => {
    const { network, client, node, show, after } = await page(Channel);
    await after(() => show({ client, channel: "a" }));
    assert.equal(node.textContent, "true  Ada");
    for (const n of [1, 2, 3]) await after(() => network.hub.publish("a", n));
    assert.equal(node.textContent, "true 2,3 Ada");
    await after(() => network.cutAll());
    assert.equal(node.textContent, "true 2,3 Ada");
    assert.equal(network.hub.commands.filter(({ type }) => type === "subscribe").length, 2);
    await after(() => show(null));
    assert.deepEqual([client.subscriptions.size, network.hub.channel("a").subscribers.size], [0, 0]);
  });

  test(`${name}: another channel takes the place of the first`, async () => {
    const { network, client, node, show, after } = await page(Channel);
    await after(() => show({ client, channel: "a" }));
    await after(() => network.hub.publish("a", 1));
    await after(() => show({ client, channel: "b" }));
    await after(() => network.hub.publish("b", 2));
    assert.equal(node.textContent, "true 2 Ada");
    assert.deepEqual([...client.subscriptions.keys()], ["b"]);
  });

  test(`${name}: what the application had subscribed by itself is shown, and kept`, async () => {
    const { network, client, node, show, after } = await page(Channel);
    client.subscribe("a");
    await after(() => show({ client, channel: "a" }));
    await after(() => network.hub.publish("a", 1));
    assert.equal(node.textContent?.startsWith("true 1"), true);
    await after(() => show(null));
    assert.equal(client.subscriptions.size, 1);
  });

  test(`${name}: the state of the client is shown`, async () => {
    const { network, client, node, show, after } = await page((props: { client: Client }) => {
      const { state, reason, info } = hooks.useChappe(props.client);
      return `${state} ${reason} ${info?.name}`;
    });
    await after(() => show({ client }));
    assert.equal(node.textContent, "live null Ada");
    network.reachable = false;
    await after(() => network.cutAll());
    assert.equal(node.textContent, "offline hub_down Ada");
    await after(() => client.disconnect());
    assert.equal(node.textContent, "offline null Ada");
  });

  test(`${name}: on a client that ended a component shows why it hears nothing`, async () => {
    const { client, node, show, after } = await page((props: { client: Client }) => {
      const { active, error } = hooks.useSubscription(props.client, "a");
      return `${active} ${error?.message}`;
    });
    client.disconnect();
    await after(() => show({ client }));
    assert.equal(node.textContent, "false the client is disconnected: connect again");
  });
}
