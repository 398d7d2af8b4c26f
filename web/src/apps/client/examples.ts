/** First messages of the protocols this hub speaks. */

export interface Example {
  readonly title: string;
  readonly text: string;
}

export const EXAMPLES: readonly { readonly protocol: string; readonly examples: readonly Example[] }[] = [
  {
    protocol: "chappe.v1",
    examples: [
      example("connect", { type: "connect", id: 1, name: "Ada" }),
      example("subscribe", { type: "subscribe", id: 2, channel: "chat/lobby", since: 10, presence: true }),
      example("publish", { type: "publish", id: 3, channel: "chat/lobby", data: "hello" }),
      example("history", { type: "history", id: 4, channel: "chat/lobby", limit: 10 }),
      example("presence", { type: "presence", id: 5, channel: "chat/lobby" }),
      example("ping", { type: "ping" }),
    ],
  },
  {
    protocol: "classic",
    examples: [
      example("login", { type: "login", content: "Ada", username: "Ada" }),
      example("message", { type: "message", content: "hello" }),
      example("userlist", { type: "userlist" }),
      example("lock", { type: "lock", resource: "doc-1" }),
    ],
  },
];

function example(title: string, message: unknown): Example {
  return { title, text: JSON.stringify(message) };
}
