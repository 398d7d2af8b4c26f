// The peer `ws`: `node ws_server.js PORT`.
const { WebSocketServer } = require("ws");

const groups = new Map();

function groupOf(path) {
  if (!groups.has(path)) groups.set(path, new Set());
  return groups.get(path);
}

const server = new WebSocketServer({ port: Number(process.argv[2]), host: "127.0.0.1", perMessageDeflate: false });

server.on("connection", (socket, request) => {
  if (request.url === "/echo") {
    socket.on("message", (data, binary) => socket.send(data, { binary }));
    return;
  }
  const group = groupOf(request.url);
  group.add(socket);
  socket.on("close", () => group.delete(socket));
  socket.on("message", (data, binary) => {
    for (const member of group) member.send(data, { binary });
  });
});
