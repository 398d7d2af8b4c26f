/** One connection at a time to any WebSocket server; everything that happens goes into the log. */

import { signal } from "@preact/signals";
import type { FrameLog } from "./frame_log";

export type SocketState = "closed" | "connecting" | "open" | "closing";

export class Socket {
  readonly state = signal<SocketState>("closed");
  /** The subprotocol the server chose, empty for none. */
  readonly protocol = signal("");
  private socket: WebSocket | null = null;

  constructor(
    private readonly log: FrameLog,
    private readonly SocketClass: typeof WebSocket = WebSocket,
  ) {}

  connect(url: string, protocols: readonly string[]): void {
    this.log.event({ name: "connecting", url });
    let socket: WebSocket;
    try {
      socket = new this.SocketClass(url, [...protocols]);
    } catch (error) {
      // No address of a WebSocket, a bad subprotocol name, or ws:// from a page that came over https://.
      this.log.event({ name: "refused", message: error instanceof Error ? error.message : String(error) });
      return;
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.state.value = "connecting";
    this.listen(socket, performance.now());
  }

  disconnect(): void {
    if (!this.socket) return;
    this.state.value = "closing";
    this.socket.close(1000);
  }

  /** Sends one frame and tells whether it was possible; when it was not, the log says so. */
  send(data: string | Uint8Array<ArrayBuffer>): boolean {
    if (this.state.value !== "open" || !this.socket) {
      this.log.event({ name: "notSent" });
      return false;
    }
    this.socket.send(data);
    this.log.data("sent", data);
    return true;
  }

  private listen(socket: WebSocket, started: number): void {
    socket.onopen = () => {
      this.state.value = "open";
      this.protocol.value = socket.protocol;
      this.log.event({ name: "opened", protocol: socket.protocol, ms: Math.round(performance.now() - started) });
    };
    socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
      this.log.data("received", typeof data === "string" ? data : new Uint8Array(data));
    };
    socket.onerror = () => {
      if (this.state.value === "connecting") this.log.event({ name: "failed" });
    };
    socket.onclose = ({ code, reason }) => {
      this.log.event({ name: "closed", code, reason });
      this.socket = null;
      this.protocol.value = "";
      this.state.value = "closed";
    };
  }
}
