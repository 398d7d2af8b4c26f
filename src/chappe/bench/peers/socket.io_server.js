// The peer `socket.io`: `node socket.io_server.js PORT`.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"] });

io.on("connection", (socket) => {
  socket.on("echo", (data) => socket.emit("echo", data));
  socket.on("broadcast", (data) => io.emit("message", data));
  socket.on("publish", (data, acknowledge) => acknowledge("ok"));
});

http.listen(Number(process.argv[2]), "127.0.0.1");
