// The peer `Bun` with its own publish: `bun bun_server.ts PORT`.
declare const Bun: any;

const server = Bun.serve({
  port: Number(process.argv[2]),
  hostname: "127.0.0.1",
  fetch(request: Request) {
    server.upgrade(request, { data: { path: new URL(request.url).pathname } });
  },
  websocket: {
    perMessageDeflate: false,
    open(socket: any) {
      if (socket.data.path !== "/echo") socket.subscribe(socket.data.path);
    },
    message(socket: any, message: any) {
      if (socket.data.path === "/echo") socket.send(message);
      else server.publish(socket.data.path, message);
    },
  },
});
